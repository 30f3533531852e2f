/** The places that one is in, those that one could join, and who one is. */

import { useObserved } from "../observed.ts";
import { type Place, parseRoomName, placeId, titleOf } from "../place.ts";
import type { Places } from "../places.ts";
import { addressOf, goTo } from "../route.ts";
import { type Session, signOut } from "../session.ts";
import { type Talk, UNREAD_MAX } from "../talk.ts";
import { Avatar } from "./avatar.tsx";
import { NameForm } from "./name-form.tsx";

interface SidebarProps {
  readonly session: Session;
  readonly places: Places;
  readonly shown: Place | undefined;
}

export function Sidebar({ session, places, shown }: SidebarProps) {
  const talks = [...useObserved(places.talks).values()];
  const shownId = shown === undefined ? undefined : placeId(shown);
  const entries = (kind: Place["kind"]) =>
    talks
      .filter(({ place }) => place.kind === kind)
      .map((talk) => {
        const id = placeId(talk.place);
        return <PlaceEntry key={id} talk={talk} isShown={id === shownId} />;
      });
  const open = (place: Place) => {
    places.join(place);
    goTo(place);
  };
  return (
    <aside aria-label="Conversations">
      <header class="me">
        <Avatar name={session.user} />
        <strong>{session.user}</strong>
        <button type="button" class="plain" data-testid="sign-out" onClick={() => signOut(session)}>
          Sign out
        </button>
      </header>
      <nav aria-label="Rooms and people">
        <h2>Rooms</h2>
        <ul>{entries("room")}</ul>
        <OtherRooms places={places} onJoin={(name) => open({ kind: "room", name })} />
        <NameForm
          id="room-name"
          label="Join or create a room"
          action="Join"
          parse={parseRoomName}
          tell={(name) => `That is the room ${name}.`}
          refuse={() =>
            places.isFull ? "You are in 100 places, which is the most. Leave one first." : undefined
          }
          onName={(name) => {
            places.createRoom(name);
            goTo({ kind: "room", name });
          }}
        />
        <h2>People</h2>
        <ul>{entries("direct")}</ul>
        <NameForm
          id="person-name"
          label="Write to somebody"
          action="Write"
          refuse={(name) => (name === session.user ? "That is you." : undefined)}
          onName={(other) => open({ kind: "direct", other })}
        />
      </nav>
    </aside>
  );
}

function PlaceEntry({ talk, isShown }: { readonly talk: Talk; readonly isShown: boolean }) {
  const unread = useObserved(talk.unread);
  const people = useObserved(talk.presence.people);
  const { place } = talk;
  const title = titleOf(place);
  const isHere = place.kind === "direct" && people.includes(place.other);
  return (
    <li>
      <a
        href={addressOf(place)}
        class={unread > 0 ? "entry has-unread" : "entry"}
        aria-current={isShown ? "page" : undefined}
        data-testid={`${place.kind}-${title}`}
      >
        {place.kind === "room" ? (
          <span class="sign" aria-hidden="true">
            #
          </span>
        ) : (
          <span class={isHere ? "dot is-here" : "dot"} aria-hidden="true" />
        )}
        <span class="name">{title}</span>
        {isHere && <span class="unseen">, here</span>}
        {unread > 0 && (
          <span class="badge" data-testid="unread">
            {unread >= Math.min(100, UNREAD_MAX) ? "99+" : unread}
            <span class="unseen"> unread</span>
          </span>
        )}
      </a>
    </li>
  );
}

interface OtherRoomsProps {
  readonly places: Places;
  readonly onJoin: (name: string) => void;
}

/** Rooms shown for joining; whoever knows the name of another one types it. */
const OTHERS_MAX = 50;

function OtherRooms({ places, onJoin }: OtherRoomsProps) {
  const talks = useObserved(places.talks);
  const names = useObserved(places.directory).filter((name) => {
    return !talks.has(placeId({ kind: "room", name }));
  });
  if (names.length === 0) {
    return null;
  }
  return (
    <details class="others">
      <summary>{names.length === 1 ? "1 other room" : `${names.length} other rooms`}</summary>
      <ul>
        {names.slice(0, OTHERS_MAX).map((name) => (
          <li key={name} class="other">
            <span class="name">{name}</span>
            <button type="button" data-testid={`join-${name}`} onClick={() => onJoin(name)}>
              Join <span class="unseen">{name}</span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
