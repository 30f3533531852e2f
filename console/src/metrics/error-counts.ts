/** How many errors the server told its clients, by code: since it started, and while somebody looked. */

import { type Reading, risesBy, sumsBy } from "./reading.ts";

const ERRORS = "tidings_errors_total";

/** A code that was told at least once. */
export interface ErrorCount {
  readonly code: string;
  /** Since the server started. */
  readonly told: number;
  /** Since the console was opened, also by a server that ended in between. */
  readonly risen: number;
}

/** What has risen so far, with what came between two readings added, however far apart they are. */
export function withRises(
  risen: ReadonlyMap<string, number>,
  before: Reading,
  after: Reading,
): ReadonlyMap<string, number> {
  const rises = risesBy(before, after, ERRORS, "code");
  if (rises.size === 0) return risen;
  const sums = new Map(risen);
  for (const [code, rise] of rises) sums.set(code, (sums.get(code) ?? 0) + rise);
  return sums;
}

/** Every code that was told, the most frequent first. */
export function errorCounts(latest: Reading, risen: ReadonlyMap<string, number>): ErrorCount[] {
  const told = sumsBy(latest, ERRORS, "code");
  const codes = new Set([...told.keys(), ...risen.keys()]);
  return [...codes]
    .map((code) => ({ code, told: told.get(code) ?? 0, risen: risen.get(code) ?? 0 }))
    .filter((count) => count.told > 0 || count.risen > 0)
    .sort((a, b) => b.told - a.told || b.risen - a.risen || (a.code < b.code ? -1 : 1));
}
