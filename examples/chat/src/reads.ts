/** Who has read how far, as everybody tells on a topic of its own. */

import type { ReadUpTo } from "./payload.ts";

export type Reads = ReadonlyMap<string, ReadUpTo>;

/**
 * Most people whose place is remembered in one conversation; those beyond it are left out, so that a
 * large room does not grow in every page.
 */
const READERS_MAX = 1_000;

/** Notes how far somebody has read. Places only move on; in another life of the log they start anew. */
export function withRead(reads: Reads, user: string, read: ReadUpTo): Reads {
  const before = reads.get(user);
  const isOld = before?.epoch === read.epoch && before.offset >= read.offset;
  if (isOld || (before === undefined && reads.size >= READERS_MAX)) {
    return reads;
  }
  return new Map(reads).set(user, read);
}

/** Who besides `me` has read the message at this place. */
export function readersOf(reads: Reads, place: ReadUpTo, me: string): readonly string[] {
  return [...reads]
    .filter(([user, read]) => {
      return user !== me && read.epoch === place.epoch && read.offset >= place.offset;
    })
    .map(([user]) => user)
    .sort();
}
