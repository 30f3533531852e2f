/** What two readings of the metrics, a second or so apart, say of that second. */

import { quantile, type Reading, rate, ratesBy, total } from "./reading.ts";

/** One second of the overview. Rates are per second. */
export interface Point {
  /** When it ended, as a time of day. */
  readonly at: number;
  readonly published: number;
  readonly delivered: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly connections: number;
  /** Nothing if nothing was published. */
  readonly publishP50Ms: number | undefined;
  readonly publishP99Ms: number | undefined;
  readonly groupsLag: number;
  readonly groupsUnacked: number;
  readonly errors: ReadonlyMap<string, number>;
}

/** What lies between two readings. */
export function pointBetween(before: Reading, after: Reading, at: number): Point {
  const inMs = (seconds: number | undefined): number | undefined =>
    seconds === undefined ? undefined : seconds * 1000;
  return {
    at,
    published: rate(before, after, "tidings_store_appended"),
    delivered:
      rate(before, after, "tidings_deliveries_total") +
      rate(before, after, "tidings_stream_deliveries_total"),
    receivedBytes: rate(before, after, "tidings_received_bytes_total"),
    sentBytes: rate(before, after, "tidings_sent_bytes_total"),
    connections: total(after, "tidings_connections"),
    publishP50Ms: inMs(quantile(before, after, "tidings_publish_seconds", 0.5)),
    publishP99Ms: inMs(quantile(before, after, "tidings_publish_seconds", 0.99)),
    groupsLag: total(after, "tidings_groups_lag"),
    groupsUnacked: total(after, "tidings_groups_unacked"),
    errors: ratesBy(before, after, "tidings_errors_total", "code"),
  };
}
