/** The chat of somebody who is signed in: the places on one side, one of them on the other. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import { useObserved } from "../observed.ts";
import { type Place, placeId } from "../place.ts";
import { Places } from "../places.ts";
import { goTo, isSomewhere, route } from "../route.ts";
import type { Session } from "../session.ts";
import { ConnectionBanner } from "./connection-banner.tsx";
import { ConversationPage } from "./conversation-page.tsx";
import { Sidebar } from "./sidebar.tsx";

export function Chat({ session }: { readonly session: Session }) {
  const places = useMemo(() => new Places(session), [session]);
  useEffect(() => () => places.stop(), [places]);
  const place = useObserved(route);
  useTitle(places);
  useFirstPlace(places);
  return (
    <div class={place === undefined ? "chat shows-list" : "chat shows-place"}>
      <ConnectionBanner client={session.client} />
      <Sidebar session={session} places={places} shown={place} />
      <main>
        {place === undefined ? (
          <p class="empty">Choose a room, or somebody to write to.</p>
        ) : (
          <PlaceShown session={session} places={places} place={place} />
        )}
      </main>
    </div>
  );
}

interface PlaceShownProps {
  readonly session: Session;
  readonly places: Places;
  readonly place: Place;
}

function PlaceShown({ session, places, place }: PlaceShownProps) {
  const id = placeId(place);
  const talk = useObserved(places.talks).get(id);
  if (talk !== undefined) {
    return <ConversationPage key={id} session={session} places={places} talk={talk} />;
  }
  const question =
    place.kind === "room"
      ? `You have not joined the room “${place.name}”.`
      : `You have no conversation with ${place.other} yet.`;
  return (
    <div class="empty">
      <p>{question}</p>
      <button class="primary" type="button" onClick={() => places.join(place)}>
        {place.kind === "room" ? "Join" : "Start one"}
      </button>
    </div>
  );
}

/** Where there is room for both, a place is shown beside the list from the beginning. */
function useFirstPlace(places: Places): void {
  const first = useObserved(places.talks).values().next().value?.place;
  const isOver = useRef(!matchMedia("(width > 720px)").matches);
  useEffect(() => {
    if (!isOver.current && first !== undefined) {
      isOver.current = true;
      if (!isSomewhere()) {
        goTo(first);
      }
    }
  }, [first]);
}

/** Unread messages stand in the title, which shows while the tab does not. */
function useTitle(places: Places): void {
  const unread = useObserved(places.unread);
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Tidings chat` : "Tidings chat";
    return () => {
      document.title = "Tidings chat";
    };
  }, [unread]);
}
