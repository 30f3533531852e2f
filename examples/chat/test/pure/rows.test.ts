/** How a conversation is laid out in lines. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyConversation, type Sent, withPending, withSent } from "../../src/conversation.ts";
import { type MessageRow, type Row, rowsOf } from "../../src/rows.ts";

const NOON = new Date(2026, 10, 21, 12).getTime();
const DAY_MS = 86_400_000;
const NOBODY = { readersOf: () => [], unreadAfter: undefined };

function said(offset: number, from: string, at: number): Sent {
  return { offset, from, key: `key-${offset}`, text: "text", at };
}

function conversation(...messages: readonly Sent[]) {
  return withSent(emptyConversation("alice"), messages);
}

function kinds(rows: readonly Row[]): readonly string[] {
  return rows.map(({ row }) => row);
}

function messages(rows: readonly Row[]): readonly MessageRow[] {
  return rows.flatMap((row) => (row.row === "message" ? [row] : []));
}

test("each day begins with a line", () => {
  const two = conversation(said(1, "bob", NOON), said(2, "bob", NOON + DAY_MS));
  assert.deepEqual(kinds(rowsOf(two, NOBODY)), ["day", "message", "day", "message"]);
});

test("messages of one person stand together, until somebody else speaks or time passes", () => {
  const run = conversation(
    said(1, "bob", NOON),
    said(2, "bob", NOON + 1),
    said(3, "carol", NOON + 2),
    said(4, "carol", NOON + 10 * 60_000),
  );
  const begins = messages(rowsOf(run, NOBODY)).map((message) => message.begins);
  assert.deepEqual(begins, [true, false, true, true]);
});

test("the unread ones begin with a line, once, before the first one of somebody else", () => {
  const three = conversation(
    said(1, "bob", NOON),
    said(2, "alice", NOON),
    said(3, "bob", NOON),
    said(4, "bob", NOON),
  );
  const rows = rowsOf(three, { ...NOBODY, unreadAfter: 1 });
  assert.deepEqual(kinds(rows), ["day", "message", "message", "unread", "message", "message"]);
});

test("my messages are pending, then sent, then read; those of others are there", () => {
  const both = conversation(said(1, "alice", NOON), said(2, "alice", NOON), said(3, "bob", NOON));
  const waiting = withPending(both, { key: "w", text: "text", since: NOON });
  const readersOf = (offset: number) => (offset <= 1 ? ["bob"] : []);
  const states = messages(rowsOf(waiting, { ...NOBODY, readersOf })).map(
    (row) => row.progress.state,
  );
  assert.deepEqual(states, ["read", "sent", "sent", "pending"]);
});

test("a message keeps its key when it is sent, so that it is not drawn anew", () => {
  const waiting = withPending(emptyConversation("alice"), { key: "k", text: "text", since: NOON });
  const sent = withSent(waiting, [{ ...said(1, "alice", NOON), key: "k" }]);
  const keyOf = (rows: readonly Row[]) => messages(rows)[0]?.key;
  assert.equal(keyOf(rowsOf(waiting, NOBODY)), keyOf(rowsOf(sent, NOBODY)));
});
