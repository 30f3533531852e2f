/** The application's answers to a durable subscription, across connections. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageBody, SubscribedBody } from "../../src/frames.ts";
import { Ledger } from "../../src/ledger.ts";
import type { Held } from "../../src/place.ts";

const EPOCH = "Zr3";

function message(offset: number): MessageBody {
  return { topic: "t", offset, id: `m${offset}`, data: null, at: 0 };
}

function held(offset: number, epoch = EPOCH): Held {
  return { topic: "t", offset, id: `m${offset}`, epoch };
}

function subscribed(offset: number, more: Partial<SubscribedBody> = {}): SubscribedBody {
  return { sub: "t", epoch: EPOCH, offset, first: 1, recovered: true, pending: 0, ...more };
}

function given(offsets: readonly number[]): Ledger {
  const ledger = new Ledger("t", "first");
  ledger.subscribed(subscribed(100));
  for (const offset of offsets) {
    assert.equal(ledger.received(message(offset)), true);
  }
  return ledger;
}

function acks(ledger: Ledger): Array<number | readonly number[]> {
  return ledger.takeAcks().map((ack) => ("offset" in ack ? ack.offset : ack.offsets));
}

test("acks what is done up to the first that is not, and the others singly", () => {
  const ledger = given([1, 2, 3, 4]);
  ledger.acked(held(1));
  ledger.acked(held(2));
  ledger.acked(held(4));
  assert.deepEqual(acks(ledger), [2, [4]]);
  assert.deepEqual(acks(ledger), []);
  ledger.acked(held(3));
  assert.deepEqual(acks(ledger), [4]);
});

test("a message in the application's hands is not handed out again", () => {
  const ledger = given([1, 2]);
  ledger.disconnected();
  ledger.subscribed(subscribed(100));
  assert.equal(ledger.received(message(1)), false);
  ledger.acked(held(1));
  assert.deepEqual(acks(ledger), [1]);
});

test("an ack that was lost is given again when the server repeats the message", () => {
  const ledger = given([1, 2]);
  ledger.acked(held(1));
  ledger.acked(held(2));
  assert.deepEqual(acks(ledger), [2]);
  ledger.disconnected();
  ledger.subscribed(subscribed(100));
  assert.deepEqual(acks(ledger), [], "nothing is said of what this connection has not brought");
  assert.equal(ledger.received(message(1)), false);
  assert.deepEqual(acks(ledger), [1]);
  assert.equal(ledger.received(message(2)), false);
  assert.deepEqual(acks(ledger), [2]);
});

test("an ack that crossed a repeat is given again", () => {
  const ledger = given([1, 2]);
  ledger.acked(held(1));
  ledger.acked(held(2));
  assert.deepEqual(acks(ledger), [2]);
  assert.equal(ledger.received(message(1)), false);
  assert.deepEqual(acks(ledger), [2]);
  assert.deepEqual(acks(ledger), []);
});

test("one that was acked before an earlier one is done is acked again when it is repeated", () => {
  const ledger = given([1, 2]);
  ledger.acked(held(2));
  assert.deepEqual(acks(ledger), [[2]]);
  ledger.disconnected();
  ledger.subscribed(subscribed(100));
  assert.equal(ledger.received(message(2)), false);
  assert.deepEqual(acks(ledger), [[2]]);
});

test("a cumulative ack never covers what was given back", () => {
  const ledger = given([1, 2, 3]);
  assert.deepEqual(ledger.released(held(1)), { topic: "t", offset: 1 });
  ledger.acked(held(2));
  ledger.acked(held(3));
  assert.deepEqual(acks(ledger), [[2, 3]]);
  assert.equal(ledger.received(message(1)), true, "it comes again");
  ledger.acked(held(1));
  assert.deepEqual(acks(ledger), [3]);
});

test("a message that was missed is not acked with the others", () => {
  const ledger = given([1]);
  ledger.missed(message(2));
  assert.equal(ledger.received(message(3)), true);
  ledger.acked(held(1));
  ledger.acked(held(3));
  assert.deepEqual(acks(ledger), [1, [3]]);
  assert.equal(ledger.received(message(2)), true);
});

test("what was given up holds up acks until the server has it", () => {
  const ledger = given([1, 2]);
  ledger.givenUp(held(1));
  ledger.acked(held(2));
  assert.deepEqual(acks(ledger), [[2]]);
  ledger.giveUpAnswered(held(1), true);
  assert.deepEqual(acks(ledger), [2]);
});

test("a giving up that the server did not hear of comes again", () => {
  const ledger = given([1]);
  ledger.givenUp(held(1));
  ledger.disconnected();
  ledger.subscribed(subscribed(100));
  assert.equal(ledger.received(message(1)), true);
});

test("in another life of the log offsets start over, and old answers mean nothing", () => {
  const ledger = given([1, 2]);
  ledger.reset({
    sub: "t",
    topic: "t",
    reason: "epoch_changed",
    epoch: "new",
    first: 1,
    offset: 9,
  });
  assert.equal(ledger.received(message(1)), true);
  ledger.acked(held(1));
  assert.deepEqual(acks(ledger), [], "that was the old one");
  ledger.acked(held(1, "new"));
  assert.deepEqual(acks(ledger), [1]);
});

test("a log that ends before what it has sent is another one, whatever it calls itself", () => {
  const ledger = given([1, 2, 3]);
  for (const offset of [1, 2, 3]) {
    ledger.acked(held(offset));
  }
  ledger.disconnected();
  ledger.subscribed(subscribed(2));
  assert.equal(ledger.received(message(3)), true);
});

test("what was trimmed no longer holds up acks", () => {
  const ledger = given([1, 50]);
  ledger.released(held(1));
  ledger.acked(held(50));
  acks(ledger);
  ledger.reset({ sub: "t", topic: "t", reason: "trimmed", epoch: EPOCH, first: 40, offset: 60 });
  assert.deepEqual(acks(ledger), [50]);
});

test("forgets what the server must have settled", () => {
  const ledger = given([1]);
  ledger.released(held(1));
  assert.equal(ledger.received(message(9000)), true);
  ledger.acked(held(9000));
  assert.deepEqual(acks(ledger), [9000]);
});
