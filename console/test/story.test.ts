/** Stories as entries and lanes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Story } from "../src/api/types.ts";
import { entriesOf, timelineOf } from "../src/story/timeline.ts";

const STORY: Story = {
  id: "01JD0M2Q8G00Z0000000000003",
  published: { topic: "jobs/1", at: 1000, bytes: 3, headers: 0, from: "shop" },
  places: [
    { topic: "jobs/1", offset: 1, epoch: "e", kept: true, at: 1000 },
    { topic: "jobs/1", offset: 9, epoch: "e", kept: true, at: 1900, replay_of: 4 },
  ],
  events: [
    { at: 1000, what: "sent", attempt: 1, user: "alice", durable: "worker", client: "c" },
    { at: 1100, what: "nacked", user: "alice", durable: "worker", client: "c" },
    { at: 1500, what: "sent", attempt: 2, user: "alice", durable: "worker", client: "c" },
    { at: 1600, what: "given_up", group: "g", filter: "jobs/#" },
  ],
  dead_letters: [
    {
      offset: 4,
      id: "01JD0M2Q8G00Z0000000000003",
      at: 1600,
      topic: "jobs/1",
      message: { id: "01JD0M2Q8G00Z0000000000003", offset: 1, epoch: "e", at: 1000 },
      attempts: 2,
      gave_up: "nacked",
      bytes: 3,
    },
  ],
};

test("tells everything in the order of time, the log first where times are the same", () => {
  assert.deepEqual(
    entriesOf(STORY).map((entry) => [entry.at, entry.kind, entry.reader]),
    [
      [1000, "log", undefined],
      [1000, "sent", "alice as worker"],
      [1100, "failed", "alice as worker"],
      [1500, "sent", "alice as worker"],
      [1600, "givenUp", undefined],
      [1600, "givenUp", "group g"],
      [1900, "log", undefined],
    ],
  );
});

test("says with each failure what its reader said of it, by attempt and time", () => {
  const reader = { user: "u", durable: "d", client: "c" };
  const nack = (at: number, attempt: number) => ({ at, what: "nacked", attempt, ...reader });
  const failed = (attempt: number, ended_at: number, reason?: string) => ({
    attempt,
    ended_at,
    ended: "nacked",
    client: "c",
    ...(reason === undefined ? {} : { reason }),
  });
  const [letter] = STORY.dead_letters ?? [];
  assert.ok(letter);
  const story: Story = {
    id: "x",
    events: [nack(1001, 1), nack(2000, 2), nack(3000, 3), nack(9000, 1), nack(9900, 2)],
    dead_letters: [
      {
        ...letter,
        ...reader,
        at: 4000,
        history: [failed(1, 1000, "db down"), failed(2, 2000, "db down"), failed(3, 3000)],
        reasons: "db down; db down",
      },
    ],
    // Published again.
    subscriptions: [
      { ...reader, offset: 1, state: "pending", failed: [failed(1, 9001, "full")] },
      { user: "v", durable: "d", offset: 1, state: "pending", failed: [failed(2, 9900, "not u")] },
    ],
  };
  const entries = entriesOf(story);
  assert.deepEqual(
    entries.map((entry) => entry.text),
    [
      "nacked, c, attempt 1: db down",
      "nacked, c, attempt 2: db down",
      "nacked, c, attempt 3",
      "Became dead letter 4: nacked, 2 × db down",
      "nacked, c, attempt 1: full",
      "nacked, c, attempt 2",
    ],
  );
  assert.equal(timelineOf(entries)?.lanes[1]?.reasons, "2 × db down; full");
});

test("draws a delivery as a stretch, and one without an end as a mark", () => {
  const timeline = timelineOf(entriesOf(STORY));
  const alice = timeline?.lanes.find((lane) => lane.name === "alice as worker");
  assert.deepEqual(
    alice?.marks.map((mark) => [
      mark.kind,
      Number(mark.from.toFixed(3)),
      Number(mark.to.toFixed(3)),
    ]),
    [
      ["failed", 0, 0.181],
      ["sent", 0.528, 0.528],
    ],
  );
});

test("tells apart what came close together before something much later", () => {
  const events = [0, 1, 2, 100_000].map((at) => ({
    at,
    what: "timed_out",
    user: "u",
    durable: "d",
  }));
  const marks = timelineOf(entriesOf({ id: "x", events }))?.lanes[1]?.marks ?? [];
  assert.ok((marks[2]?.to ?? 0) - (marks[1]?.to ?? 0) > 0.1);
});

test("draws what happened within a millisecond, and nothing where nothing did", () => {
  const timeline = timelineOf(
    entriesOf({ id: "x", published: { topic: "t", at: 5, bytes: 0, headers: 0 } }),
  );
  assert.deepEqual(
    timeline?.lanes[0]?.marks.map((mark) => mark.from),
    [0],
  );
  assert.equal(timelineOf([]), undefined);
});

test("a message for later is accepted, then due", () => {
  const entries = entriesOf({
    id: "x",
    scheduled: { topic: "t", at: 5, bytes: 0, headers: 0, deliver_at: 50 },
  });
  assert.deepEqual(
    entries.map((entry) => entry.text),
    ["Accepted for later, to t", "Due"],
  );
});
