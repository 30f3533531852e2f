/** What is published to a topic, as it comes: sampled where it comes faster than anybody reads. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError, isAborted } from "../api/request.ts";
import type { StoredMessage } from "../api/types.ts";
import { duration, short, whole } from "../format.ts";
import { MessageRows } from "../parts/message-rows.tsx";
import { Empty, Failure } from "../parts/notices.tsx";
import { Section } from "../parts/small.tsx";
import { hrefOf } from "../route.ts";
import { useShared } from "../state/shared.ts";
import { readEvents, type StreamEvent } from "../stream/events.ts";
import { ROWS_MAX, Tail, type TailView } from "../stream/tail.ts";

/** The page is drawn at most this often: faster is only unrest. */
const DRAWN_EVERY_MS = 250;

/** How long to wait before the stream is opened again after it ended. */
const COME_BACK_MS = 2000;

type Stream =
  | { readonly phase: "opening" }
  | { readonly phase: "open" }
  | { readonly phase: "waiting"; readonly why: string }
  | { readonly phase: "failed"; readonly error: ApiError };

/** The live view of a topic. */
export function TopicTail(props: { readonly topic: string }): VNode {
  const [isPaused, setPaused] = useState(false);
  const { view, stream, again } = useTail(props.topic, isPaused);
  return (
    <Section
      title="Live"
      actions={
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Go on" : "Pause"}
        </button>
      }
    >
      <p class="quiet figures">
        <span>{wordsOf(stream)}</span>
        <span>{short(view.perSecond)} messages/s</span>
        <span>{whole(view.seen)} since you look</span>
        {view.leftOut > 0 && (
          <span>
            {whole(view.leftOut)} not shown, because they come too fast:{" "}
            <a href={hrefOf("topics", props.topic, { view: "history" })}>history</a> has all
          </span>
        )}
      </p>
      {stream.phase === "failed" && <Failure error={stream.error} again={again} />}
      {view.rows.length === 0 ? (
        <Empty command={`tidings pub ${shellWord(props.topic)} '{"hello":"world"}'`}>
          Nothing was published since you look. Try:
        </Empty>
      ) : (
        <>
          <MessageRows messages={view.rows} label="Messages, the newest first" />
          <p class="quiet">The newest first, at most {ROWS_MAX}.</p>
        </>
      )}
    </Section>
  );
}

function wordsOf(stream: Stream): string {
  switch (stream.phase) {
    case "opening":
      return "Opening the stream…";
    case "open":
      return "Following";
    case "waiting":
      return stream.why;
    case "failed":
      return "Not following";
  }
}

/** A word as a shell takes it whole. */
function shellWord(word: string): string {
  return /^[\w/.:-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function useTail(topic: string, isPaused: boolean) {
  const { api } = useShared();
  const [view, setView] = useState<TailView<StoredMessage>>({
    rows: [],
    perSecond: 0,
    seen: 0,
    leftOut: 0,
  });
  const [stream, setStream] = useState<Stream>({ phase: "opening" });
  const [round, setRound] = useState(0);
  const tail = useRef(new Tail<StoredMessage>(performance.now()));
  const after = useRef<string>(undefined);

  // `round` opens the stream again.
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const comeBack = (why: string, ms: number): void => {
      setStream({ phase: "waiting", why: `${why}; again in ${duration(ms)}` });
      timer = setTimeout(() => setRound((count) => count + 1), ms);
    };
    const follow = async (): Promise<void> => {
      setStream({ phase: "opening" });
      try {
        const answer = await api.stream({ topic, after: after.current }, stop.signal);
        if (answer.body === null) return;
        setStream({ phase: "open" });
        const take = (events: readonly StreamEvent[]): void => {
          for (const { id } of events) after.current = id ?? after.current;
          takeMessages(tail.current, events);
        };
        await readEvents(answer.body, take, stop.signal);
        if (!stop.signal.aborted) comeBack("The stream ended", COME_BACK_MS);
      } catch (thrown) {
        if (stop.signal.aborted || isAborted(thrown)) return;
        const error = asApiError(thrown);
        // A stream that breaks off in the middle is the server going away.
        if (error.temporary || error.status === 0) comeBack(error.message, COME_BACK_MS);
        else setStream({ phase: "failed", error });
      }
    };
    void follow();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [api, topic, round]);

  useEffect(() => {
    if (isPaused) return;
    let frame = 0;
    let drawn = 0;
    const draw = (now: number): void => {
      frame = requestAnimationFrame(draw);
      if (now - drawn < DRAWN_EVERY_MS) return;
      drawn = now;
      setView((before) => changed(before, tail.current.view(performance.now())));
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, [isPaused]);
  return { view, stream, again: () => setRound((count) => count + 1) };
}

function takeMessages(tail: Tail<StoredMessage>, events: readonly StreamEvent[]): void {
  const now = performance.now();
  for (const event of events) {
    if (event.event !== "message") continue;
    // Only what is shown is parsed; its shape is that of the message frames of docs/protocol.md.
    tail.push(() => JSON.parse(event.data) as StoredMessage, now);
  }
}

/** The view of before where nothing is different, so that nothing is drawn. */
function changed<Row>(before: TailView<Row>, now: TailView<Row>): TailView<Row> {
  const same = before.seen === now.seen && before.perSecond === now.perSecond;
  return same ? before : now;
}
