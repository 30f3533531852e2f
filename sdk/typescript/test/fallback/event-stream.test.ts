/** Server-Sent Events, however the network cuts them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamReader, type StreamEvent } from "../../src/fallback/event-stream.ts";

function read(...pieces: string[]): StreamEvent[] {
  const reader = new EventStreamReader();
  return pieces.flatMap((piece) => reader.push(piece));
}

const text = [
  "retry: 1003\r\n\r\n",
  ": a comment\n",
  "event: ready\nid: A\ndata: {}\n\n",
  'event:message\rdata:{"a":1}\r\r',
  "data: one\ndata:  two\n\n",
  "id: without data\n\n",
  "event: odd\ndata\n\n",
].join("");

const events: readonly StreamEvent[] = [
  { type: "ready", data: "{}", id: "A" },
  { type: "message", data: '{"a":1}' },
  { type: "message", data: "one\n two" },
  { type: "odd", data: "" },
];

test("reads events, comments, and every kind of line break", () => {
  assert.deepEqual(read(text), events);
});

test("reads the same wherever it is cut", () => {
  assert.deepEqual(read(...text), events);
  for (let at = 0; at <= text.length; at++) {
    assert.deepEqual(read(text.slice(0, at), text.slice(at)), events, `cut at ${at}`);
  }
});

test("an event that never ends is refused", () => {
  const reader = new EventStreamReader();
  const piece = `data: ${"x".repeat(1_000_000)}\n`;
  assert.throws(() => {
    for (let count = 0; count < 10; count++) {
      reader.push(piece);
    }
  }, RangeError);
});
