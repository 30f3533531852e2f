/** Tabs over one connection, against a real server: what each of them sees, and who leads. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { shareWith } from "../../src/tabs/share.ts";
import type { Client, ClientOptions, Delivery } from "../../src/types.ts";
import { webSocketTransport } from "../../src/websocket.ts";
import { HttpProxy } from "../fallback/http-proxy.ts";
import { RealServer } from "../fallback/real-server.ts";
import { locksOfOneProcess } from "./locks.ts";

// Node 20 has no WebSocket of its own.
const transport = webSocketTransport(WebSocket);

const server = new RealServer();
const proxy = new HttpProxy(() => server.port, { upgrades: true, holdsBack: false });

before(async () => {
  await server.start();
  await proxy.start();
});

after(async () => {
  await Promise.all(opened.map((client) => client.close({ flushMs: 0 })));
  await proxy.stop();
  await server.remove();
});

const opened: Client[] = [];

/** Opens tabs of an application of their own. */
function application(name: string): (options?: Partial<ClientOptions>) => Client {
  const locks = locksOfOneProcess();
  return (options = {}) => {
    const backoff = { baseMs: 20 };
    const client = shareWith(
      { url: proxy.url, storageName: name, backoff, transport, ...options },
      locks,
    );
    opened.push(client);
    return client;
  };
}

async function until(holds: () => boolean, what: () => unknown, ms = 15_000): Promise<void> {
  for (const end = Date.now() + ms; !holds(); ) {
    assert.ok(Date.now() < end, `waited in vain: ${JSON.stringify(what())}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function gather(client: Client, topic: string, options = {}): number[] {
  const offsets: number[] = [];
  client.subscribe(topic, { ...options, onDelivery: (one) => void offsets.push(one.offset) });
  return offsets;
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}

test("tabs have one connection, and each gets each message and the answers to its publishes", async () => {
  const open = application("one");
  const before = proxy.asked.get("upgrade") ?? 0;
  const tabs = [open(), open(), open()];
  const seen = tabs.map((tab) => gather(tab, "one/room"));
  await Promise.all(tabs.map((tab) => tab.connect()));
  await until(
    () => tabs.every((tab) => tab.state.status === "connected"),
    () => tabs.map((tab) => tab.state),
  );
  const sent = await Promise.all(
    tabs.flatMap((tab, index) => upTo(20).map((n) => tab.publish("one/room", { index, n }))),
  );
  const offsets = sent.flatMap((one) => ("offset" in one ? [one.offset] : []));
  assert.deepEqual(
    offsets.sort((a, b) => a - b),
    upTo(60),
  );
  await until(
    () => seen.every((one) => one.length >= 60),
    () => seen,
  );
  for (const one of seen) {
    assert.deepEqual(one, upTo(60));
  }
  assert.equal((proxy.asked.get("upgrade") ?? 0) - before, 1);
  await Promise.all(tabs.map((tab) => tab.close()));
});

test("a tab that comes later starts where it asks to, and the others see nothing twice", async () => {
  const open = application("late");
  const first = open();
  const seen = gather(first, "late/room");
  await first.connect();
  for (const n of upTo(10)) {
    await first.publish("late/room", n);
  }
  await until(
    () => seen.length === 10,
    () => seen,
  );
  const { position } = await first.history("late/room");
  const late = {
    new: gather(open(), "late/room", { from: "new" }),
    first: gather(open(), "late/room", { from: "first" }),
    last: gather(open(), "late/room", { from: "last" }),
    after: gather(open(), "late/room", { after: { epoch: position.epoch, offset: 4 } }),
    lost: gather(open(), "late/room", { after: { epoch: "zzz", offset: 4 } }),
    ahead: gather(open(), "late/room", { after: { epoch: position.epoch, offset: 400 } }),
  };
  const whole = { new: 11, first: 1, last: 10, after: 5, lost: 1, ahead: 1 };
  await until(
    () => late.ahead.length === 10 && late.lost.length === 10,
    () => late,
  );
  await until(
    () => late.last.length === 1 && late.after.length === 6,
    () => late,
  );
  for (const n of upTo(20, 11)) {
    await first.publish("late/room", n);
  }
  await until(
    () => Object.values(late).every((one) => one.at(-1) === 20),
    () => late,
  );
  await until(
    () => seen.length === 20,
    () => seen,
  );
  assert.deepEqual(seen, upTo(20));
  for (const [name, one] of Object.entries(late)) {
    // The name is one of those above.
    assert.deepEqual(one, upTo(20, whole[name as keyof typeof whole]), name);
  }
});

test("when the tab that leads is closed, another leads and nothing is lost or doubled", async () => {
  const open = application("lead");
  const tabs = [open(), open(), open(), open()];
  const seen = tabs.map((tab) => gather(tab, "lead/room"));
  await Promise.all(tabs.map((tab) => tab.connect()));
  await until(
    () => tabs.every((tab) => tab.state.status === "connected"),
    () => tabs.map((tab) => tab.state),
  );
  const results: Promise<unknown>[] = [];
  let isOver = false;
  const last = tabs.at(-1);
  const publishing = (async () => {
    while (!isOver) {
      results.push(last?.publish("lead/room", results.length) ?? Promise.reject(new Error()));
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  })();
  for (const tab of tabs.slice(0, 3)) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    await tab.close();
  }
  await new Promise((resolve) => setTimeout(resolve, 250));
  isOver = true;
  await publishing;
  await Promise.all(results);
  const whole = seen.at(-1) ?? [];
  await until(
    () => whole.length >= results.length,
    () => [whole.length, results.length],
  );
  assert.deepEqual(whole, upTo(results.length));
  for (const one of seen) {
    assert.deepEqual(one, upTo(one.length));
    assert.ok(one.length > 10, `${one.length} messages before it was closed`);
  }
  await last?.close();
});

test("a durable subscription: every tab gets every message, the first answer counts, and none is lost", async () => {
  const open = application("durable");
  const hands: Delivery[][] = [[], [], []];
  const tabs = hands.map((hand) => {
    const tab = open();
    tab.subscribe("durable/in", {
      durable: "me",
      ack: "manual",
      onDelivery: (one) => void hand.push(one),
    });
    return tab;
  });
  const [one = [], two = [], three = []] = hands;
  const [first, second] = tabs;
  await Promise.all(tabs.map((tab) => tab.connect()));
  await until(
    () => tabs.every((tab) => tab.state.status === "connected"),
    () => tabs.map((tab) => tab.state),
  );
  for (const n of upTo(6)) {
    await server.publish("durable/in", n);
  }
  await until(
    () => hands.every((hand) => hand.length === 6),
    () => hands.map((hand) => hand.length),
  );
  // The first gives 2 back; the second acks the rest, which must not settle it.
  one.find((delivery) => delivery.offset === 2)?.nack({ delayMs: 300, reason: "not now" });
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const delivery of two.filter((delivery) => delivery.offset > 2)) {
    delivery.ack();
  }
  await until(
    () => one.length === 7,
    () => one.map((delivery) => delivery.offset),
  );
  assert.deepEqual([one.at(-1)?.offset, one.at(-1)?.attempt], [2, 2]);
  one.at(-1)?.ack();
  one[0]?.ack();
  await new Promise((resolve) => setTimeout(resolve, 300));
  // What a tab had in its hands when it is closed goes to another that has not seen it yet.
  await second?.close();
  await server.publish("durable/in", 7);
  await until(
    () => one.length === 8 && three.length >= 7,
    () => hands.map((hand) => hand.length),
  );
  await first?.close();
  three.at(-1)?.ack();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const next = open();
  const rest: number[] = [];
  next.subscribe("durable/in", {
    durable: "me",
    onDelivery: (each) => void rest.push(each.offset),
  });
  await server.publish("durable/in", 8);
  await until(
    () => rest.includes(8),
    () => rest,
  );
  assert.deepEqual(rest, [8]);
  await tabs[2]?.close();
  await next.close();
});

test("what one tab has given back is not settled by the acks of one that came later", async () => {
  const open = application("given-back");
  const one: Delivery[] = [];
  const two: Delivery[] = [];
  const first = open();
  const subscribe = (client: Client, hand: Delivery[]) =>
    client.subscribe("back/in", {
      durable: "me",
      ack: "manual",
      onDelivery: (each) => void hand.push(each),
    });
  await subscribe(first, one).ready;
  await server.publish("back/in", 1);
  await until(
    () => one.length === 1,
    () => one.length,
  );
  one[0]?.nack({ delayMs: 1500 });
  const second = open();
  await subscribe(second, two).ready;
  await server.publish("back/in", 2);
  await until(
    () => two.some((each) => each.offset === 2),
    () => two.length,
  );
  for (const each of two.filter((each) => each.offset === 2)) {
    each.ack();
  }
  await until(
    () => one.some((each) => each.attempt === 2),
    () => one.map((each) => each.offset),
  );
  assert.equal(one.find((each) => each.attempt === 2)?.offset, 1);
  await Promise.all([first.close(), second.close()]);
});

test("a tab that comes later to a durable subscription gets what nobody has answered yet", async () => {
  const open = application("unanswered");
  const hands: Delivery[][] = [[], []];
  const subscribe = (hand: Delivery[] = []) => {
    const tab = open();
    const onDelivery = (one: Delivery) => void hand.push(one);
    const { ready } = tab.subscribe("left/in", { durable: "me", ack: "manual", onDelivery });
    return ready.then(() => tab);
  };
  const first = await subscribe(hands[0]);
  await server.publish("left/in", 1);
  await until(
    () => hands[0]?.length === 1,
    () => hands,
  );
  await subscribe(hands[1]);
  await until(
    () => hands[1]?.length === 1,
    () => hands,
  );
  await first.close();
  assert.deepEqual(
    hands.map((hand) => hand.map((one) => one.offset)),
    [[1], [1]],
  );
});

test("of a group all tabs together are one member, and what a tab leaves goes to another", async () => {
  const open = application("group");
  const hands: Delivery[][] = [[], []];
  const tabs = hands.map((hand) => {
    const tab = open();
    tab.subscribe("group/#", {
      group: "workers",
      ack: "manual",
      onDelivery: (one) => void hand.push(one),
    });
    return tab;
  });
  await Promise.all(tabs.map((tab) => tab.connect()));
  await until(
    () => tabs.every((tab) => tab.state.status === "connected"),
    () => tabs.map((tab) => tab.state),
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const n of upTo(10)) {
    await server.publish("group/jobs", n);
  }
  const all = () =>
    hands
      .flat()
      .map((one) => one.offset)
      .sort((a, b) => a - b);
  await until(() => all().length >= 10, all);
  assert.deepEqual(all(), upTo(10));
  const [left = [], kept = []] = hands;
  assert.deepEqual([left.length, kept.length], [5, 5]);
  for (const one of kept) {
    one.ack();
  }
  await tabs[0]?.close();
  await until(
    () => kept.length === 10,
    () => kept.map((one) => one.offset),
  );
  assert.deepEqual(
    kept
      .slice(5)
      .map((one) => one.offset)
      .sort((a, b) => a - b),
    left.map((one) => one.offset).sort((a, b) => a - b),
  );
  await tabs[1]?.close();
});

test("a leader that does not answer is replaced", async () => {
  const locks = locksOfOneProcess();
  const name = `tidings hung ${proxy.url.href}`;
  // Has the lock, and says nothing.
  const hung = locks.request(name, () => new Promise(() => {}));
  const lost = assert.rejects(hung);
  const tab = shareWith({ url: proxy.url, storageName: "hung", transport }, locks);
  const { duplicate } = await tab.publish("hung/room", "hello");
  assert.equal(duplicate, false);
  await lost;
  await tab.close();
});

test("another user in another tab is refused rather than given this one's connection", async () => {
  const open = application("users");
  const caps = [{ match: "#", ops: ["pub", "sub"] }];
  const alice = open({ token: server.token({ sub: "alice", caps }) });
  await alice.publish("users/a", 1);
  const bob = open({ token: server.token({ sub: "bob", caps }) });
  bob.connect().catch(() => {});
  await until(
    () => bob.state.status === "failed",
    () => bob.state,
  );
  const { state } = bob;
  assert.match(state.status === "failed" ? state.cause.message : "", /storageName/);
  await Promise.all([alice.close(), bob.close()]);
});

test("the server is killed: all tabs come back over one connection", async () => {
  const own = await new RealServer().start();
  const locks = locksOfOneProcess();
  const link = await new HttpProxy(() => own.port, { upgrades: true, holdsBack: false }).start();
  const tabs = upTo(3).map(() =>
    shareWith({ url: link.url, transport, backoff: { baseMs: 30, maxMs: 200 } }, locks),
  );
  const seen = tabs.map((tab) => gather(tab, "room"));
  const publish = () => Promise.all(tabs.map((tab) => tab.publish("room", "hello")));
  await publish();
  await own.end("SIGKILL");
  const waiting = publish();
  await own.start();
  await waiting;
  await publish();
  await until(
    () => seen.every((one) => one.at(-1) === 9),
    () => seen,
  );
  for (const one of seen) {
    assert.deepEqual(one, upTo(9, one[0]));
  }
  await Promise.all(tabs.map((tab) => tab.close()));
  await link.stop();
  await own.remove();
});

test("a live and a durable subscription to the same messages are refused over tabs, too", async () => {
  const open = application("overlap");
  const [one, two] = [open(), open()];
  await one.subscribe("overlap/#").ready;
  const durable = two.subscribe("overlap/a", { durable: "phone" });
  await assert.rejects(durable.ready, { code: "overlaps" });
  await two.subscribe("overlap/a").ready;
  await two.subscribe("elsewhere", { durable: "phone" }).ready;
  await assert.rejects(one.subscribe("+").ready, { code: "overlaps" });
});
