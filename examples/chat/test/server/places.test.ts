/** Which places somebody is in, on a real server: on all devices, over reloads, and by invitation. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../../../../sdk/typescript/test/server/server.ts";
import { type Place, placeId } from "../../src/place.ts";
import { Places } from "../../src/places.ts";
import type { Session } from "../../src/session.ts";
import type { Talk } from "../../src/talk.ts";
import { disk, policies, signedIn, until } from "./person.ts";

let server: Server;
before(async () => {
  server = await Server.start(await policies());
});
after(() => server.remove());

const GALLEY: Place = { kind: "room", name: "galley" };

/** Where the list would stay in a browser. */
class Kept {
  readonly #entries = new Map<string, string>();

  getItem(name: string): string | null {
    return this.#entries.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.#entries.set(name, value);
  }
}

function ids(places: Places): readonly string[] {
  return [...places.talks.value.keys()];
}

async function shows(places: Places, ...wanted: readonly string[]): Promise<void> {
  await until(places.talks, () => ids(places).join() === wanted.join());
}

function talkIn(places: Places, id: string): Talk {
  const talk = places.talks.value.get(id);
  assert.ok(talk, `is not in ${id}`);
  return talk;
}

async function leave(session: Session, places: Places): Promise<void> {
  places.stop();
  await session.client.close();
}

test("everybody begins in general, and a place that is joined or left is so on all devices", async (context) => {
  const laptop = new Places(signedIn(context, server, "ann", { device: "laptop" }), new Kept());
  const phone = new Places(signedIn(context, server, "ann", { device: "phone" }), new Kept());
  await Promise.all([shows(laptop, "room/general"), shows(phone, "room/general")]);
  laptop.createRoom("galley");
  await shows(phone, "room/galley", "room/general");
  phone.leave({ kind: "room", name: "general" });
  await shows(laptop, "room/galley");
});

test("a place that was left does not come back with a reload, nor with a new device", async (context) => {
  const kept = new Kept();
  const session = signedIn(context, server, "bob");
  const first = new Places(session, kept);
  await shows(first, "room/general");
  first.join(GALLEY);
  first.leave({ kind: "room", name: "general" });
  await leave(session, first);

  const reloaded = new Places(signedIn(context, server, "bob"), kept);
  assert.deepEqual(ids(reloaded), ["room/galley"]);
  const shown: string[] = [];
  reloaded.talks.onChange(() => shown.push(ids(reloaded).join()));
  const elsewhere = new Places(signedIn(context, server, "bob", { device: "new" }), new Kept());
  await shows(elsewhere, "room/galley");
  await until(talkIn(reloaded, "room/galley").epoch, (epoch) => epoch !== undefined);
  assert.ok(
    shown.every((list) => list === "room/galley"),
    shown.join(" | "),
  );
});

test("a place that is joined without a network is joined after a reload, too", async (context) => {
  const [kept, storage] = [new Kept(), disk()];
  const session = signedIn(context, server, "carol", { storage });
  const first = new Places(session, kept);
  await shows(first, "room/general");
  await until(talkIn(first, "room/general").epoch, (epoch) => epoch !== undefined);
  await server.end("SIGKILL");
  first.join(GALLEY);
  assert.deepEqual([...ids(first)].sort(), ["room/galley", "room/general"]);
  first.stop();
  await session.client.close({ flushMs: 0 });

  const reloaded = new Places(signedIn(context, server, "carol", { storage }), kept);
  await server.run();
  await shows(reloaded, "room/galley", "room/general");
  const elsewhere = new Places(signedIn(context, server, "carol", { device: "new" }), new Kept());
  await shows(elsewhere, "room/galley", "room/general");
});

test("who is written to finds the conversation and its message unread", async (context) => {
  const dora = new Places(signedIn(context, server, "dora"), new Kept());
  await shows(dora, "room/general");
  const place: Place = { kind: "direct", other: "emil" };
  dora.join(place);
  dora.say(talkIn(dora, placeId(place)), "hello Emil");
  const emil = new Places(signedIn(context, server, "emil"), new Kept());
  await until(emil.talks, (talks) => talks.has("direct/dora"));
  await until(emil.unread, (unread) => unread === 1);
});

test("a place that is left and joined again at once is there", async (context) => {
  const places = new Places(signedIn(context, server, "fred"), new Kept());
  await shows(places, "room/general");
  for (let times = 0; times < 3; times += 1) {
    places.leave({ kind: "room", name: "general" });
    places.join({ kind: "room", name: "general" });
  }
  await shows(places, "room/general");
  const talk = talkIn(places, "room/general");
  talk.open();
  talk.close();
  talk.open();
  await until(talk.past, ({ past }) => past === "loaded");
  talk.say("still here");
  await until(talk.conversation, ({ sent }) => sent.length > 0);
});
