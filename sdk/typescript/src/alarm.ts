/** A timer that may be far away. */

import { TIMER_MAX_MS } from "./limits.ts";

/**
 * Calls once at a time, and then no more. It looks at the clock every few minutes, since timers
 * overflow after 24 days and stand still while the machine sleeps.
 */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Rings at this time, or when it has waited for `left`, instead of any time before. */
  set(at: number, ring: () => void, left = at - Date.now()): void {
    this.clear();
    const step = Math.min(Math.max(0, left), TIMER_MAX_MS);
    this.#timer = setTimeout(() => {
      // The waits count, too: a clock that was set back would hold it up for as long.
      const rest = Math.min(left - step, at - Date.now());
      if (rest > 0) {
        this.set(at, ring, rest);
      } else {
        this.#timer = undefined;
        ring();
      }
    }, step);
  }

  get isSet(): boolean {
    return this.#timer !== undefined;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
