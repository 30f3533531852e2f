/** Decides when a client comes back (docs/protocol.md, "The end of a connection"). */

import { BACKOFF_LEAST_MS, LASTING_MS } from "./limits.ts";

/** What the end of a connection says about coming back. */
export type Advice =
  | { readonly kind: "stay" }
  | { readonly kind: "atOnce" }
  | { readonly kind: "backoff" }
  | { readonly kind: "after"; readonly ms: number };

/** What a close code says: its range is enough. A goodbye that named a time counts instead. */
export function adviceOf(code: number, goawayMs: number | undefined): Advice {
  if (code >= 4000 && code <= 4099) {
    return { kind: "stay" };
  }
  if (goawayMs !== undefined) {
    return { kind: "after", ms: goawayMs };
  }
  return code >= 4200 && code <= 4299 ? { kind: "atOnce" } : { kind: "backoff" };
}

/**
 * A random time up to `base · 2^(failures - 1)`, which ends at `max`: those that lost the same server
 * spread best over all of it.
 */
export function backoffMs(failures: number, base: number, max: number, random: number): number {
  const full = Math.min(max, base * 2 ** Math.min(failures - 1, 30));
  const least = Math.min(full, BACKOFF_LEAST_MS);
  return Math.round(least + (full - least) * random);
}

/** Counts failures in a row and spaces attempts. */
export class Reconnect {
  #failures = 0;
  readonly #baseMs: number;
  readonly #maxMs: number;

  constructor(baseMs: number, maxMs: number) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** Attempts that failed, or connections that ended, since the last one that was made. */
  get failures(): number {
    return this.#failures;
  }

  /** A connection was made: the count starts over. */
  connected(): void {
    this.#failures = 0;
  }

  /** A connection or an attempt ended after `lastedMs` (0 if there was none): how long to wait. */
  ended(advice: Exclude<Advice, { kind: "stay" }>, lastedMs: number, random: number): number {
    this.#failures += 1;
    switch (advice.kind) {
      case "after":
        return advice.ms;
      case "atOnce":
        if (this.#failures === 1 && lastedMs >= LASTING_MS) {
          return 0;
        }
        break;
      case "backoff":
        break;
    }
    return backoffMs(this.#failures, this.#baseMs, this.#maxMs, random);
  }
}
