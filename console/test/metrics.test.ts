/** Reading OpenMetrics text, and the arithmetic on two readings. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCounts, withRises } from "../src/metrics/error-counts.ts";
import { ceilingOf, linePath } from "../src/metrics/line.ts";
import { pointBetween } from "../src/metrics/point.ts";
import { parseMetrics, quantile, rate, ratesBy, total } from "../src/metrics/reading.ts";

const histogram = (counts: readonly number[]): string =>
  ["0.001", "0.01", "0.1", "+Inf"]
    .map((bound, index) => `tidings_publish_seconds_bucket{le="${bound}"} ${counts[index]}`)
    .join("\n");

test("reads names, labels with escapes, and numbers of every form", () => {
  const reading = parseMetrics(
    [
      "# HELP a What it is.",
      "# TYPE a counter",
      "a_total 12",
      'b{group="x\\"y\\\\z",filter="jobs/#, or {so}"} 1.5e3 # {trace="t"} 1',
      'c{le="+Inf"} +Inf',
      "nonsense",
      "d NaN",
      "# EOF",
    ].join("\n"),
    0,
  );
  assert.equal(total(reading, "a_total"), 12);
  assert.deepEqual(reading.samples.get("b"), [
    { labels: { group: 'x"y\\z', filter: "jobs/#, or {so}" }, value: 1500 },
  ]);
  assert.equal(reading.samples.get("c")?.[0]?.value, Number.POSITIVE_INFINITY);
  assert.deepEqual([...reading.samples.keys()], ["a_total", "b", "c"]);
});

test("tells the rate of a counter, and of one that was started anew", () => {
  const before = parseMetrics("a_total 100", 1000);
  assert.equal(rate(before, parseMetrics("a_total 150", 1500), "a_total"), 100);
  assert.equal(rate(before, parseMetrics("a_total 20", 2000), "a_total"), 20);
  assert.equal(rate(before, parseMetrics("a_total 150", 1000), "a_total"), 0);
});

test("tells rates by label, of those that rose alone", () => {
  const before = parseMetrics('e_total{code="a"} 1\ne_total{code="b"} 5', 0);
  const after = parseMetrics('e_total{code="a"} 3\ne_total{code="b"} 5\ne_total{code="c"} 1', 1000);
  assert.deepEqual(
    [...ratesBy(before, after, "e_total", "code")],
    [
      ["a", 2],
      ["c", 1],
    ],
  );
});

test("counts errors since the server started, and what came since the first reading", () => {
  const readings = [
    'tidings_errors_total{code="a"} 3\ntidings_errors_total{code="b"} 0',
    'tidings_errors_total{code="a"} 3\ntidings_errors_total{code="b"} 5',
    // An hour later, and another server by then.
    'tidings_errors_total{code="a"} 1\ntidings_errors_total{code="b"} 0',
  ].map((text, index) => parseMetrics(text, index * 3_600_000));
  const [first, second, third] = readings;
  assert.ok(first && second && third);
  const none = new Map<string, number>();
  assert.deepEqual(errorCounts(first, none), [{ code: "a", told: 3, risen: 0 }]);
  const later = withRises(none, first, second);
  assert.deepEqual(errorCounts(second, later), [
    { code: "b", told: 5, risen: 5 },
    { code: "a", told: 3, risen: 0 },
  ]);
  assert.deepEqual(errorCounts(third, withRises(later, second, third)), [
    { code: "a", told: 1, risen: 1 },
    { code: "b", told: 0, risen: 5 },
  ]);
});

test("finds quantiles within buckets, of what was observed in between", () => {
  const before = parseMetrics(histogram([100, 100, 100, 100]), 0);
  const after = parseMetrics(histogram([150, 190, 200, 200]), 1000);
  assert.equal(quantile(before, after, "tidings_publish_seconds", 0.5), 0.001);
  // Rank 70 lies 20 of 40 into the bucket from 1 to 10 ms.
  assert.ok(
    Math.abs((quantile(before, after, "tidings_publish_seconds", 0.7) ?? 0) - 0.0055) < 1e-9,
  );
  assert.equal(quantile(after, after, "tidings_publish_seconds", 0.5), undefined);
});

test("counts what lies in the open bucket as the bound below it", () => {
  const before = parseMetrics(histogram([0, 0, 0, 0]), 0);
  const after = parseMetrics(histogram([0, 0, 0, 10]), 1000);
  assert.equal(quantile(before, after, "tidings_publish_seconds", 0.99), 0.1);
});

test("a point has rates, gauges and latencies in milliseconds", () => {
  const before = parseMetrics(`tidings_store_appended 10\n${histogram([0, 0, 0, 0])}`, 0);
  const after = parseMetrics(
    [
      "tidings_store_appended 30",
      "tidings_deliveries_total 8",
      "tidings_stream_deliveries_total 2",
      "tidings_connections 7",
      'tidings_errors_total{code="overloaded"} 4',
      histogram([10, 10, 10, 10]),
    ].join("\n"),
    2000,
  );
  const point = pointBetween(before, after, 5);
  assert.equal(point.at, 5);
  assert.equal(point.published, 10);
  assert.equal(point.delivered, 5);
  assert.equal(point.connections, 7);
  assert.equal(point.publishP50Ms, 0.5);
  assert.deepEqual([...point.errors], [["overloaded", 2]]);
});

test("the top of a chart is a round number that no value is above", () => {
  assert.equal(ceilingOf([]), 1);
  assert.equal(ceilingOf([undefined, 0]), 1);
  assert.equal(ceilingOf([3]), 5);
  assert.equal(ceilingOf([0.3]), 0.5);
  assert.equal(ceilingOf([1000]), 1000);
  assert.equal(ceilingOf([5001]), 10_000);
  assert.equal(ceilingOf([900], "bytes"), 1000);
  assert.equal(ceilingOf([1500], "bytes"), 2048);
  assert.equal(ceilingOf([150 * 1024], "bytes"), 200 * 1024);
});

test("a line ends at the right edge and has gaps where nothing is known", () => {
  const frame = { room: 3, ceiling: 10, width: 100, height: 50 };
  assert.equal(linePath([0, 10], frame), "M50.0 50.0h.1L100.0 0.0");
  assert.equal(linePath([5, undefined, 5], frame), "M0.0 25.0h.1M100.0 25.0h.1");
  assert.equal(linePath([1, 2, 3, 4], frame).split("L").length, 3);
});
