/** One place: who is here, what was said, and the field to say something. */

import { useEffect, useRef } from "preact/hooks";
import { useNow, useObserved } from "../observed.ts";
import { titleOf } from "../place.ts";
import type { Places } from "../places.ts";
import { goTo } from "../route.ts";
import type { Session } from "../session.ts";
import type { Talk } from "../talk.ts";
import { typingLine } from "../typing.ts";
import { Composer } from "./composer.tsx";
import { PresenceList } from "./presence-list.tsx";
import { Timeline } from "./timeline.tsx";

interface ConversationPageProps {
  readonly session: Session;
  readonly places: Places;
  readonly talk: Talk;
}

export function ConversationPage({ session, places, talk }: ConversationPageProps) {
  const { place } = talk;
  const trouble = useObserved(talk.trouble);
  useEffect(() => {
    talk.open();
    return () => talk.close();
  }, [talk]);
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!matchMedia("(hover: hover)").matches) {
      // Without a keyboard the composer is not entered by itself, and the list that was is gone.
      title.current?.focus({ preventScroll: true });
    }
  }, []);
  return (
    <section class="conversation" aria-labelledby="place-title">
      <header>
        <button type="button" class="plain back" onClick={() => goTo(undefined)}>
          <span aria-hidden="true">‹</span>
          <span class="unseen">Back to all conversations</span>
        </button>
        <h1 id="place-title" ref={title} tabIndex={-1}>
          {place.kind === "room" && <span class="sign">#</span>}
          {titleOf(place)}
        </h1>
        <PresenceList session={session} places={places} talk={talk} />
        <button
          type="button"
          class="plain"
          onClick={() => {
            places.leave(place);
            goTo(undefined);
          }}
        >
          {place.kind === "room" ? "Leave" : "Close"}
        </button>
      </header>
      {trouble !== undefined && (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      <Timeline talk={talk} />
      <TypingLine talk={talk} me={session.user} />
      <Composer session={session} places={places} talk={talk} />
    </section>
  );
}

function TypingLine({ talk, me }: { readonly talk: Talk; readonly me: string }) {
  const typing = useObserved(talk.signs.typing);
  const now = useNow(500, typing.size > 0);
  // Not announced: it would talk over what is being said.
  return (
    <p class="typing" data-testid="typing">
      {typingLine(typing, me, now)}
    </p>
  );
}
