/** Who is typing: everybody who does says so every few seconds, and silence ends it. */

/** Until when each counts as typing. */
export type Typing = ReadonlyMap<string, number>;

/** How often somebody who types says so. */
export const TYPING_EVERY_MS = 2_500;

/** How long one saying lasts: longer than the time between two, by what a network may take. */
export const TYPING_LASTS_MS = 4_000;

/** More than these are "several people" anyway. */
const TYPING_MAX = 20;

export function withTyping(typing: Typing, user: string, now: number): Typing {
  const current = [...typing].filter(([other, until]) => until > now && other !== user);
  return new Map([...current, [user, now + TYPING_LASTS_MS] as const].slice(-TYPING_MAX));
}

/** Somebody has said what they typed. */
export function withoutTyping(typing: Typing, user: string): Typing {
  return typing.has(user) ? new Map([...typing].filter(([other]) => other !== user)) : typing;
}

/** The line under the timeline; empty if nobody types. */
export function typingLine(typing: Typing, me: string, now: number): string {
  const names = [...typing]
    .filter(([user, until]) => user !== me && until > now)
    .map(([user]) => user)
    .sort();
  switch (names.length) {
    case 0:
      return "";
    case 1:
      return `${names[0]} is typing…`;
    case 2:
      return `${names[0]} and ${names[1]} are typing…`;
    default:
      return "Several people are typing…";
  }
}
