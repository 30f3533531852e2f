/** What the core is told of a topic, whichever way its messages come. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FollowedTopic } from "../../src/fallback/followed-topic.ts";
import type { MessageBody } from "../../src/frames.ts";

function message(offset: number): MessageBody {
  return { topic: "a", offset, id: `m${offset}`, data: offset, at: 1 };
}

test("tells no message twice, and none before it has begun", () => {
  const topic = new FollowedTopic("a", 7, { from: "new" });
  assert.deepEqual(topic.took(message(1)), []);
  topic.began({ epoch: "e", offset: 5, first: 1, pending: 2 }, undefined);
  assert.deepEqual(topic.place, { epoch: "e", offset: 3 });
  const told = [3, 4, 4, 6, 5, 7].flatMap((offset) => topic.took(message(offset)));
  assert.deepEqual(
    told.map((frame) => frame.kind === "message" && frame.body.offset),
    [4, 6, 7],
  );
  assert.deepEqual(topic.start, { after: { epoch: "e", offset: 7 } });
});

test("answers the subscription once, and says later what is missing", () => {
  const topic = new FollowedTopic("a", 7, { after: { epoch: "d", offset: 3 } });
  const standing = { epoch: "e", offset: 5, first: 1, pending: 5 };
  assert.deepEqual(topic.began(standing, "epoch_changed"), [
    {
      kind: "subscribed",
      id: 7,
      body: { sub: "a", ...standing, recovered: false, reason: "epoch_changed" },
    },
  ]);
  assert.deepEqual(topic.began({ ...standing, pending: 0 }, undefined), []);
  assert.deepEqual(topic.began({ ...standing, offset: 9, first: 8, pending: 2 }, "trimmed"), [
    {
      kind: "reset",
      body: { sub: "a", topic: "a", reason: "trimmed", epoch: "e", first: 8, offset: 9 },
    },
  ]);
  assert.deepEqual(topic.place, { epoch: "e", offset: 7 });
});

test("has reached a place only in the same life of the log", () => {
  const topic = new FollowedTopic("a", 7, {});
  topic.began({ epoch: "e", offset: 5, first: 1, pending: 0 }, undefined);
  assert.equal(topic.hasReached({ epoch: "e", offset: 5 }), true);
  assert.equal(topic.hasReached({ epoch: "e", offset: 6 }), false);
  assert.equal(topic.hasReached({ epoch: "f", offset: 1 }), false);
});
