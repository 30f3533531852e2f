/** Who is in a place now. In a room, choosing somebody begins a conversation of two. */

import type { State } from "@tidings/client";
import { useClientState } from "../client-state.ts";
import { useObserved } from "../observed.ts";
import type { Places } from "../places.ts";
import { goTo } from "../route.ts";
import type { Session } from "../session.ts";
import type { Talk } from "../talk.ts";

/** People who are shown by name. */
const SHOWN_MAX = 5;

/** Whether nobody has told who is here for a while. */
function isAway({ status }: State): boolean {
  return status === "offline" || status === "failed" || status === "signedOut";
}

interface PresenceListProps {
  readonly session: Session;
  readonly places: Places;
  readonly talk: Talk;
}

export function PresenceList({ session, places, talk }: PresenceListProps) {
  const people = useObserved(talk.presence.people);
  const { place } = talk;
  if (isAway(useClientState(session.client))) {
    return (
      <ul class="presence" data-testid="presence" aria-label="Who is here">
        <li>who is here is unknown while offline</li>
      </ul>
    );
  }
  if (place.kind === "direct") {
    const isHere = people.includes(place.other);
    return (
      <ul class="presence" data-testid="presence" aria-label="Who is here">
        <li>
          <span class={isHere ? "dot is-here" : "dot"} aria-hidden="true" />
          {isHere ? "here now" : "not here"}
        </li>
      </ul>
    );
  }
  const others = people.filter((person) => person !== session.user);
  const write = (other: string) => {
    places.join({ kind: "direct", other });
    goTo({ kind: "direct", other });
  };
  return (
    <ul class="presence" data-testid="presence" aria-label="Who is here">
      {people.includes(session.user) && (
        <li>
          <span class="dot is-here" aria-hidden="true" />
          you
        </li>
      )}
      {others.slice(0, SHOWN_MAX).map((person) => (
        <li key={person}>
          <button
            type="button"
            class="plain"
            onClick={() => write(person)}
            title={`Write to ${person}`}
          >
            <span class="dot is-here" aria-hidden="true" />
            {person}
          </button>
        </li>
      ))}
      {others.length > SHOWN_MAX && <li>and {others.length - SHOWN_MAX} more</li>}
    </ul>
  );
}
