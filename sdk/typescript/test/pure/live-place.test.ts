/** Where live subscriptions go on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageBody, SubscribedBody } from "../../src/frames.ts";
import { WILDCARD_TOPICS_MAX } from "../../src/limits.ts";
import { TopicPlace, WildcardPlace } from "../../src/live-place.ts";
import type { Held } from "../../src/place.ts";

const message = (offset: number, topic = "t"): MessageBody => ({
  topic,
  offset,
  id: "",
  data: null,
  at: 0,
});
const held = (offset: number, epoch = "a"): Held => ({ topic: "t", offset, id: "", epoch });
const told = (first: number, offset: number, recovered: boolean): SubscribedBody => ({
  sub: "t",
  epoch: "a",
  offset,
  first,
  recovered,
  pending: 0,
});

test("goes on from the head even before the first message", () => {
  const place = new TopicPlace("new", undefined);
  assert.deepEqual(place.start(), { from: "new" });
  place.subscribed(told(3, 21, true));
  assert.deepEqual(place.start(), { after: { epoch: "a", offset: 21 } });
});

test("starts before the first or the last message if that was asked for", () => {
  const first = new TopicPlace("first", undefined);
  first.subscribed(told(3, 21, true));
  assert.deepEqual(first.start(), { after: { epoch: "a", offset: 2 } });
  const last = new TopicPlace("last", undefined);
  last.subscribed(told(3, 21, true));
  assert.deepEqual(last.start(), { after: { epoch: "a", offset: 20 } });
});

test("drops repeats, and goes on after the last message", () => {
  const place = new TopicPlace("first", undefined);
  place.subscribed(told(3, 21, true));
  assert.deepEqual(
    [3, 4, 4, 3, 5].map((offset) => place.received(message(offset))),
    [true, true, false, false, true],
  );
  place.disconnected();
  assert.deepEqual(place.start(), { after: { epoch: "a", offset: 5 } });
  place.subscribed(told(3, 30, true));
  assert.equal(place.received(message(5)), false);
});

test("a place that is gone goes on from what is left", () => {
  const place = new TopicPlace("new", { epoch: "a", offset: 2 });
  place.subscribed(told(10, 30, false));
  assert.equal(place.received(message(10)), true);
  place.reset({ sub: "t", topic: "t", reason: "epoch_changed", epoch: "b", first: 1, offset: 1 });
  assert.equal(place.epoch, "b");
  assert.equal(place.received(message(1)), true, "offsets of another epoch are no repeats");
});

test("what is kept for a reload is what the application is done with", () => {
  const place = new TopicPlace("new", undefined);
  place.subscribed(told(1, 4, true));
  assert.deepEqual(place.done, { epoch: "a", offset: 4 });
  place.received(message(5));
  place.received(message(6));
  assert.deepEqual(place.done, { epoch: "a", offset: 4 });
  place.acked(held(5));
  assert.deepEqual(place.done, { epoch: "a", offset: 5 });
  place.reset({ sub: "t", topic: "t", reason: "epoch_changed", epoch: "b", first: 1, offset: 1 });
  place.acked(held(6));
  assert.deepEqual(place.done, { epoch: "b", offset: 0 }, "that was of another life of the log");
});

test("a kept place counts only where nothing else was asked for, and says nothing but itself", () => {
  const fresh = new TopicPlace("new", undefined);
  const kept = { epoch: "a", offset: 7, at: 1 };
  fresh.goOnFrom(kept);
  assert.deepEqual(fresh.start(), { after: { epoch: "a", offset: 7 } });
  const asked = new TopicPlace("new", { epoch: "a", offset: 3 });
  asked.goOnFrom(kept);
  assert.deepEqual(asked.start(), { after: { epoch: "a", offset: 3 } });
});

test("messages that are kept nowhere are never repeats", () => {
  const place = new TopicPlace("new", undefined);
  place.subscribed(told(1, 0, true));
  assert.ok(place.received(message(0)) && place.received(message(0)));
});

test("a wildcard recognises repeats on one connection, with bounded memory", () => {
  const place = new WildcardPlace();
  assert.ok(place.received(message(5)) && !place.received(message(5)));
  place.disconnected();
  assert.ok(place.received(message(1)));
  for (let number = 0; number < WILDCARD_TOPICS_MAX; number += 1) {
    place.received(message(1, `t${number}`));
  }
  assert.equal(place.lastOffset("t"), undefined, "the quietest was forgotten");
  assert.equal(place.lastOffset("t1"), 1);
});

test("a wildcard remembers where what it missed began", () => {
  const place = new WildcardPlace();
  place.missed(message(7));
  place.missed(message(8));
  assert.equal(place.lastOffset("t"), 6);
});
