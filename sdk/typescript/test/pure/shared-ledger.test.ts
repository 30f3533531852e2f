/** The application's answers to a shared subscription, across connections. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageBody } from "../../src/frames.ts";
import { DONE_REMEMBERED_MAX } from "../../src/limits.ts";
import type { Held } from "../../src/place.ts";
import { SharedLedger } from "../../src/shared-ledger.ts";

function message(id: string, topic: string, offset: number): MessageBody {
  return { topic, offset, id, data: null, at: 0, sub: "jobs/#" };
}

function held(id: string): Held {
  return { topic: "", offset: 0, id, epoch: undefined };
}

test("acks singly, by topic", () => {
  const ledger = new SharedLedger("first");
  ledger.received(message("a", "jobs/1", 7));
  ledger.received(message("b", "jobs/1", 9));
  ledger.received(message("c", "jobs/2", 7));
  for (const id of ["a", "b", "c"]) {
    ledger.acked(held(id));
  }
  assert.deepEqual(ledger.takeAcks(), [
    { topic: "jobs/1", offsets: [7, 9] },
    { topic: "jobs/2", offsets: [7] },
  ]);
  assert.deepEqual(ledger.takeAcks(), []);
});

test("what was done on an earlier connection is acked when it comes again, not before", () => {
  const ledger = new SharedLedger("first");
  ledger.received(message("a", "jobs/1", 7));
  ledger.disconnected();
  ledger.acked(held("a"));
  assert.deepEqual(ledger.takeAcks(), [], "it may be another member's by now");
  assert.equal(ledger.received(message("a", "jobs/1", 7)), false);
  assert.deepEqual(ledger.takeAcks(), [{ topic: "jobs/1", offsets: [7] }]);
});

test("a message in the application's hands is not handed out again", () => {
  const ledger = new SharedLedger("first");
  assert.equal(ledger.received(message("a", "jobs/1", 7)), true);
  ledger.disconnected();
  assert.equal(ledger.received(message("a", "jobs/1", 7)), false);
  ledger.acked(held("a"));
  assert.deepEqual(ledger.takeAcks(), [{ topic: "jobs/1", offsets: [7] }]);
});

test("what was given back comes again", () => {
  const ledger = new SharedLedger("first");
  ledger.received(message("a", "jobs/1", 7));
  assert.deepEqual(ledger.released(held("a")), { topic: "jobs/1", offset: 7 });
  assert.equal(ledger.received(message("a", "jobs/1", 7)), true);
});

test("remembers a bounded number of those that are done", () => {
  const ledger = new SharedLedger("first");
  for (let number = 0; number <= DONE_REMEMBERED_MAX; number += 1) {
    ledger.received(message(`m${number}`, "jobs/1", number + 1));
    ledger.acked(held(`m${number}`));
  }
  assert.equal(ledger.received(message("m1", "jobs/1", 2)), false);
  assert.equal(ledger.received(message("m0", "jobs/1", 1)), true, "the oldest is forgotten");
});
