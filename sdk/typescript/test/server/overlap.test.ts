/** A live and a durable subscription to the same messages: refused, since one would lose some. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { TidingsError } from "../../src/errors.ts";
import { eventually, givenClient, givenServer } from "./given.ts";

const pairs = [
  ["user/alice", "user/alice", "already_subscribed"],
  ["user/#", "user/alice", "overlaps"],
  ["+/alice", "user/alice", "overlaps"],
] as const;

test("refuses a durable subscription beside a live one to its messages, in either order", async (context) => {
  const server = await givenServer(context);
  for (const [live, topic, code] of pairs) {
    const first = givenClient(context, { url: server.url });
    first.subscribe(live);
    assert.throws(() => first.subscribe(topic, { durable: "phone" }), { code });
    const second = givenClient(context, { url: server.url });
    const durable = second.subscribe(topic, { durable: "phone" });
    assert.throws(() => second.subscribe(live), { code });
    await durable.unsubscribe();
    await second.subscribe(live).ready;
  }
});

test("takes what does not overlap, and groups beside anything", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const all = [
    client.subscribe("user/#"),
    client.subscribe("user/alice"),
    client.subscribe("user/+", { group: "workers" }),
    client.subscribe("orders", { durable: "phone" }),
    client.subscribe("orders/+"),
  ];
  await Promise.all(all.map(({ ready }) => ready));
});

test("leaves the server's inbox where a live subscription is to the same messages", async (context) => {
  const inbox = "[inbox]\nsubscribe_on_connect = true\n";
  const server = await givenServer(context, inbox);
  const writer = givenClient(context, { url: server.url });
  await writer.publish("user/alice", "before");
  const client = givenClient(context, { url: server.url, client: "phone" });
  const problems: TidingsError[] = [];
  client.on("problem", (problem) => problems.push(problem));
  client.on("inbox", () => assert.fail("nobody can take it"));
  const got: unknown[] = [];
  const live = client.subscribe("user/#", { onDelivery: ({ data }) => void got.push(data) });
  await live.ready;
  await eventually("the word", () => problems.some(({ code }) => code === "overlaps"));
  await writer.publish("user/alice", "after");
  await eventually("the message", () => got.at(-1) === "after");
  await live.unsubscribe();
  const durable = client.subscribe("user/alice", { durable: "phone" });
  assert.equal((await durable.ready).pending, 2, "its cursor stays");
});
