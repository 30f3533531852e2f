/** A place that is kept in step with a real server: what is unread, pending, and read. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../../../../sdk/typescript/test/server/server.ts";
import type { Place } from "../../src/place.ts";
import { readersOf } from "../../src/reads.ts";
import { type MessageRow, rowsOf } from "../../src/rows.ts";
import type { Session } from "../../src/session.ts";
import { Talk } from "../../src/talk.ts";
import { disk, policies, signedIn, until } from "./person.ts";

let server: Server;
before(async () => {
  server = await Server.start(await policies());
});
after(() => server.remove());

let rooms = 0;
function newRoom(): Place {
  rooms += 1;
  return { kind: "room", name: `room-${rooms}` };
}

/** Joins the place, and waits until the server has it. */
async function joined(session: Session, place: Place): Promise<Talk> {
  const talk = new Talk(session, place);
  await until(talk.epoch, (epoch) => epoch !== undefined);
  return talk;
}

/** Closes the page. */
async function leave(session: Session, talk: Talk): Promise<void> {
  talk.stop();
  await session.client.close();
}

function texts(talk: Talk): readonly string[] {
  return talk.conversation.value.sent.map(({ text }) => text);
}

function states(talk: Talk): readonly string[] {
  const { conversation, positions, epoch } = talk;
  const rows = rowsOf(conversation.value, {
    readersOf: (offset) =>
      readersOf(positions.reads.value, { epoch: epoch.value ?? "", offset }, conversation.value.me),
    unreadAfter: undefined,
  });
  const messages = rows.filter((row): row is MessageRow => row.row === "message");
  return messages.map(({ progress }) => progress.state);
}

test("what is unread stays unread over reloads until it is read, and its writer sees that", async (context) => {
  const place = newRoom();
  const ann = signedIn(context, server, "ann");
  const hers = await joined(ann, place);
  hers.open();
  const bob = signedIn(context, server, "bob");
  const first = await joined(bob, place);
  for (const text of ["one", "two", "three"]) {
    hers.say(text);
  }
  await until(first.unread, (unread) => unread === 3);
  await leave(bob, first);

  const reloaded = signedIn(context, server, "bob");
  const again = await joined(reloaded, place);
  await until(again.unread, (unread) => unread === 3);
  assert.deepEqual(states(hers), ["sent", "sent", "sent"]);
  again.open();
  await until(again.past, ({ past }) => past === "loaded");
  again.setReading(true);
  assert.equal(again.unread.value, 0);
  assert.deepEqual(texts(again), ["one", "two", "three"]);
  await until(hers.positions.reads, (reads) => reads.has("bob"));
  assert.deepEqual(states(hers), ["read", "read", "read"]);
  await leave(reloaded, again);

  const later = signedIn(context, server, "bob");
  const last = await joined(later, place);
  hers.say("four");
  await until(last.unread, (unread) => unread > 0);
  assert.equal(last.unread.value, 1);
  await leave(later, last);
  await leave(ann, hers);
});

test("what is read on one device is read on the other", async (context) => {
  const place = newRoom();
  const ann = signedIn(context, server, "ann");
  const hers = await joined(ann, place);
  const laptop = signedIn(context, server, "bob", { device: "laptop" });
  const phone = signedIn(context, server, "bob", { device: "phone" });
  const onLaptop = await joined(laptop, place);
  const onPhone = await joined(phone, place);
  hers.say("hello");
  await Promise.all(
    [onLaptop, onPhone].map((talk) => until(talk.unread, (unread) => unread === 1)),
  );
  onPhone.open();
  await until(onPhone.past, ({ past }) => past === "loaded");
  onPhone.setReading(true);
  await until(onLaptop.unread, (unread) => unread === 0);
  await Promise.all([leave(ann, hers), leave(laptop, onLaptop), leave(phone, onPhone)]);
});

test("what is said while the server is away waits over a reload and is sent once, in order", async (context) => {
  const place = newRoom();
  const storage = disk();
  const ann = signedIn(context, server, "ann", { storage });
  const before = await joined(ann, place);
  before.say("one");
  await until(before.conversation, ({ unsent }) => unsent.length === 0);
  await server.end("SIGKILL");
  before.say("two");
  before.say("three");
  assert.deepEqual(states(before).slice(-2), ["pending", "pending"]);
  before.stop();
  await ann.client.close({ flushMs: 0 });

  const reloaded = signedIn(context, server, "ann", { storage });
  const after = new Talk(reloaded, place);
  reloaded.client.connect().catch(() => undefined);
  await until(after.conversation, ({ unsent }) => unsent.length === 2);
  after.say("four");
  after.open();
  await server.run();
  await until(after.past, ({ past }) => past === "loaded");
  await until(after.conversation, ({ unsent }) => unsent.length === 0);
  await until(after.conversation, ({ sent }) => sent.length === 4);

  const bob = signedIn(context, server, "bob");
  const his = await joined(bob, place);
  his.open();
  await until(his.past, ({ past }) => past === "loaded");
  assert.deepEqual(texts(his), ["one", "two", "three", "four"]);
  assert.deepEqual(texts(after), ["one", "two", "three", "four"]);
  await Promise.all([leave(reloaded, after), leave(bob, his)]);
});

test("who joins a room sees what was said before, and it is not unread", async (context) => {
  const place = newRoom();
  const ann = signedIn(context, server, "ann");
  const hers = await joined(ann, place);
  hers.open();
  await until(hers.past, ({ past }) => past === "loaded");
  for (let number = 1; number <= 120; number += 1) {
    hers.say(`line ${number}`);
  }
  await until(hers.conversation, ({ sent }) => sent.length === 120);
  const bob = signedIn(context, server, "bob");
  const his = await joined(bob, place);
  his.open();
  await until(his.past, ({ past }) => past === "loaded");
  assert.deepEqual([his.unread.value, texts(his).length, texts(his).at(-1)], [0, 50, "line 120"]);
  await his.loadEarlier();
  await his.loadEarlier();
  assert.equal(texts(his).length, 120);
  assert.equal(texts(his)[0], "line 1");
  await Promise.all([leave(ann, hers), leave(bob, his)]);
});

test("who is written to gets what was said before they ever came", async (context) => {
  const ann = signedIn(context, server, "ann");
  const hers = await joined(ann, { kind: "direct", other: "dora" });
  hers.say("are you there?");
  await until(hers.conversation, ({ unsent }) => unsent.length === 0);
  const dora = signedIn(context, server, "dora");
  const his = await joined(dora, { kind: "direct", other: "ann" });
  await until(his.unread, (unread) => unread === 1);
  await Promise.all([leave(ann, hers), leave(dora, his)]);
});

test("people see who is here and who types", async (context) => {
  const place = newRoom();
  const ann = signedIn(context, server, "ann");
  const bob = signedIn(context, server, "bob");
  const hers = await joined(ann, place);
  hers.open();
  const his = await joined(bob, place);
  his.open();
  await until(hers.presence.people, (people) => people.join() === "ann,bob");
  await until(his.presence.people, (people) => people.join() === "ann,bob");
  his.signs.typed();
  await until(hers.signs.typing, (typing) => typing.has("bob"));
  his.say("there");
  await until(hers.signs.typing, (typing) => !typing.has("bob"));
  await leave(bob, his);
  await until(hers.presence.people, (people) => people.join() === "ann");
  await leave(ann, hers);
});

test("a message that the server refuses says why, and is not said later", async (context) => {
  const place = newRoom();
  const ann = signedIn(context, server, "ann");
  const hers = await joined(ann, place);
  hers.say("x".repeat(70_000));
  const { unsent } = await until(hers.conversation, ({ unsent }) => unsent[0]?.state === "refused");
  assert.match(JSON.stringify(unsent), /65536/);
  hers.discard(unsent[0]?.key ?? "");
  assert.deepEqual(hers.conversation.value.unsent, []);
  await leave(ann, hers);
});
