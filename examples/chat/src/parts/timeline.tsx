/** What was said, the latest at the end, with its past a page at a time. */

import { useEffect, useMemo } from "preact/hooks";
import { dayText } from "../dates.ts";
import { useObserved } from "../observed.ts";
import { pageIsVisible } from "../page-visible.ts";
import { titleOf } from "../place.ts";
import { readersOf } from "../reads.ts";
import { type Row, rowsOf } from "../rows.ts";
import type { Talk } from "../talk.ts";
import { MessageLine } from "./message.tsx";
import { useScroll } from "./scroll.ts";

export function Timeline({ talk }: { readonly talk: Talk }) {
  const past = useObserved(talk.past);
  const rows = useRows(talk);
  const unread = useObserved(talk.unread);
  const { list, isAtEnd, isAtStart, toEnd } = useScroll(rows);
  const isVisible = useObserved(pageIsVisible);
  const isLoaded = past.past === "loaded";
  useEffect(() => {
    talk.setReading(isLoaded && isAtEnd && isVisible);
    return () => talk.setReading(false);
  }, [talk, isLoaded, isAtEnd, isVisible]);
  useEffect(() => {
    if (isAtStart && past.past === "loaded" && past.earlier === "idle") {
      talk.loadEarlier();
    }
  }, [talk, isAtStart, past]);
  const isBusy = past.past === "loading" || (past.past === "loaded" && past.earlier === "loading");
  return (
    <div class="timeline">
      <div
        class="scroll"
        ref={list}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has only a keyboard scrolls, too.
        tabIndex={0}
        role="log"
        aria-live="polite"
        aria-busy={isBusy}
        aria-label={`Messages in ${titleOf(talk.place)}`}
      >
        <Beginning talk={talk} isEmpty={rows.length === 0} />
        <ol>
          {rows.map((row) => (
            <RowLine key={row.key} row={row} talk={talk} />
          ))}
        </ol>
      </div>
      {!isAtEnd && (
        <button type="button" class="to-end" onClick={toEnd}>
          {unread > 0 ? `${unread} new` : "Latest"} <span aria-hidden="true">↓</span>
        </button>
      )}
    </div>
  );
}

function RowLine({ row, talk }: { readonly row: Row; readonly talk: Talk }) {
  switch (row.row) {
    case "day":
      return <li class="day">{dayText(row.at, Date.now())}</li>;
    case "unread":
      return <li class="unread-line">New</li>;
    case "message":
      return <MessageLine message={row} talk={talk} />;
  }
}

/** What stands above the first message that is here. */
function Beginning({ talk, isEmpty }: { readonly talk: Talk; readonly isEmpty: boolean }) {
  const past = useObserved(talk.past);
  switch (past.past) {
    case "none":
      return <p class="beginning">What was said before shows when the connection is there.</p>;
    case "loading":
      return <p class="beginning">Loading…</p>;
    case "failed":
      return (
        <p class="beginning">
          What was said before cannot be shown: {past.reason}.{" "}
          <button type="button" onClick={() => talk.open()}>
            Try again
          </button>
        </p>
      );
    case "loaded":
      if (past.complete) {
        return (
          <p class="beginning">
            {isEmpty ? "Nobody has said anything yet." : "This is where it began."}
          </p>
        );
      }
      return (
        <p class="beginning">
          {past.earlier === "loading" ? (
            "Loading…"
          ) : (
            <button type="button" onClick={() => talk.loadEarlier()}>
              Earlier messages
            </button>
          )}
        </p>
      );
  }
}

function useRows(talk: Talk): readonly Row[] {
  const conversation = useObserved(talk.conversation);
  const reads = useObserved(talk.positions.reads);
  const epoch = useObserved(talk.epoch);
  const unreadAfter = useObserved(talk.unreadAfter);
  return useMemo(() => {
    const readers = (offset: number) =>
      epoch === undefined ? [] : readersOf(reads, { epoch, offset }, conversation.me);
    return rowsOf(conversation, { readersOf: readers, unreadAfter });
  }, [conversation, reads, epoch, unreadAfter]);
}
