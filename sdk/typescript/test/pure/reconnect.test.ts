/** When a client comes back: the rules of docs/protocol.md. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { causeOfEnd, codeOfEnd } from "../../src/end-of-connection.ts";
import { BACKOFF_BASE_MS, BACKOFF_MAX_MS } from "../../src/limits.ts";
import { adviceOf, backoffMs, Reconnect } from "../../src/reconnect.ts";

test("waits between 50 ms and all of a time that doubles up to its end", () => {
  for (const [failures, full] of [
    [1, 500],
    [2, 1000],
    [3, 2000],
    [6, 16_000],
    [7, 20_000],
    [5000, 20_000],
  ] as const) {
    assert.equal(backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS, 0), 50);
    assert.equal(backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_MAX_MS, 1), full);
  }
  assert.equal(backoffMs(1, 20, 100, 0), 20, "a base that is shorter is kept");
});

test("starts over once connected", () => {
  const reconnect = new Reconnect(250, 30_000);
  const waits = [1, 2, 3].map(() => reconnect.ended({ kind: "backoff" }, 0, 1));
  assert.deepEqual(waits, [250, 500, 1000]);
  reconnect.connected();
  assert.equal(reconnect.ended({ kind: "backoff" }, 60_000, 1), 250);
});

test('"at once" is at once, and turns into backoff if it fails or does not last', () => {
  const reconnect = new Reconnect(250, 30_000);
  assert.equal(reconnect.ended({ kind: "atOnce" }, 60_000, 1), 0);
  assert.equal(reconnect.ended({ kind: "atOnce" }, 0, 1), 500);
  reconnect.connected();
  assert.equal(reconnect.ended({ kind: "atOnce" }, 10, 1), 250, "no hot loop");
});

test("goes by the range of a close code, and by the time that a goodbye named", () => {
  assert.deepEqual(
    [1000, 1006, 4000, 4003, 4099, 4200, 4299, 4400, 4499, 4777].map(
      (code) => adviceOf(code, undefined).kind,
    ),
    [
      "backoff",
      "backoff",
      "stay",
      "stay",
      "stay",
      "atOnce",
      "atOnce",
      "backoff",
      "backoff",
      "backoff",
    ],
  );
  assert.deepEqual(adviceOf(4402, 1200), { kind: "after", ms: 1200 });
  assert.deepEqual(adviceOf(4003, 1200), { kind: "stay" }, "no time makes up for a no");
  assert.equal(new Reconnect(250, 30_000).ended({ kind: "after", ms: 1200 }, 0, 1), 1200);
});

test("where the close code was lost, the goodbye's word stands for it", () => {
  assert.equal(codeOfEnd(1006, "taken_over"), 4003);
  assert.equal(codeOfEnd(1006, "pong_timeout"), 1006);
  assert.equal(codeOfEnd(4402, "taken_over"), 4402);
  assert.equal(causeOfEnd(4003, "", undefined).code, "taken_over");
  assert.equal(causeOfEnd(4003, "", undefined).temporary, false);
  assert.equal(causeOfEnd(1006, "", undefined).temporary, true);
});
