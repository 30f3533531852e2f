/** When silence is death. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Heartbeat } from "../../src/heartbeat.ts";

test("asks after the ping interval and 10 s, and gives up 10 s later", () => {
  const heartbeat = new Heartbeat(25_000, 0);
  assert.equal(heartbeat.look(34_999), "nothing");
  assert.equal(heartbeat.look(35_000), "ping");
  assert.equal(heartbeat.look(44_999), "nothing");
  assert.equal(heartbeat.look(45_000), "dead");
});

test("anything that is heard starts it over", () => {
  const heartbeat = new Heartbeat(25_000, 0);
  assert.equal(heartbeat.look(35_000), "ping");
  heartbeat.heard(40_000);
  assert.equal(heartbeat.look(45_000), "nothing");
  assert.equal(heartbeat.deadline, 75_000);
});

test("in doubt it asks at once, and no more than once", () => {
  const heartbeat = new Heartbeat(25_000, 0);
  assert.equal(heartbeat.doubt(1000), true);
  assert.equal(heartbeat.doubt(2000), false);
  assert.equal(heartbeat.look(11_000), "dead");
});
