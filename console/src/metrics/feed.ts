/** Reads the metrics once a second while somebody looks, and keeps the last minutes. */

import { type ApiError, asApiError } from "../api/request.ts";
import { withRises } from "./error-counts.ts";
import { type Point, pointBetween } from "./point.ts";
import { parseMetrics, type Reading } from "./reading.ts";

/** Points kept: five minutes. */
export const POINTS_MAX = 300;

const INTERVAL_MS = 1000;

/** Readings further apart than this have nothing between them that is true of each second. */
const GAP_MS = 5000;

/** What there is to show. */
export interface FeedView {
  readonly points: readonly Point[];
  /** The newest reading, for what is no rate. */
  readonly latest: Reading | undefined;
  /** Errors told to clients since the console was opened, by code. */
  readonly errorsRisen: ReadonlyMap<string, number>;
  readonly trouble: ApiError | undefined;
}

/** One reader for however many parts of a page listen. */
export class MetricsFeed {
  readonly #read: () => Promise<string>;
  readonly #listeners = new Set<(view: FeedView) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #points: Point[] = [];
  #latest: Reading | undefined;
  #errorsRisen: ReadonlyMap<string, number> = new Map();
  #trouble: ApiError | undefined;

  constructor(read: () => Promise<string>) {
    this.#read = read;
  }

  get view(): FeedView {
    return {
      points: this.#points,
      latest: this.#latest,
      errorsRisen: this.#errorsRisen,
      trouble: this.#trouble,
    };
  }

  /** Listens until the function that it returns is called. Nothing is read while nobody does. */
  listen(listener: (view: FeedView) => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) void this.#turn();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearTimeout(this.#timer);
    };
  }

  async #turn(): Promise<void> {
    clearTimeout(this.#timer);
    const begun = performance.now();
    if (!document.hidden) await this.#readOnce();
    if (this.#listeners.size === 0) return;
    const rest = Math.max(100, INTERVAL_MS - (performance.now() - begun));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#turn(), rest);
  }

  async #readOnce(): Promise<void> {
    try {
      const text = await this.#read();
      this.#take(parseMetrics(text, performance.now()));
      this.#trouble = undefined;
    } catch (error) {
      this.#trouble = asApiError(error);
    }
    for (const listener of this.#listeners) listener(this.view);
  }

  #take(reading: Reading): void {
    const before = this.#latest;
    this.#latest = reading;
    if (before === undefined) return;
    this.#errorsRisen = withRises(this.#errorsRisen, before, reading);
    if (reading.at - before.at > GAP_MS) {
      // Nobody looked for a while: a line over that time would tell what nobody has seen.
      this.#points = [];
      return;
    }
    const point = pointBetween(before, reading, Date.now());
    this.#points = [...this.#points.slice(1 - POINTS_MAX), point];
  }
}
