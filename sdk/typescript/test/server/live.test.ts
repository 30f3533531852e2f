/** Live subscriptions and publishes over real sockets that fail. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStorage } from "../../src/memory-storage.ts";
import type { Delivery, Reset } from "../../src/types.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { eventually, givenClient, givenServer, reaches } from "./given.ts";

test("publishes, and gets what it publishes, as JSON and as bytes", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url, client: "phone" });
  const got: Delivery[] = [];
  const room = client.subscribe("room/42", { onDelivery: (delivery) => void got.push(delivery) });
  assert.equal((await room.ready).recovered, true);
  const published = await client.publish(
    "room/42",
    { text: "hi" },
    {
      headers: { lang: "de" },
      orderKey: "a",
      contentType: "application/json",
    },
  );
  await client.publish("room/42", new Uint8Array([0, 255]));
  await eventually("two messages", () => got.length === 2);
  const [first, second] = got;
  assert.deepEqual(first?.data, { text: "hi" });
  assert.deepEqual(first?.headers, { lang: "de" });
  assert.equal(first?.orderKey, "a");
  assert.equal(first?.contentType, "application/json");
  assert.equal(first?.from, "alice");
  assert.ok("epoch" in published && "offset" in published);
  assert.deepEqual(first?.position, { epoch: published.epoch, offset: published.offset });
  assert.deepEqual(second?.data, new Uint8Array([0, 255]));
  const state = await reaches(client, "connected");
  assert.equal(state.client, "phone");
  assert.equal(state.hint, "Connected.");
});

test("misses nothing and repeats nothing over cut connections", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const reader = givenClient(context, { url: proxy.url });
  const writer = givenClient(context, { url: proxy.url });
  const got: unknown[] = [];
  let recovered = 0;
  const room = reader.subscribe("room/1", { onDelivery: ({ data }) => void got.push(data) });
  room.on("recovered", () => {
    recovered += 1;
  });
  await room.ready;
  const all = Array.from({ length: 300 }, (_, number) => number);
  const publications = [];
  for (const number of all) {
    publications.push(writer.publish("room/1", number));
    if (number % 60 === 59) {
      await new Promise((resolve) => setTimeout(resolve, 15));
      proxy.cut();
    }
  }
  await Promise.all(publications);
  await eventually("all messages", () => got.length >= all.length);
  assert.deepEqual(got, all);
  assert.ok(recovered > 0, "the connection was cut, and the application was told");
  assert.ok(proxy.accepted > 2);
});

test("what is published while the server is killed arrives once and in order", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const got: unknown[] = [];
  await client.subscribe("room/1", { onDelivery: ({ data }) => void got.push(data) }).ready;
  await client.publish("room/1", 0);
  const crowd = [1, 2, 3].map((number) => client.publish("room/1", number));
  await server.end("SIGKILL");
  const late = [4, 5, 6].map((number) => client.publish("room/1", number));
  const state = await reaches(client, "offline");
  assert.match(state.hint, /^Offline\. \d messages wait to be sent\.$/);
  assert.ok(state.waiting >= 3);
  await server.run();
  await Promise.all([...crowd, ...late]);
  await eventually("all messages", () => got.length >= 7);
  assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6]);
  const history = await client.history("room/1");
  assert.deepEqual(
    history.messages.map(({ data }) => data),
    [0, 1, 2, 3, 4, 5, 6],
  );
});

test("comes back after a server that ends in good order", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  await client.connect();
  const states: string[] = [];
  const causes: string[] = [];
  client.on("state", (state) => {
    states.push(state.status);
    if (state.status === "reconnecting") {
      causes.push(state.cause.code);
    }
  });
  await server.end("SIGTERM");
  await eventually("the end", () => causes.length > 0);
  assert.equal(causes[0], "draining");
  await server.run();
  const back = await reaches(client, "connected");
  assert.equal(back.resumed, true, "its session was taken up again");
  assert.ok(!states.includes("failed"));
});

test("finds a connection that the network has lost in silence", async (context) => {
  const server = await givenServer(
    context,
    '[limits]\nping_interval = "1s"\npong_timeout = "1s"\n',
  );
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const client = givenClient(context, { url: proxy.url });
  await client.connect();
  proxy.weather = { kind: "frozen" };
  const from = Date.now();
  // Silence of the ping interval and 10 s, then 10 s for the answer to the client's own ping.
  await eventually("the loss to be found", () => client.state.status !== "connected", 25_000);
  const took = Date.now() - from;
  assert.ok(took > 18_000 && took < 24_000, `${took} ms`);
  proxy.weather = { kind: "fair" };
  await reaches(client, "connected");
});

test("a network that dribbles bytes changes nothing", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  proxy.weather = { kind: "slow", bytes: 7 };
  const client = givenClient(context, { url: proxy.url });
  const got: unknown[] = [];
  await client.subscribe("room/1", { onDelivery: ({ data }) => void got.push(data) }).ready;
  const text = "x".repeat(500);
  await client.publish("room/1", text);
  await eventually("the message", () => got.length === 1);
  assert.deepEqual(got, [text]);
});

test("a slow application is served from the log, in order and with nothing missing", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const room = client.subscribe("room/1", { queue: 4 });
  const events: string[] = [];
  room.on("reset", () => events.push("reset"));
  room.on("gap", () => events.push("gap"));
  room.on("subscribed", () => events.push("subscribed"));
  await room.ready;
  // More than sockets hold, from another connection, so that much is on its way when it is left.
  const all = Array.from({ length: 900 }, (_, number) => number);
  const writer = givenClient(context, { url: server.url });
  const padding = "x".repeat(2000);
  const publications = all.map((number) => writer.publish("room/1", { number, padding }));
  const got: unknown[] = [];
  for await (const { data } of room) {
    assert.ok(typeof data === "object" && data !== null && "number" in data);
    got.push(data.number);
    if (got.length % 100 === 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (got.length === all.length) {
      break;
    }
  }
  await Promise.all(publications);
  assert.deepEqual(got, all);
  assert.deepEqual(events, ["subscribed"], "leaving and taking up again is nobody's business");
});

test("a reload goes on where the application was", async (context) => {
  const server = await givenServer(context);
  const storage = memoryStorage();
  const before = givenClient(context, { url: server.url, storage });
  const first = before.subscribe("room/1");
  await first.ready;
  for (const number of [1, 2, 3]) {
    await before.publish("room/1", number);
  }
  for await (const { data } of first) {
    if (data === 2) {
      break;
    }
  }
  await before.close();
  const after = givenClient(context, { url: server.url, storage });
  const got: unknown[] = [];
  await after.subscribe("room/1", { onDelivery: ({ data }) => void got.push(data) }).ready;
  await after.publish("room/1", 4);
  await eventually("what was missed", () => got.includes(4));
  assert.deepEqual(got, [3, 4]);
});

test("tells of a place that is gone, and goes on from what is left", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  await client.publish("room/1", "old");
  const got: unknown[] = [];
  const resets: Reset[] = [];
  const room = client.subscribe("room/1", {
    after: { epoch: "another", offset: 7 },
    onDelivery: ({ data }) => void got.push(data),
  });
  room.on("reset", (reset) => resets.push(reset));
  assert.equal((await room.ready).recovered, false);
  await eventually("the message that is left", () => got.length === 1);
  assert.deepEqual(
    resets.map(({ reason, first }) => [reason, first]),
    [["epoch_changed", 1]],
  );
});

test("follows filters, and says that a second subscription is one too many", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const got: string[] = [];
  const all = client.subscribe("room/+/typing", {
    onDelivery: ({ topic }) => void got.push(topic),
  });
  await all.ready;
  await client.publish("room/1/typing", true);
  await client.publish("room/2/typing", true);
  await client.publish("room/2", true);
  await eventually("two messages", () => got.length === 2);
  assert.deepEqual(got, ["room/1/typing", "room/2/typing"]);
  assert.throws(() => client.subscribe("room/+/typing"), { code: "already_subscribed" });
  await all.unsubscribe();
  await client.subscribe("room/+/typing").ready;
});

test("presence: who is there, who comes and goes", async (context) => {
  const server = await givenServer(context, '[[topic]]\nmatch = "room/#"\npresence = true\n');
  const alice = givenClient(context, { url: server.url, client: "phone" });
  const room = alice.subscribe("room/1", { presence: true, onDelivery: () => {} });
  const seen: string[] = [];
  room.on("presence", ({ joined, left }) => {
    seen.push(
      ...joined.map(({ client }) => `+${client}`),
      ...left.map(({ client }) => `-${client}`),
    );
  });
  await room.ready;
  const web = givenClient(context, { url: server.url, client: "web" });
  await web.subscribe("room/1").ready;
  await eventually("the other one", () => seen.includes("+web"));
  const { members, total } = await alice.presence("room/1");
  assert.equal(total, 2);
  assert.deepEqual(members.map(({ client }) => client).sort(), ["phone", "web"]);
  await web.close();
  await eventually("it to leave", () => seen.includes("-web"));
});

test("what nobody keeps and a reconnect missed shows as a gap or a reset", async (context) => {
  const server = await givenServer(context, '[[topic]]\nmatch = "now/#"\ndurability = "memory"\n');
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const reader = givenClient(context, { url: proxy.url });
  const writer = givenClient(context, { url: server.url });
  const events: string[] = [];
  const now = reader.subscribe("now/1", { onDelivery: ({ data }) => void events.push(`${data}`) });
  now.on("gap", () => events.push("gap"));
  now.on("reset", () => events.push("reset"));
  await now.ready;
  await writer.publish("now/1", 1);
  await eventually("the first", () => events.length === 1);
  proxy.shut();
  await eventually("the loss", () => reader.state.status !== "connected");
  await writer.publish("now/1", 2);
  proxy.open();
  await reaches(reader, "connected");
  await eventually("the subscription", () => events.length === 2);
  await writer.publish("now/1", 3);
  await eventually("the third", () => events.includes("3"));
  assert.match(events.join(), /^1,(gap|reset),3$/);
});
