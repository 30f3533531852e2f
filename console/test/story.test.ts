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
