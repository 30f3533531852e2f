/** Everything at once, while connections are cut and the server is killed: each message, once. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Client } from "../../src/types.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { eventually, givenClient, givenServer } from "./given.ts";
import type { Server } from "./server.ts";

const MESSAGES = 1000;
const all = Array.from({ length: MESSAGES }, (_, number) => number);

const policy = `
[[topic]]
match = "#"
ack_timeout = "2s"
backoff_base = "50ms"
backoff_cap = "200ms"
attempts_max = 50
`;

/** Chance that can be had again from its seed. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Bad weather until it is told to end; then the sky is clear. */
async function storm(
  server: Server,
  proxies: readonly FaultyProxy[],
  random: () => number,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    await pause(30 + random() * 150);
    const proxy = proxies[Math.floor(random() * proxies.length)];
    const kind = random();
    if (kind < 0.6) {
      proxy?.cut();
    } else if (kind < 0.75) {
      proxy?.shut();
      await pause(100);
      proxy?.open();
    } else if (kind < 0.9 && proxy !== undefined) {
      proxy.weather = { kind: "frozen" };
      await pause(200);
      proxy.cut();
    } else {
      await server.end("SIGKILL");
      await server.run();
    }
  }
}

/** What is read of the topic, page by page. */
async function wholeHistory(client: Client): Promise<unknown[]> {
  const read: unknown[] = [];
  let page = await client.history("t", { limit: 300 });
  for (;;) {
    read.push(...page.messages.map(({ data }) => data));
    const last = page.messages.at(-1);
    if (!page.more || last === undefined) {
      return read;
    }
    const after = { epoch: page.position.epoch, offset: last.offset };
    page = await client.history("t", { limit: 300, after });
  }
}

/** Readers of each kind, some of them slow, some failing; what each has been given and was done with. */
async function readers(
  context: TestContext,
  proxies: readonly FaultyProxy[],
  random: () => number,
): Promise<Record<"live" | "durable" | "shared", unknown[]>> {
  const done = { live: [] as unknown[], durable: [] as unknown[], shared: [] as unknown[] };
  const take = (kind: keyof typeof done) => async (delivery: { readonly data: unknown }) => {
    if (kind !== "live" && random() < 0.05) {
      throw new Error("not this time");
    }
    done[kind].push(delivery.data);
    if (random() < 0.05) {
      await pause(10);
    }
  };
  const [live, durable, shared] = proxies.map(({ url }) =>
    givenClient(context, { url, connectTimeoutMs: 1000 }),
  );
  const room = live?.subscribe("t", { queue: 16, onDelivery: take("live") });
  room?.on("reset", () => done.live.push("reset"));
  room?.on("gap", () => done.live.push("gap"));
  await Promise.all([
    room?.ready,
    durable?.subscribe("t", { durable: "x", window: 8, onDelivery: take("durable") }).ready,
    shared?.subscribe("#", { group: "x", window: 8, onDelivery: take("shared") }).ready,
  ]);
  return done;
}

test("each message is stored once, and comes to everybody once", async (context) => {
  const seed = Number(process.env.TIDINGS_SEED ?? Date.now() % 1_000_000);
  context.diagnostic(`TIDINGS_SEED=${seed}`);
  const random = chance(seed);
  const server = await givenServer(context, policy);
  const proxies = await Promise.all([0, 1, 2, 3].map(() => FaultyProxy.start(server.port)));
  context.after(() => proxies.map((proxy) => proxy.close()));
  const [own, ...others] = proxies;
  const writer = givenClient(context, { url: own?.url ?? "", connectTimeoutMs: 1000 });
  const done = await readers(context, others, random);
  let isOver = false;
  const weather = storm(server, proxies, random, () => isOver);
  const publications = [];
  for (const number of all) {
    publications.push(writer.publish("t", number));
    if (number % 25 === 24) {
      await pause(100);
    }
  }
  await Promise.all(publications);
  isOver = true;
  await weather;
  assert.deepEqual(await wholeHistory(writer), all);
  for (const kind of ["live", "durable", "shared"] as const) {
    await eventually(`all of ${kind}`, () => done[kind].length >= MESSAGES, 30_000);
  }
  assert.deepEqual(done.live, all, "in order");
  const byNumber = (a: unknown, b: unknown) => Number(a) - Number(b);
  assert.deepEqual(done.durable.sort(byNumber), all);
  assert.deepEqual(done.shared.sort(byNumber), all);
});
