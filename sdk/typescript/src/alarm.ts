/** A timer that may be far away. */

import { TIMER_MAX_MS } from "./limits.ts";

/**
 * Calls once at a time, and then no more. It looks at the clock every few minutes, since timers
 * overflow after 24 days and stand still while the machine sleeps.
 */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Rings at this time, instead of any time before. */
  set(at: number, ring: () => void): void {
    this.clear();
    const wait = Math.max(0, at - Date.now());
    this.#timer = setTimeout(
      () => {
        if (Date.now() < at) {
          this.set(at, ring);
        } else {
          this.#timer = undefined;
          ring();
        }
      },
      Math.min(wait, TIMER_MAX_MS),
    );
  }

  get isSet(): boolean {
    return this.#timer !== undefined;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
