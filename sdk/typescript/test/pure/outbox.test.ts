/** Messages that wait: order, bounds, repeats. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, Outbox } from "../../src/outbox.ts";

function outbox(): Outbox {
  return new Outbox({ messagesMax: 3, bytesMax: 100, baseMs: 250, maxMs: 30_000 });
}

function entry(sequence: number, bytes = 10): Entry {
  const body = { topic: "t", data: sequence, key: `k${sequence}` };
  return { sequence, instance: "me", body, dataBytes: 1, bytes, since: 0 };
}

/** Sends all that may be sent. */
function send(box: Outbox, now = 0, inFlightMax = 10): Entry[] {
  const sent: Entry[] = [];
  for (
    let next = box.next(now, inFlightMax);
    next !== undefined;
    next = box.next(now, inFlightMax)
  ) {
    box.sent(next);
    sent.push(next);
  }
  return sent;
}

const sequences = (entries: readonly Entry[]) => entries.map(({ sequence }) => sequence);

test("sends in order, no more at once than allowed", () => {
  const box = outbox();
  for (const sequence of [1, 2, 3]) {
    box.add(entry(sequence));
  }
  const sent = send(box, 0, 2);
  assert.deepEqual(sequences(sent), [1, 2]);
  box.settled(sent[0] as Entry);
  assert.deepEqual(sequences(send(box, 0, 2)), [3]);
});

test("sends again what had no answer, in order, before what is new", () => {
  const box = outbox();
  const [one, two, three] = [entry(1), entry(2), entry(3)];
  for (const each of [one, two, three]) {
    box.add(each);
  }
  send(box);
  box.settled(two);
  box.disconnected();
  box.add(entry(4));
  assert.deepEqual(sequences(send(box)), [1, 3, 4]);
});

test("waits as long as the server says, and then goes on in the application's order", () => {
  const box = outbox();
  const [one, two, three] = [entry(1), entry(2), entry(3)];
  for (const each of [one, two, three]) {
    box.add(each);
  }
  send(box);
  box.retry(two, 1000, 500, 1);
  box.retry(one, 1000, undefined, 1);
  assert.deepEqual(send(box, 1499), []);
  assert.equal(box.deadline(1499), 1500);
  assert.deepEqual(sequences(send(box, 1500)), [1, 2]);
});

test("refusals in a row wait longer, those of one moment count once", () => {
  const box = outbox();
  const [one, two] = [entry(1), entry(2)];
  box.add(one);
  box.add(two);
  send(box);
  box.retry(one, 0, undefined, 1);
  box.retry(two, 0, undefined, 1);
  assert.equal(box.deadline(0), 250);
  send(box, 250);
  box.retry(one, 250, undefined, 1);
  assert.equal(box.deadline(250), 750);
});

test("what an earlier client left goes first", () => {
  const box = outbox();
  box.add(entry(7));
  box.add({ ...entry(3), instance: "earlier" });
  assert.deepEqual(sequences(send(box)), [3, 7]);
});

test("is bounded in messages and in bytes, and says so", () => {
  const box = outbox();
  box.add(entry(1, 60));
  assert.equal(box.refusal(41)?.code, "outbox_full");
  assert.equal(box.refusal(40), undefined);
  const last = entry(3);
  box.add(entry(2));
  box.add(last);
  assert.equal(box.refusal(1)?.temporary, true);
  send(box);
  box.settled(last);
  assert.equal(box.refusal(1), undefined);
});

test("takes back what was never sent, and nothing else", () => {
  const box = outbox();
  const [one, two] = [entry(1), entry(2)];
  box.add(one);
  send(box);
  box.disconnected();
  box.add(two);
  assert.equal(box.takeBack(one), false, "the server may have it");
  assert.equal(box.takeBack(two), true);
  assert.equal(box.size, 1);
});
