/** The fallback against a real server: requests, subscriptions, and how links end. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { httpTransport } from "../../src/fallback.ts";
import { Conversation } from "./conversation.ts";
import { HttpProxy } from "./http-proxy.ts";
import { RealServer, type TokenClaims } from "./real-server.ts";

const server = new RealServer({
  TIDINGS_AUTH__LEEWAY: "0s",
  TIDINGS_TOPIC: '[{match = "memory/#", durability = "memory"}]',
});
const proxy = new HttpProxy(() => server.port, { upgrades: false, holdsBack: false });

before(async () => {
  await server.start();
  await proxy.start();
});

after(async () => {
  await proxy.stop();
  await server.remove();
});

async function connected(claims?: TokenClaims): Promise<Conversation> {
  const talk = new Conversation(httpTransport(), proxy.url);
  const token = claims === undefined ? {} : { token: server.token(claims) };
  await talk.ask("connect", { ...token, client: "phone" }, "connected");
  return talk;
}

const everything = [{ match: "#", ops: ["pub", "sub", "hist", "pres"] }];

test("answers connect with the user of the token", async () => {
  const talk = new Conversation(httpTransport(), proxy.url);
  const exp = Math.floor(Date.now() / 1000) + 60;
  const token = server.token({ sub: "älice", exp });
  const body = await talk.ask("connect", { token, client: "phone" }, "connected");
  assert.deepEqual(
    { user: body.user, client: body.client, session: body.session, end: body.expires_at },
    { user: "älice", client: "phone", session: "", end: exp * 1000 },
  );
  talk.close();
});

test("refuses a token that the server refuses, and does not come back with it", async () => {
  const talk = new Conversation(httpTransport(), proxy.url);
  const error = await talk.ask("connect", { token: "a.b.c" }, "error");
  assert.equal(error.code, "unauthenticated");
  assert.equal((await talk.end()).code, 4000);
});

test("publishes in order, and a repeat under the same key is the same message", async () => {
  const talk = await connected({ sub: "alice", caps: everything });
  const ids = await Promise.all(
    Array.from({ length: 300 }, (_, n) =>
      talk.send("publish", { topic: "order", data: { n }, key: `key-${n}` }),
    ),
  );
  const offsets = await talk.until(() => {
    const replies = ids.map((id) => talk.heard.find((frame) => frame.id === id));
    const found = replies.flatMap((one) => (one?.kind === "published" ? [one.body.offset] : []));
    return found.length === ids.length ? found : undefined;
  }, "300 replies");
  assert.deepEqual(
    offsets,
    Array.from({ length: 300 }, (_, n) => n + 1),
  );
  const again = { topic: "order", data: { n: 7 }, key: "key-7" };
  const { offset, duplicate } = await talk.ask("publish", again, "published");
  assert.deepEqual({ offset, duplicate }, { offset: 8, duplicate: true });
  talk.close();
});

test("bytes, headers and messages for later come through", async () => {
  const talk = await connected();
  const data = Uint8Array.of(0, 255, 128);
  const headers = { lang: "de" };
  const { offset } = await talk.ask("publish", { topic: "bytes", data, headers }, "published");
  const { messages } = await talk.ask("history", { topic: "bytes" }, "history");
  assert.deepEqual(
    messages.map((one) => [one.offset, one.data, one.headers]),
    [[offset, data, headers]],
  );
  const deliver_at = Date.now() + 60_000;
  const later = await talk.ask("publish", { topic: "bytes", data: 1, deliver_at }, "scheduled");
  assert.equal(later.deliver_at, deliver_at);
  talk.close();
});

test("what the server refuses is refused with its code, and the link stays", async () => {
  const talk = await connected({ sub: "bob", caps: [{ match: "mine/#", ops: ["pub", "sub"] }] });
  const refused = await talk.ask("publish", { topic: "other", data: 1 }, "error");
  assert.equal(refused.code, "permission_denied");
  assert.equal((await talk.ask("history", { topic: "mine/1" }, "error")).code, "permission_denied");
  assert.equal(
    (await talk.ask("presence", { topic: "mine/1" }, "error")).code,
    "permission_denied",
  );
  await talk.ask("subscribe", { topic: "mine/1" }, "subscribed");
  assert.equal(
    (await talk.ask("subscribe", { topic: "other" }, "error")).code,
    "permission_denied",
  );
  await talk.ask("publish", { topic: "mine/1", data: "still there" }, "published");
  await talk.until(() => talk.messages("mine/1")[0], "the message");
  talk.close();
});

test("topics that keep nothing, and twice the same, are refused without harm to others", async () => {
  const talk = await connected();
  await talk.ask("subscribe", { topic: "kept" }, "subscribed");
  assert.equal((await talk.ask("subscribe", { topic: "memory/1" }, "error")).code, "unsupported");
  assert.equal(
    (await talk.ask("subscribe", { topic: "kept" }, "error")).code,
    "already_subscribed",
  );
  await server.publish("kept", "hello");
  await talk.until(() => talk.messages("kept")[0], "the message");
  talk.close();
});

test("what needs a WebSocket is refused for now", async () => {
  const talk = await connected();
  for (const body of [
    { topic: "inbox", durable: "phone" },
    { topic: "jobs", group: "workers" },
    { filter: "room/+" },
  ]) {
    const { code, temporary } = await talk.ask("subscribe", body, "error");
    assert.deepEqual({ code, temporary }, { code: "unsupported", temporary: true });
  }
  talk.close();
});

test("unsubscribing ends the messages, and the topic can be subscribed again", async () => {
  const talk = await connected();
  await talk.ask("subscribe", { topic: "left" }, "subscribed");
  await talk.ask("unsubscribe", { sub: "left" }, "unsubscribed");
  assert.equal((await talk.ask("unsubscribe", { sub: "left" }, "error")).code, "not_subscribed");
  const offset = await server.publish("left", 1);
  const body = await talk.ask("subscribe", { topic: "left" }, "subscribed");
  assert.equal(body.offset, offset);
  await server.publish("left", 2);
  await talk.until(() => talk.messages("left")[0], "the message");
  assert.deepEqual(
    talk.messages("left").map((one) => one.data),
    [2],
  );
  talk.close();
});

test("who watches presence is told to ask again", async () => {
  const transport = httpTransport({ presenceIntervalMs: 100 });
  const talk = new Conversation(transport, proxy.url);
  await talk.ask("connect", {}, "connected");
  await talk.ask("subscribe", { topic: "room", presence: true }, "subscribed");
  const told = await talk.until(() => talk.all("presence")[0], "presence");
  assert.deepEqual(told, { topic: "room", joined: [], left: [], reset: true });
  const present = await talk.ask("presence", { topic: "room" }, "present");
  assert.deepEqual(present, { topic: "room", members: [], total: 0 });
  talk.close();
});

test("a ping is answered by the server, or nobody", async () => {
  const talk = await connected();
  await talk.ask("ping", {}, "pong");
  talk.close();
});

test("a token that ends ends the link, and a fresh one in time does not", async () => {
  const claims = { sub: "carol", caps: everything };
  const end = () => Math.floor(Date.now() / 1000) + 3;
  const stays = await connected({ ...claims, exp: end() });
  const ends = await connected({ ...claims, exp: end() });
  for (const talk of [stays, ends]) {
    await talk.ask("subscribe", { topic: "tokens" }, "subscribed");
  }
  await stays.ask("refresh", { token: server.token(claims) }, "refreshed");
  const stranger = server.token({ sub: "eve", caps: everything });
  assert.equal((await stays.ask("refresh", { token: stranger }, "error")).code, "unauthenticated");
  assert.equal((await ends.end()).code, 4200);
  await server.publish("tokens", "after the end");
  await stays.until(() => stays.messages("tokens")[0], "the message");
  assert.equal(stays.closedWith, undefined);
  stays.close();
});
