/** Durable and shared subscriptions: acks, redelivery, dead letters. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery } from "../../src/types.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { eventually, givenClient, givenServer, reaches } from "./given.ts";
import { tokenOf } from "./server.ts";

const quick =
  '[[topic]]\nmatch = "#"\nack_timeout = "1s"\nbackoff_base = "10ms"\nbackoff_cap = "50ms"\n';

test("what was acked does not come again, the rest does", async (context) => {
  const server = await givenServer(context);
  const first = givenClient(context, { url: server.url });
  for (const number of [1, 2, 3, 4]) {
    await first.publish("user/alice", number);
  }
  const before: unknown[] = [];
  const inbox = first.subscribe("user/alice", { durable: "phone" });
  for await (const { data } of inbox) {
    before.push(data);
    if (before.length === 3) {
      break;
    }
  }
  await first.close();
  const second = givenClient(context, { url: server.url });
  const after: Delivery[] = [];
  second.subscribe("user/alice", { durable: "phone", onDelivery: (got) => void after.push(got) });
  await eventually("the rest", () => after.length === 2);
  assert.deepEqual(before, [1, 2, 3]);
  assert.deepEqual(
    after.map(({ data }) => data),
    [3, 4],
  );
});

test("nothing in the application's hands comes twice over cut connections", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const writer = givenClient(context, { url: server.url });
  const all = Array.from({ length: 200 }, (_, number) => number);
  await Promise.all(all.map((number) => writer.publish("jobs", number)));
  const reader = givenClient(context, { url: proxy.url });
  const got: unknown[] = [];
  reader.subscribe("jobs", {
    durable: "worker",
    window: 16,
    onDelivery: async ({ data }) => {
      got.push(data);
      if (got.length % 40 === 0 && got.length < all.length) {
        proxy.cut();
        // Until the server has sent again what the application still has in its hands.
        await eventually("the loss", () => reader.state.status !== "connected");
        await reaches(reader, "connected");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
  });
  await eventually("all messages", () => got.length >= all.length);
  // Nothing more comes: every ack arrived, also those that a cut had lost.
  await reader.close();
  const next = givenClient(context, { url: server.url });
  const inbox = next.subscribe("jobs", { durable: "worker" });
  assert.equal((await inbox.ready).pending, 0);
  assert.deepEqual(got, all);
});

test("a message that is given back comes again, and after the last attempt is a dead letter", async (context) => {
  const server = await givenServer(context, `${quick}attempts_max = 3\n`);
  const client = givenClient(context, { url: server.url });
  await client.publish("jobs", "poison");
  await client.publish("jobs", "good");
  const got: string[] = [];
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  client.subscribe("jobs", {
    durable: "worker",
    onDelivery: ({ data, attempt }) => {
      got.push(`${data} ${attempt}`);
      if (data === "poison") {
        throw new Error("cannot read this");
      }
    },
  });
  await eventually("three attempts", () => got.includes("poison 3"));
  const dead = client.subscribe("$dead-letters", { from: "first" });
  for await (const { data, headers } of dead) {
    assert.equal(data, "poison");
    assert.equal(headers["tidings-gave-up"], "nacked");
    assert.match(headers["tidings-reasons"] ?? "", /cannot read this/);
    break;
  }
  assert.deepEqual(
    got.filter((line) => line.startsWith("good")),
    ["good 1"],
  );
  assert.deepEqual(problems, ["delivery_failed", "delivery_failed", "delivery_failed"]);
});

test("manual: ack, nack for a while, give up", async (context) => {
  const server = await givenServer(context, quick);
  const client = givenClient(context, { url: server.url });
  for (const name of ["ack", "nack", "giveUp"]) {
    await client.publish("jobs", name);
  }
  const got: string[] = [];
  const times: number[] = [];
  client.subscribe("jobs", {
    durable: "worker",
    ack: "manual",
    onDelivery: (delivery) => {
      const name = `${delivery.data} ${delivery.attempt}`;
      got.push(name);
      if (name.startsWith("nack")) {
        times.push(Date.now());
      }
      if (name === "nack 1") {
        delivery.nack({ delayMs: 300, reason: "later" });
      } else if (name === "giveUp 1") {
        delivery.giveUp("never");
      } else {
        delivery.ack();
      }
    },
  });
  await eventually("the one that was given back", () => times.length === 2);
  assert.deepEqual(got, ["ack 1", "nack 1", "giveUp 1", "nack 2"]);
  const [first = 0, second = 0] = times;
  assert.ok(second - first >= 290, `${second - first} ms`);
  const dead = await client.history("$dead-letters");
  assert.deepEqual(
    dead.messages.map(({ data }) => data),
    ["giveUp"],
  );
});

test("who asks for more time gets it", async (context) => {
  const server = await givenServer(context, `${quick}attempts_max = 1\n`);
  const client = givenClient(context, { url: server.url });
  await client.publish("jobs", "extended");
  await client.publish("jobs", "forgotten");
  const jobs = client.subscribe("jobs", {
    durable: "worker",
    ack: "manual",
    onDelivery: (delivery) => {
      if (delivery.data === "extended") {
        delivery.extend(10_000);
      }
    },
  });
  await jobs.ready;
  await new Promise((resolve) => setTimeout(resolve, 2500));
  // The one attempt of the other one has timed out.
  const dead = await client.history("$dead-letters");
  assert.deepEqual(
    dead.messages.map(({ data }) => data),
    ["forgotten"],
  );
});

test("what is not acked in time is delivered again, and one that is acked late is not", async (context) => {
  const server = await givenServer(context, quick);
  const client = givenClient(context, { url: server.url });
  await client.publish("jobs", "slow");
  const got: number[] = [];
  const deliveries: Delivery[] = [];
  client.subscribe("jobs", {
    durable: "worker",
    ack: "manual",
    onDelivery: (delivery) => {
      got.push(delivery.attempt);
      deliveries.push(delivery);
    },
  });
  await eventually("the delivery", () => got.length === 1);
  // It stays in the application's hands: the server's repeats are not handed out beside it.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.deepEqual(got, [1]);
  deliveries[0]?.ack();
  await client.close();
  const next = givenClient(context, { url: server.url });
  assert.equal((await next.subscribe("jobs", { durable: "worker" }).ready).pending, 0);
});

test("members of a group share the work, and get what a member that leaves had", async (context) => {
  const server = await givenServer(context);
  const one = givenClient(context, { url: server.url });
  const two = givenClient(context, { url: server.url });
  const hoarded: unknown[] = [];
  const done: unknown[] = [];
  const hoarder = one.subscribe("jobs/#", {
    group: "workers",
    window: 4,
    ack: "manual",
    onDelivery: ({ data }) => void hoarded.push(data),
  });
  await hoarder.ready;
  const all = Array.from({ length: 20 }, (_, number) => number);
  await Promise.all(all.map((number) => one.publish(`jobs/${number % 3}`, number)));
  await eventually("a full window", () => hoarded.length === 4);
  two.subscribe("jobs/#", { group: "workers", onDelivery: ({ data }) => void done.push(data) });
  await eventually("the others", () => done.length === 16);
  await hoarder.unsubscribe();
  await eventually("what the one that left had", () => done.length === 20);
  const byNumber = (a: unknown, b: unknown) => Number(a) - Number(b);
  assert.deepEqual([...done].sort(byNumber), all);
});

test("what nobody has begun with when the connection breaks is left to the others", async (context) => {
  const server = await givenServer(context);
  const proxy = await FaultyProxy.start(server.port);
  context.after(() => proxy.close());
  const broken = givenClient(context, { url: proxy.url });
  const other = givenClient(context, { url: server.url });
  const begun: unknown[] = [];
  const done: unknown[] = [];
  let goOn = () => {};
  const hand = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const onDelivery = async ({ data }: Delivery) => {
    begun.push(data);
    await hand;
  };
  await broken.subscribe("jobs", { group: "workers", onDelivery }).ready;
  const all = [1, 2, 3, 4, 5, 6, 7, 8];
  await Promise.all(all.map((number) => other.publish("jobs", number)));
  await eventually("the first one", () => begun.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const rest = { group: "workers", onDelivery: ({ data }: Delivery) => void done.push(data) };
  await other.subscribe("jobs", rest).ready;
  proxy.shut();
  await eventually("all for the other", () => done.length === all.length);
  goOn();
  proxy.open();
  await reaches(broken, "connected");
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(begun, [1]);
});

test("what waits for slow work is not given up, and done once", async (context) => {
  const server = await givenServer(context, `${quick}attempts_max = 2\n`);
  const client = givenClient(context, { url: server.url });
  const dead: unknown[] = [];
  const onDead = ({ data }: Delivery) => void dead.push(data);
  await client.subscribe("$dead-letters", { onDelivery: onDead }).ready;
  const done: string[] = [];
  const work = async ({ topic, data }: Delivery) => {
    await new Promise((resolve) => setTimeout(resolve, 1100));
    done.push(`${topic} ${data}`);
  };
  await client.subscribe("orders", { durable: "worker", onDelivery: work }).ready;
  await client.subscribe("jobs", { group: "workers", onDelivery: work }).ready;
  for (const number of [1, 2, 3, 4]) {
    await client.publish("orders", number);
    await client.publish("jobs", number);
  }
  await eventually("all", () => done.length >= 8);
  assert.equal(new Set(done).size, 8);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(done.length, 8);
  assert.deepEqual(dead, []);
});

test("onDelivery may throw anything", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url });
  const got: unknown[] = [];
  const onDelivery = ({ data }: Delivery) => {
    got.push(data);
    if (data === 1) {
      throw Object.create(null);
    }
  };
  await client.subscribe("room/1", { onDelivery }).ready;
  await client.publish("room/1", 1);
  await client.publish("room/1", 2);
  await eventually("the next one", () => got.length === 2);
  await client.close();
});

test("another connection takes a durable subscription over, and the first one is told", async (context) => {
  const server = await givenServer(context);
  const one = givenClient(context, { url: server.url });
  const inbox = one.subscribe("user/alice", { durable: "phone" });
  await inbox.ready;
  const ended = new Promise<string>((resolve) =>
    inbox.on("ended", ({ reason }) => resolve(reason)),
  );
  const two = givenClient(context, { url: server.url });
  await two.subscribe("user/alice", { durable: "phone" }).ready;
  assert.equal(await ended, "taken_over");
  await assert.rejects(inbox[Symbol.asyncIterator]().next(), { code: "taken_over" });
});

test("the inbox that the server starts is told, and taken by subscribing", async (context) => {
  const server = await givenServer(context, "[inbox]\nsubscribe_on_connect = true\n");
  const writer = givenClient(context, { url: server.url, token: tokenOf("bob") });
  await writer.publish("user/alice", "waiting");
  const client = givenClient(context, { url: server.url, client: "phone" });
  const got: string[] = [];
  client.on("inbox", ({ topic, durable }) => {
    client.subscribe(topic, {
      durable,
      onDelivery: ({ data, attempt }) => void got.push(`${data} ${attempt}`),
    });
  });
  await client.connect();
  await writer.publish("user/alice", "new");
  await eventually("both", () => got.length === 2);
  assert.deepEqual(
    got.map((line) => line.split(" ")[0]),
    ["waiting", "new"],
  );
});

test("a subscription that the token does not allow is refused", async (context) => {
  const server = await givenServer(context);
  const client = givenClient(context, { url: server.url, token: tokenOf("eve", { ops: ["pub"] }) });
  const room = client.subscribe("room/1");
  await assert.rejects(room.ready, { code: "permission_denied" });
  await assert.rejects(room[Symbol.asyncIterator]().next(), { code: "permission_denied" });
  await client.publish("room/1", "this one is");
});
