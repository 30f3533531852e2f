/** What a conversation becomes, whatever order the news of its messages comes in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Conversation,
  emptyConversation,
  lastOfOthers,
  restarted,
  type Sent,
  withLatest,
  withoutUnsent,
  withPending,
  withPublished,
  withRefused,
  withSent,
} from "../../src/conversation.ts";

const EMPTY = emptyConversation("alice");
const WAITING = { key: "k1", text: "hi", since: 5 };

function said(offset: number, from = "bob", key = `key-${offset}`): Sent {
  return { offset, from, key, text: `text ${offset}`, at: offset * 1_000 };
}

function offsets(conversation: Conversation): readonly number[] {
  return conversation.sent.map((message) => message.offset);
}

test("shows each message once, by offset, in whatever order they come", () => {
  const later = withSent(EMPTY, [said(3), said(5)]);
  const both = withSent(later, [said(1), said(3), said(2)]);
  assert.deepEqual(offsets(both), [1, 2, 3, 5]);
});

test("a message that waited has arrived when it is delivered before its publish is answered", () => {
  const waiting = withPending(EMPTY, WAITING);
  const delivered = withSent(waiting, [said(7, "alice", "k1")]);
  assert.deepEqual(delivered.unsent, []);
  const answered = withPublished(delivered, "k1", { offset: 7, at: 1 });
  assert.deepEqual(offsets(answered), [7]);
});

test("a message that waited has arrived when its publish is answered before it is delivered", () => {
  const answered = withPublished(withPending(EMPTY, WAITING), "k1", { offset: 7, at: 9 });
  assert.deepEqual(answered.unsent, []);
  assert.deepEqual(answered.sent, [{ offset: 7, key: "k1", from: "alice", text: "hi", at: 9 }]);
  assert.deepEqual(offsets(withSent(answered, [said(7, "alice", "k1")])), [7]);
});

test("the key of somebody else is no proof that a message has arrived", () => {
  const waiting = withPending(EMPTY, WAITING);
  assert.equal(withSent(waiting, [said(7, "mallory", "k1")]).unsent.length, 1);
});

test("a message that arrived does not wait again", () => {
  const delivered = withSent(EMPTY, [said(7, "alice", "k1")]);
  assert.deepEqual(withPending(delivered, WAITING).unsent, []);
});

test("messages wait in the order in which they were written", () => {
  const second = withPending(EMPTY, { key: "b", text: "second", since: 2 });
  const both = withPending(second, { key: "a", text: "first", since: 1 });
  assert.deepEqual(
    both.unsent.map((message) => message.text),
    ["first", "second"],
  );
});

test("a message that was refused says why, until it is thrown away", () => {
  const refused = withRefused(withPending(EMPTY, WAITING), "k1", "too large");
  assert.deepEqual(refused.unsent, [{ state: "refused", ...WAITING, reason: "too large" }]);
  assert.deepEqual(withoutUnsent(refused, "k1").unsent, []);
});

test("when the log starts anew, what waits still waits", () => {
  const before = withPending(withSent(EMPTY, [said(1)]), WAITING);
  const after = restarted(before);
  assert.deepEqual(after.sent, []);
  assert.equal(after.unsent.length, 1);
});

test("of a long conversation the oldest messages are let go", () => {
  const long = withSent(EMPTY, [said(1), said(2), said(3)]);
  assert.deepEqual(offsets(withLatest(long, 2)), [2, 3]);
  assert.equal(withLatest(long, 3), long);
});

test("what is worth telling as read is the last message of somebody else", () => {
  const mixed = withSent(EMPTY, [said(1), said(2), said(3, "alice")]);
  assert.equal(lastOfOthers(mixed)?.offset, 2);
  assert.equal(lastOfOthers(EMPTY), undefined);
});
