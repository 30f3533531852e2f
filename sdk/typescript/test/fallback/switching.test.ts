/** A client behind a network that refuses WebSockets, and later lets them through. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fallback } from "../../src/fallback.ts";
import { createClient } from "../../src/node.ts";
import type { Client, Message, State } from "../../src/types.ts";
import { HttpProxy } from "./http-proxy.ts";
import { RealServer } from "./real-server.ts";

const server = new RealServer();
before(() => server.start());
after(() => server.remove());

function state<Status extends State["status"]>(
  client: Client,
  status: Status,
  holds: (state: State & { status: Status }) => boolean = () => true,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(new Error(`waited in vain for ${status}; it is ${JSON.stringify(client.state)}`)),
      30_000,
    );
    const look = (): void => {
      // Compared on the line itself.
      if (client.state.status === status && holds(client.state as State & { status: Status })) {
        clearTimeout(timer);
        leave();
        resolve();
      }
    };
    const leave = client.on("state", look);
    look();
  });
}

test("goes by HTTP where WebSockets are refused, and back over one without losing a message", async () => {
  const proxy = await new HttpProxy(() => server.port, {
    upgrades: false,
    holdsBack: false,
  }).start();
  const client = createClient({
    url: proxy.url,
    backoff: { baseMs: 20 },
    fallback: fallback({ retryMs: 300 }),
  });
  const seen: Message[] = [];
  const inbox: Message[] = [];
  client.subscribe("room", { onDelivery: (one) => void seen.push(one) });
  const durable = client.subscribe("inbox", {
    durable: "me",
    onDelivery: (one) => void inbox.push(one),
  });
  await state(client, "connected", ({ via }) => via === "fallback");
  assert.equal(proxy.asked.get("upgrade"), 2);
  const sent: Promise<unknown>[] = [];
  let isOver = false;
  const publishing = (async () => {
    for (let n = 0; !isOver; n++) {
      sent.push(client.publish("room", n));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  await client.publish("inbox", "by HTTP");
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(inbox.length, 0);
  proxy.rules.upgrades = true;
  await state(client, "connected", ({ via }) => via === "websocket");
  await durable.ready;
  await new Promise((resolve) => setTimeout(resolve, 300));
  isOver = true;
  await publishing;
  await Promise.all(sent);
  const end = Date.now() + 10_000;
  while (Date.now() < end && (seen.length < sent.length - 1 || inbox.length === 0)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const first = Number(seen.at(0)?.data);
  assert.deepEqual(
    seen.map((one) => one.data),
    Array.from({ length: sent.length - first }, (_, n) => first + n),
  );
  assert.deepEqual(
    inbox.map((one) => one.data),
    ["by HTTP"],
  );
  await client.close();
  await proxy.stop();
});

test("a network that was only down is left for the WebSocket at once", async () => {
  const own = await new RealServer().start();
  const proxy = await new HttpProxy(() => own.port, { upgrades: true, holdsBack: false }).start();
  await own.end("SIGKILL");
  const client = createClient({
    url: proxy.url,
    backoff: { baseMs: 50, maxMs: 200 },
    fallback: fallback(),
  });
  const published = client.publish("room", "waits");
  await state(client, "offline");
  await own.start();
  await published;
  await state(client, "connected", ({ via }) => via === "websocket");
  await client.close();
  await proxy.stop();
  await own.remove();
});
