/** Who has read how far, who types, and who is here. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { membersOf, peopleOf, withChange } from "../../src/members.ts";
import { type Reads, readersOf, withRead } from "../../src/reads.ts";
import {
  TYPING_LASTS_MS,
  type Typing,
  typingLine,
  withoutTyping,
  withTyping,
} from "../../src/typing.ts";

const NOBODY_READ: Reads = new Map();
const NOBODY_TYPES: Typing = new Map();

test("who has read a message has read those before it, too", () => {
  const reads = withRead(NOBODY_READ, "bob", { epoch: "e", offset: 5 });
  assert.deepEqual(readersOf(reads, { epoch: "e", offset: 5 }, "alice"), ["bob"]);
  assert.deepEqual(readersOf(reads, { epoch: "e", offset: 6 }, "alice"), []);
});

test("I am no reader of my own messages", () => {
  const reads = withRead(NOBODY_READ, "alice", { epoch: "e", offset: 5 });
  assert.deepEqual(readersOf(reads, { epoch: "e", offset: 1 }, "alice"), []);
});

test("places in another life of the log mean nothing", () => {
  const reads = withRead(NOBODY_READ, "bob", { epoch: "old", offset: 5 });
  assert.deepEqual(readersOf(reads, { epoch: "new", offset: 1 }, "alice"), []);
  const anew = withRead(reads, "bob", { epoch: "new", offset: 1 });
  assert.deepEqual(readersOf(anew, { epoch: "new", offset: 1 }, "alice"), ["bob"]);
});

test("a place that comes late does not go back", () => {
  const reads = withRead(NOBODY_READ, "bob", { epoch: "e", offset: 5 });
  assert.equal(withRead(reads, "bob", { epoch: "e", offset: 3 }), reads);
});

test("somebody types until they fall silent or have said it", () => {
  const typing = withTyping(NOBODY_TYPES, "bob", 0);
  assert.equal(typingLine(typing, "alice", TYPING_LASTS_MS - 1), "bob is typing…");
  assert.equal(typingLine(typing, "alice", TYPING_LASTS_MS), "");
  assert.equal(typingLine(withoutTyping(typing, "bob"), "alice", 1), "");
});

test("I am not told that I type, and of many no names", () => {
  const two = withTyping(withTyping(NOBODY_TYPES, "carol", 0), "bob", 0);
  assert.equal(typingLine(two, "alice", 1), "bob and carol are typing…");
  assert.equal(typingLine(two, "bob", 1), "carol is typing…");
  assert.equal(typingLine(withTyping(two, "dave", 0), "alice", 1), "Several people are typing…");
});

test("a person is here as long as one of their devices is", () => {
  const phone = { user: "bob", client: "phone", since: 1 };
  const laptop = { user: "bob", client: "laptop", since: 2 };
  const members = membersOf([phone, laptop]);
  assert.deepEqual(peopleOf(members), ["bob"]);
  const one = withChange(members, { joined: [], left: [phone] });
  assert.deepEqual(peopleOf(one), ["bob"]);
  assert.deepEqual(peopleOf(withChange(one, { joined: [], left: [laptop] })), []);
});
