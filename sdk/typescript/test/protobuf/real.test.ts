/** Protobuf and JSON against a real server: what one client says, the other reads. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { protobuf } from "../../src/protobuf.ts";
import type { Delivery, Message } from "../../src/types.ts";
import { eventually, givenClient, givenServer } from "../server/given.ts";

const presence = '[[topic]]\nmatch = "#"\npresence = true';

function plain({ topic, offset, data, headers, from, contentType, orderKey }: Message): object {
  return { topic, offset, data, headers, from, contentType, orderKey };
}

test("clients of both codecs read each other's messages", async (context) => {
  const server = await givenServer(context);
  const binary = givenClient(context, { url: server.url, codec: protobuf });
  const text = givenClient(context, { url: server.url });
  const clients = [binary, text];
  const seen = clients.map((client) => {
    const messages: Message[] = [];
    const onDelivery = (one: Delivery) => void messages.push(one);
    return { messages, ready: client.subscribe("room", { onDelivery }).ready };
  });
  await Promise.all(seen.map((one) => one.ready));
  const options = { headers: { lang: "de", é: "ü" }, contentType: "image/png", orderKey: "k" };
  for (const client of clients) {
    await client.publish("room", { text: "hi", list: [1, null, true, "ü"] }, { ttlMs: 60_000 });
    await client.publish("room", Uint8Array.of(0, 255, 7), options);
    await client.publish("room", null);
  }
  await eventually("six messages each", () => seen.every((one) => one.messages.length === 6));
  const [one, two] = seen.map((each) => each.messages.map(plain));
  assert.deepEqual(one, two);
  const history = await binary.history("room", { limit: 500 });
  assert.deepEqual(history.messages.map(plain), two);
  const later = await binary.publish("room", 1, { deliverAt: Date.now() + 60_000 });
  assert.ok("deliverAt" in later);
});

test("acks, nacks, attempts, presence and errors by Protobuf", async (context) => {
  const server = await givenServer(context, presence);
  const client = givenClient(context, { url: server.url, codec: protobuf, client: "phone" });
  const problems: string[] = [];
  client.on("problem", (error) => void problems.push(error.code));
  const seen: Delivery[] = [];
  const onDelivery = (one: Delivery) => void seen.push(one);
  await client.subscribe("in", { durable: "me", ack: "manual", onDelivery }).ready;
  assert.deepEqual(
    (await client.presence("in")).members.map(({ user, client }) => [user, client]),
    [["alice", "phone"]],
  );
  await client.publish("in", "first");
  await eventually("the first attempt", () => seen.length === 1);
  seen[0]?.nack({ delayMs: -1 });
  await eventually("a refusal", () => problems.includes("bad_field"));
  assert.deepEqual(
    await client.publish("$dead-letters", 1).then(
      () => "published",
      (error) => error.code,
    ),
    "permission_denied",
  );
  seen[0]?.nack({ delayMs: 1 });
  await client.close();
  const again = givenClient(context, { url: server.url, codec: protobuf });
  const rest: Delivery[] = [];
  again.subscribe("in", { durable: "me", onDelivery: (one) => void rest.push(one) });
  await eventually("it comes again", () => rest.length === 1);
  assert.equal(rest[0]?.data, "first");
  assert.ok((rest[0]?.attempt ?? 0) >= 2);
});

test("numbers that are none are refused before they leave", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  for (const options of [{ ttlMs: -1 }, { ttlMs: 0.5 }, { deliverAt: new Date("never") }]) {
    await assert.rejects(() => client.publish("room", 1, options), { code: "bad_option" });
  }
  assert.equal(client.outbox.length, 0);
});
