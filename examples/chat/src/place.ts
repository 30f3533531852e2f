/** Where people talk: a room that anybody may join, or the conversation of two people. */

export type Place =
  | { readonly kind: "room"; readonly name: string }
  | { readonly kind: "direct"; readonly other: string };

/** The topics of a place. */
export interface Topics {
  readonly messages: string;
  /** How far everybody has read. */
  readonly reads: string;
  /** Who is typing; nothing of it is kept. */
  readonly typing: string;
}

/** Which rooms there are. */
export const DIRECTORY_TOPIC = "chat/rooms";

/**
 * Names of rooms and people. The longest topic has two of them, so 24 letters of 4 bytes each keep it
 * within the 255 bytes that a topic may have.
 */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]{0,23}$/u;

export const NAME_RULE =
  "Use 1 to 24 letters, digits, dots, dashes or underscores, starting with a letter or digit.";

/** The name as it is used everywhere, or nothing if it breaks a rule. */
export function parseName(typed: string): string | undefined {
  const name = typed.trim().normalize("NFC").toLowerCase();
  return NAME.test(name) ? name : undefined;
}

/** The same for what somebody calls a room: dashes stand for blanks, as in “launch-party”. */
export function parseRoomName(typed: string): string | undefined {
  return parseName(typed.trim().replace(/\s+/g, "-"));
}

/** The log of the places that somebody joined, was invited to, and left. */
export function listTopicOf(user: string): string {
  return `chat/people/${user}`;
}

/** The topics of a place, as the person `me` sees it. */
export function topicsOf(place: Place, me: string): Topics {
  const base = baseOf(place, me);
  return { messages: `${base}/messages`, reads: `${base}/reads`, typing: `${base}/typing` };
}

function baseOf(place: Place, me: string): string {
  switch (place.kind) {
    case "room":
      return `chat/room/${place.name}`;
    case "direct":
      // Both sides have to arrive at the same topic.
      return `chat/direct/${[me, place.other].sort().join("/")}`;
  }
}

/** A short text for a place: in addresses, in lists, and as a key. */
export function placeId(place: Place): string {
  switch (place.kind) {
    case "room":
      return `room/${place.name}`;
    case "direct":
      return `direct/${place.other}`;
  }
}

export function parsePlace(id: string): Place | undefined {
  const [kind, typed, ...rest] = id.split("/");
  const name = typed === undefined ? undefined : parseName(typed);
  if (name === undefined || rest.length > 0) {
    return undefined;
  }
  switch (kind) {
    case "room":
      return { kind, name };
    case "direct":
      return { kind, other: name };
    default:
      return undefined;
  }
}

/** What a place is called on the page. */
export function titleOf(place: Place): string {
  return place.kind === "room" ? place.name : place.other;
}
