/**
 * The newest messages of something that may be fast: at most so many rows are kept, at most so many
 * are taken a second, and all are counted.
 */

/** Rows kept: more than a screen or two nobody reads. */
export const ROWS_MAX = 200;

/** Rows taken a second. Faster than that nobody reads, and drawing them would only cost. */
export const ROWS_PER_SECOND = 20;

/** Rows taken at once after a quiet time, so that a short burst is shown whole. */
const BURST = 60;

/** Over which time the rate is told. */
const RATE_WINDOW_MS = 3000;

/** What is to be shown of a tail. */
export interface TailView<Row> {
  /** The newest first. */
  readonly rows: readonly Row[];
  readonly perSecond: number;
  readonly seen: number;
  readonly leftOut: number;
}

/** A bounded, sampled window on a stream of messages. */
export class Tail<Row> {
  #rows: Row[] = [];
  #seen = 0;
  #leftOut = 0;
  #tokens = BURST;
  #refilledAt: number;
  /** How many came, by stretches of time, the newest last. */
  #counts: Array<{ at: number; count: number }> = [];

  constructor(now: number) {
    this.#refilledAt = now;
  }

  /** Counts one that came; `make` is asked for its row only if it will be shown. */
  push(make: () => Row, now: number): void {
    this.#seen += 1;
    this.#count(now);
    const earned = ((now - this.#refilledAt) / 1000) * ROWS_PER_SECOND;
    this.#tokens = Math.min(BURST, this.#tokens + Math.max(0, earned));
    this.#refilledAt = now;
    if (this.#tokens < 1) {
      this.#leftOut += 1;
      return;
    }
    this.#tokens -= 1;
    this.#rows.unshift(make());
    if (this.#rows.length > ROWS_MAX) this.#rows.length = ROWS_MAX;
  }

  /** What there is to show now. */
  view(now: number): TailView<Row> {
    const recent = this.#counts.filter((stretch) => stretch.at > now - RATE_WINDOW_MS);
    const count = recent.reduce((sum, stretch) => sum + stretch.count, 0);
    return {
      rows: [...this.#rows],
      perSecond: (count * 1000) / RATE_WINDOW_MS,
      seen: this.#seen,
      leftOut: this.#leftOut,
    };
  }

  #count(now: number): void {
    const last = this.#counts.at(-1);
    if (last !== undefined && now - last.at < 100) {
      last.count += 1;
      return;
    }
    this.#counts.push({ at: now, count: 1 });
    if (this.#counts.length > RATE_WINDOW_MS / 100 + 1) this.#counts.shift();
  }
}
