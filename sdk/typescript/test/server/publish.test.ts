/** What becomes of messages that cannot leave, and of those that the server refuses. */

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { memoryStorage } from "../../src/memory-storage.ts";
import type { Transport } from "../../src/transport.ts";
import type { ClientEvents } from "../../src/types.ts";
import { webSocketTransport } from "../../src/websocket.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { eventually, givenClient, givenServer, reaches } from "./given.ts";
import { tokenOf } from "./server.ts";

test("what waits survives a reload, and leaves in order and once", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const storage = memoryStorage();
  const before = givenClient(context, { url: proxy.url, storage });
  await before.connect();
  proxy.shut();
  await eventually("the loss", () => before.state.status !== "connected");
  const lost = [1, 2, 3].map((number) =>
    before.publish("room/1", number).catch(({ code }) => code),
  );
  assert.deepEqual(
    before.outbox.map(({ data }) => data),
    [1, 2, 3],
  );
  const { waiting } = await before.close({ flushMs: 0 });
  assert.equal(waiting, 3);
  assert.deepEqual(await Promise.all(lost), ["closed", "closed", "closed"]);
  proxy.open();
  const after = givenClient(context, { url: proxy.url, storage });
  const told: Array<ClientEvents["published"]> = [];
  after.on("published", (event) => told.push(event));
  await after.publish("room/1", 4);
  await eventually("all to be told", () => told.length === 3);
  const { messages } = await after.history("room/1");
  assert.deepEqual(
    messages.map(({ data }) => data),
    [1, 2, 3, 4],
  );
  assert.equal(after.outbox.length, 0);
  await after.close();
  assert.deepEqual(await storage.list("outbox/"), [], "nothing of it is kept any longer");
});

test("what was published just before a close is kept, also if storage was not open yet", async (context) => {
  const server = await givenServer(context);
  const storage = memoryStorage();
  const hasty = givenClient(context, { url: server.url, storage });
  const lost = hasty.publish("room/1", "hasty").catch(({ code }) => code);
  assert.equal((await hasty.close({ flushMs: 0 })).waiting, 1);
  assert.equal(await lost, "closed");
  const next = givenClient(context, { url: server.url, storage });
  const told = new Promise<string>((resolve) =>
    next.on("published", ({ topic }) => resolve(topic)),
  );
  await next.connect();
  assert.equal(await told, "room/1");
  const patient = givenClient(context, { url: server.url, storage });
  const sent = patient.publish("room/1", "patient");
  assert.equal((await patient.close()).waiting, 0, "by itself it waits until it has left");
  await sent;
});

test("a message whose answer was lost is not published twice", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const client = givenClient(context, { url: proxy.url });
  await client.connect();
  const lost = proxy.loseNextAnswer();
  const publication = client.publish("room/1", "once", { key: "mine" });
  assert.equal(publication.key, "mine");
  await lost;
  proxy.cut();
  assert.equal((await publication).duplicate, true);
  const other = givenClient(context, { url: server.url });
  const repeat = await other.publish("room/1", "once", { key: "mine" });
  assert.equal(repeat.duplicate, true);
  const { messages } = await other.history("room/1");
  assert.equal(messages.length, 1);
});

test("says at the bound that there is no room, and refuses nothing that it took", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  proxy.shut();
  const client = givenClient(context, { url: proxy.url, outbox: { messagesMax: 3 } });
  const taken = [1, 2, 3].map((number) => client.publish("room/1", number));
  await assert.rejects(client.publish("room/1", 4), { code: "outbox_full", temporary: true });
  proxy.open();
  await Promise.all(taken);
  await client.publish("room/1", 5);
});

test("what the server refuses for good is told and does not hold up the rest", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const [refused, large, good] = await Promise.allSettled([
    client.publish("bad/+/topic", 1),
    client.publish("room/1", "x".repeat(70_000)),
    client.publish("room/1", "fine"),
  ]);
  assert.equal(refused?.status === "rejected" && refused.reason.code, "bad_topic");
  assert.equal(large?.status === "rejected" && large.reason.code, "too_large");
  assert.equal(good?.status, "fulfilled");
  await assert.rejects(
    // What JavaScript lets through where types are not checked.
    client.publish("room/1", undefined as unknown as null),
    { code: "bad_field" },
  );
});

test("a publish that is aborted before it left is taken back", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  proxy.shut();
  const client = givenClient(context, { url: proxy.url });
  const abort = new AbortController();
  const kept = client.publish("room/1", "kept");
  const gone = client.publish("room/1", "gone", { signal: abort.signal });
  abort.abort();
  await assert.rejects(gone, { code: "aborted" });
  assert.equal(client.outbox.length, 1);
  proxy.open();
  await kept;
  const { messages } = await client.history("room/1");
  assert.deepEqual(
    messages.map(({ data }) => data),
    ["kept"],
  );
});

test("a message for later is scheduled", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const deliverAt = new Date(Date.now() + 60_000);
  const scheduled = await client.publish("room/1", "tea?", { deliverAt });
  assert.ok("deliverAt" in scheduled);
  assert.equal(scheduled.deliverAt, deliverAt.getTime());
});

test("a token that is refused signs out; connecting with another one goes on", async (context) => {
  const server = await givenServer(context);
  let token = "nonsense";
  const client = givenClient(context, { url: server.url, getToken: () => token });
  const publication = client.publish("room/1", "patient");
  const state = await reaches(client, "signedOut");
  assert.equal(state.cause.code, "unauthenticated");
  assert.equal(state.hint, "Signed out. Sign in again. 1 message waits to be sent.");
  await assert.rejects(client.connect(), { code: "unauthenticated" });
  token = tokenOf("alice");
  await client.connect();
  await publication;
});

test("shows a fresh token before the old one ends, and keeps the connection", async (context) => {
  const server = await givenServer(context);
  let asked = 0;
  const client = givenClient(context, {
    url: server.url,
    getToken: async () => {
      asked += 1;
      if (asked === 2) {
        throw new Error("the network is bad");
      }
      return tokenOf("alice", { seconds: asked < 3 ? 6 : 3600 });
    },
  });
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  await client.connect();
  const states: string[] = [];
  client.on("state", ({ status }) => states.push(status));
  await eventually("a third token", () => asked >= 3);
  // Longer than the first token was good for.
  await new Promise((resolve) => setTimeout(resolve, 3500));
  assert.deepEqual(states, [], "the connection stayed");
  assert.deepEqual(problems, ["token_failed"]);
  await client.publish("room/1", "still here");
});

test("without a new token the end of the old one signs out", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url, token: tokenOf("alice", { seconds: 2 }) });
  await client.connect();
  const state = await reaches(client, "signedOut");
  assert.equal(state.cause.code, "token_expired");
});

test("gives up after as many attempts as it was told, at first and after a loss", async (context) => {
  const server = await givenServer(context);
  await server.end("SIGKILL");
  const transport = webSocketTransport(WebSocket);
  let attempts = 0;
  const counting: Transport = {
    ...transport,
    open: (...how) => {
      attempts += 1;
      return transport.open(...how);
    },
  };
  const client = givenClient(context, {
    url: server.url,
    transport: counting,
    backoff: { baseMs: 5, maxMs: 10, attemptsMax: 3 },
  });
  await assert.rejects(client.connect(), { code: "attempts_exhausted" });
  assert.equal(client.state.status, "failed");
  assert.equal(attempts, 3);
  await server.run();
  await client.connect();
  attempts = 0;
  await server.end("SIGKILL");
  await reaches(client, "failed");
  assert.equal(attempts, 3);
});

test("a publish that nobody waits for is told where it is refused, and ends no program", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const refused: string[] = [];
  client.on("refused", ({ topic, error }) => refused.push(`${topic} ${error.code}`));
  client.publish("room/#", 1);
  client.publish("room/1", 1n as unknown as number);
  await eventually("both", () => refused.length === 2);
  assert.deepEqual(refused.sort(), ["room/# bad_topic", "room/1 bad_field"]);
  await server.end("SIGKILL");
  await eventually("the loss", () => client.state.status !== "connected");
  client.publish("room/1", 2);
  assert.equal((await client.close({ flushMs: 0 })).waiting, 1);
  client.publish("room/1", 3);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(refused.length, 2, "what may leave later is not refused");
});

test("a close waits for as long as it is told, also without an end", async (context) => {
  const server = await givenServer(context);
  await server.end("SIGKILL");
  const client = givenClient(context, { url: server.url });
  const sent = client.publish("room/1", 1);
  const closed = client.close({ flushMs: Number.POSITIVE_INFINITY });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await server.run();
  assert.equal((await closed).waiting, 0);
  await sent;
});

test("a subscription whose signal has come before it is refused as aborted", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const signal = AbortSignal.abort();
  assert.throws(() => client.subscribe("room/1", { signal }), { code: "aborted" });
});

test("a clock that is ahead of the server's does not ask for token after token", async (context) => {
  const server = await givenServer(context);
  const now = Date.now.bind(Date);
  const tokens = Array.from({ length: 100 }, (_, more) => tokenOf("alice", { seconds: 60 + more }));
  context.mock.method(Date, "now", () => now() + 7_200_000);
  let asked = 0;
  const getToken = () => {
    asked += 1;
    return tokens[asked] ?? "";
  };
  const client = givenClient(context, { url: server.url, getToken });
  await client.connect();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.ok(asked >= 2 && asked < 10, `${asked} tokens`);
  assert.equal(client.state.status, "connected");
});

test("a second connection with its session takes over, and the first one stays away", async (context) => {
  const server = await givenServer(context);
  const storage = memoryStorage();
  const first = givenClient(context, { url: server.url, storage });
  await first.connect();
  await eventually("the session to be kept", () => first.state.status === "connected");
  await new Promise((resolve) => setTimeout(resolve, 20));
  // As a program does that was started twice with copies of what it had kept.
  const copy = memoryStorage();
  await copy.change(await storage.list(""), []);
  const second = givenClient(context, { url: server.url, storage: copy });
  await second.connect();
  const state = await reaches(first, "failed");
  assert.equal(state.cause.code, "taken_over");
  assert.equal(second.state.status, "connected");
});
