/** Event streams, and the bounded window on them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser, readEvents, type StreamEvent } from "../src/stream/events.ts";
import { ROWS_MAX, ROWS_PER_SECOND, Tail } from "../src/stream/tail.ts";

const STREAM =
  "retry: 1003\n\nevent: ready\nid: a\ndata: {}\n\n: \n\nevent: message\nid: b\ndata: 1\ndata: 2\n\n";

test("gives the same events however the stream is cut into pieces", () => {
  const expected: StreamEvent[] = [
    { event: "ready", id: "a", data: "{}" },
    { event: "message", id: "b", data: "1\n2" },
  ];
  for (const size of [1, 2, 7, STREAM.length]) {
    const parser = new EventStreamParser();
    const events: StreamEvent[] = [];
    for (let at = 0; at < STREAM.length; at += size) {
      events.push(...parser.push(STREAM.slice(at, at + size)));
    }
    assert.deepEqual(events, expected, `pieces of ${size}`);
  }
});

test("an event without a name is a message, and one without data is none", () => {
  assert.deepEqual(new EventStreamParser().push("data:x\n\nevent: y\n\n"), [
    { event: "message", id: undefined, data: "x" },
  ]);
});

test("refuses an event that never ends", () => {
  const parser = new EventStreamParser();
  const piece = "x".repeat(4 * 1024 * 1024);
  assert.throws(() => {
    for (let count = 0; count < 8; count += 1) parser.push(piece);
  }, /no end/);
});

test("reads characters that are cut in the middle", async () => {
  const bytes = new TextEncoder().encode('data: "é€😀"\n\n');
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const heard: StreamEvent[] = [];
  await readEvents(body, (events) => heard.push(...events), new AbortController().signal);
  assert.deepEqual(
    heard.map((event) => event.data),
    ['"é€😀"'],
  );
});

test("stops reading when it is told to", async () => {
  const stop = new AbortController();
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
    cancel: () => {
      cancelled = true;
    },
  });
  await readEvents(body, () => stop.abort(), stop.signal);
  assert.equal(cancelled, true);
});

test("keeps all of a slow stream, the newest first", () => {
  const tail = new Tail<number>(0);
  for (let count = 1; count <= 30; count += 1) tail.push(() => count, count * 100);
  const view = tail.view(3000);
  assert.equal(view.rows.length, 30);
  assert.equal(view.rows[0], 30);
  assert.equal(view.leftOut, 0);
  assert.equal(view.perSecond, 10);
});

test("samples a fast stream, counts all of it, and makes no rows in vain", () => {
  const tail = new Tail<number>(0);
  let made = 0;
  for (let count = 0; count < 10_000; count += 1) {
    tail.push(() => {
      made += 1;
      return count;
    }, count);
  }
  const view = tail.view(10_000);
  assert.equal(view.seen, 10_000);
  assert.equal(made + view.leftOut, 10_000);
  assert.ok(made <= 10 * ROWS_PER_SECOND + 61, `${made} rows were made`);
  assert.ok(made >= 10 * ROWS_PER_SECOND, `${made} rows were made`);
  assert.ok(view.rows.length <= ROWS_MAX);
  assert.ok(Math.abs(view.perSecond - 1000) < 50, `${view.perSecond} a second`);
});

test("tells no rate once nothing comes any more", () => {
  const tail = new Tail<number>(0);
  tail.push(() => 1, 0);
  assert.equal(tail.view(10_000).perSecond, 0);
});
