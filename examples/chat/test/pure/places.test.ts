/** Names, topics, what messages say, and which places one is in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bytesOf,
  DATA_BYTES_MAX,
  listData,
  newKey,
  parseListChange,
  parseRead,
  parseRoom,
  parseSaid,
  readData,
  roomData,
  saidData,
} from "../../src/payload.ts";
import {
  type Place,
  parseName,
  parsePlace,
  parseRoomName,
  placeId,
  topicsOf,
} from "../../src/place.ts";
import { EMPTY_LIST, idsOf, PLACES_MAX, withTold, withWish } from "../../src/place-list.ts";

const ROOM: Place = { kind: "room", name: "general" };
const BOB: Place = { kind: "direct", other: "bob" };

test("names are small letters without what topics and addresses use", () => {
  assert.equal(parseName(" Alice "), "alice");
  assert.equal(parseName("Zoë"), "zoë");
  for (const bad of ["", " ", "a/b", "a+b", "a#b", "$a", ".a", "a b", "x".repeat(25)]) {
    assert.equal(parseName(bad), undefined, bad);
  }
});

test("a room may be typed with blanks, which become dashes", () => {
  assert.equal(parseRoomName("Launch party"), "launch-party");
  assert.equal(parseRoomName("  a \t b\u00a0c "), "a-b-c");
  assert.equal(parseRoomName("general"), "general");
  for (const bad of ["", "  ", "a / b", "x y".repeat(9)]) {
    assert.equal(parseRoomName(bad), undefined, bad);
  }
});

test("both sides of a conversation of two arrive at the same topics", () => {
  const seenByAlice = topicsOf({ kind: "direct", other: "bob" }, "alice");
  const seenByBob = topicsOf({ kind: "direct", other: "alice" }, "bob");
  assert.deepEqual(seenByAlice, seenByBob);
  assert.equal(seenByAlice.messages, "chat/direct/alice/bob/messages");
});

test("the longest names fit into a topic", () => {
  const longest = "𐐀".repeat(24);
  assert.ok(parseName(longest));
  const { messages } = topicsOf({ kind: "direct", other: longest }, longest);
  assert.ok(new TextEncoder().encode(messages).length <= 255);
});

test("a place is read back from its id, and nothing else is a place", () => {
  assert.deepEqual(parsePlace(placeId(ROOM)), ROOM);
  assert.deepEqual(parsePlace(placeId(BOB)), BOB);
  for (const bad of ["", "room", "room/", "room/a/b", "house/a", "direct/a b"]) {
    assert.equal(parsePlace(bad), undefined, bad);
  }
});

test("what was published is read back, and what does not fit is left out", () => {
  const said = { text: "hi", key: newKey() };
  assert.deepEqual(parseSaid(saidData(said)), said);
  assert.deepEqual(parseRead(readData({ epoch: "e", offset: 3 })), { epoch: "e", offset: 3 });
  assert.equal(parseRoom(roomData("general")), "general");
  for (const bad of [null, 1, "hi", [], {}, { text: 1, key: "k" }, new Uint8Array(2)]) {
    assert.equal(parseSaid(bad), undefined);
    assert.equal(parseRead(bad), undefined);
    assert.equal(parseRoom(bad), undefined);
  }
  assert.equal(parseRead({ epoch: "e", offset: 1.5 }), undefined);
});

test("a message of the most bytes is counted to the byte", () => {
  const overhead = bytesOf("");
  assert.equal(bytesOf("x".repeat(DATA_BYTES_MAX - overhead)), DATA_BYTES_MAX);
  assert.equal(bytesOf("é\n"), overhead + 4);
  const sent = saidData({ text: "é\n", key: newKey() });
  assert.equal(new TextEncoder().encode(JSON.stringify(sent)).length, bytesOf("é\n"));
});

test("only I join and leave for myself; others invite me to themselves", () => {
  const change = { change: "joined", place: ROOM, key: "k" } as const;
  const joined = listData(change);
  assert.deepEqual(parseListChange(joined, "alice", "alice"), change);
  assert.equal(parseListChange(joined, "mallory", "alice"), undefined);
  const invited = listData({ change: "invited", place: BOB });
  assert.deepEqual(parseListChange(invited, "bob", "alice"), { change: "invited", place: BOB });
  assert.equal(parseListChange(invited, undefined, "alice"), undefined);
  assert.equal(parseListChange(invited, "alice", "alice"), undefined);
});

test("the last change of a place counts, and an invitation brings a conversation back", () => {
  const joined = withTold(EMPTY_LIST, { change: "joined", place: BOB, key: "1" });
  const left = withTold(joined, { change: "left", place: BOB, key: "2" });
  const invited = withTold(left, { change: "invited", place: BOB });
  const lists = [EMPTY_LIST, joined, left, invited].map(idsOf);
  assert.deepEqual(lists, [[], ["direct/bob"], [], ["direct/bob"]]);
});

test("a wish counts until the log tells of it, whatever older changes still come", () => {
  const wish = { change: "joined", place: ROOM, key: "wish" } as const;
  const wished = withWish(EMPTY_LIST, wish);
  assert.deepEqual(idsOf(wished), ["room/general"]);
  const older = withTold(wished, { change: "joined", place: ROOM, key: "older" });
  const old = withTold(older, { change: "left", place: ROOM, key: "old" });
  assert.deepEqual(idsOf(old), ["room/general"]);
  const fulfilled = withTold(old, wish);
  assert.equal(withWish(fulfilled, wish), fulfilled);
  const left = withTold(fulfilled, { change: "left", place: ROOM, key: "later" });
  assert.deepEqual(idsOf(left), []);
});

test("rooms come first, and there are no more places than a connection can follow", () => {
  let list = withTold(EMPTY_LIST, { change: "joined", place: BOB, key: "k" });
  for (let number = 0; number < PLACES_MAX + 5; number += 1) {
    const place: Place = { kind: "room", name: `r${number}` };
    list = withTold(list, { change: "joined", place, key: "k" });
  }
  const ids = idsOf(list);
  assert.equal(ids.length, PLACES_MAX);
  assert.ok(ids.every((id) => id.startsWith("room/")));
});
