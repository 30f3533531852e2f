/** Storage that hangs, fails, or is shared: what waits leaves once, and nothing stands still. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { TidingsError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/memory-storage.ts";
import type { Locks } from "../../src/tabs/election.ts";
import { locksOfOneProcess } from "../tabs/locks.ts";
import { eventually, givenClient, givenServer, reaches } from "./given.ts";

/** Where nobody listens. */
const NOWHERE = "ws://127.0.0.1:9";

function never(): Promise<never> {
  return new Promise(() => {});
}

/** The locks that a browser has, until the end of the test. */
function givenLocks(context: TestContext): Locks {
  const locks = locksOfOneProcess();
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { locks } });
  context.after(() => {
    if (before === undefined) {
      Reflect.deleteProperty(globalThis, "navigator");
    } else {
      Object.defineProperty(globalThis, "navigator", before);
    }
  });
  return locks;
}

test("storage that never answers holds up neither publishing nor the end for long", async (context) => {
  const server = await givenServer(context);
  const hanging = [
    { ...memoryStorage(), list: never },
    { ...memoryStorage(), change: never },
  ];
  await Promise.all(
    hanging.map(async (storage) => {
      const client = givenClient(context, { url: server.url, storage });
      const problems: TidingsError[] = [];
      client.on("problem", (problem) => problems.push(problem));
      await client.publish("room/1", "through");
      assert.equal(problems[0]?.code, "storage_failed");
      assert.equal((await client.close({ flushMs: 100 })).waiting, 0);
    }),
  );
});

test("storage that opens when nobody waits for it any more is closed", async (context) => {
  const server = await givenServer(context);
  const open = memoryStorage();
  let answer = () => {};
  let isClosed = false;
  const storage = {
    ...open,
    list: async (prefix: string) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return open.list(prefix);
    },
    close: () => {
      isClosed = true;
    },
  };
  const client = givenClient(context, { url: server.url, storage });
  await client.connect();
  await eventually("the close", () => {
    answer();
    return isClosed;
  });
});

test("a client that is connected sends what another one leaves, also if it began first", async (context) => {
  const locks = givenLocks(context);
  const server = await givenServer(context);
  const storage = memoryStorage();
  const stays = givenClient(context, { url: server.url, storage });
  const told: string[] = [];
  stays.on("published", ({ topic }) => told.push(topic));
  await stays.connect();
  const leaves = givenClient(context, { url: NOWHERE, storage });
  leaves.publish("room/1", "left");
  await eventually("it to be kept", () => leaves.outbox.length === 1);
  assert.equal((await leaves.close({ flushMs: 50 })).waiting, 1);
  await eventually("it to be sent", () => told.length === 1);
  await stays.close();
  assert.deepEqual(await storage.list("outbox/"), []);
  const session = "tidings/tidings/session";
  const isFree = await locks.request(session, { ifAvailable: true }, (lock) => lock !== null);
  assert.ok(isFree);
});

test("a client that is closed while it looks for what others left holds nothing of theirs", async (context) => {
  const locks = givenLocks(context);
  const server = await givenServer(context);
  const kept = memoryStorage();
  const body = { topic: "room/1", data: 1, key: "k" };
  const entry = { sequence: 1, instance: "gone", body, bytes: 1, dataBytes: 1, since: 0 };
  let looks = 0;
  const storage = {
    ...kept,
    list: async (prefix: string) => {
      looks += prefix === "outbox/" ? 1 : 0;
      // The first one is before it connects.
      if (looks === 2) {
        await kept.change([["outbox/gone/1", entry]], []);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return kept.list(prefix);
    },
  };
  const client = givenClient(context, { url: server.url, storage });
  await client.connect();
  await eventually("the look", () => looks === 2);
  await client.close({ flushMs: 0 });
  await new Promise((resolve) => setTimeout(resolve, 150));
  const name = "tidings/tidings/client/gone";
  assert.ok(await locks.request(name, { ifAvailable: true }, (lock) => lock !== null));
});

test("without locks, two clients of a program on one storage do not take from each other", async (context) => {
  const server = await givenServer(context);
  const storage = memoryStorage();
  const first = givenClient(context, { url: server.url, storage });
  await first.connect();
  const away = givenClient(context, { url: NOWHERE, storage });
  const signal = new AbortController();
  const mine = away.publish("room/1", "taken back", { signal: signal.signal });
  await eventually("it to be tried", () => away.state.status !== "connecting");
  const second = givenClient(context, { url: server.url, storage });
  second.on("published", () => assert.fail("it belongs to one that lives"));
  await second.connect();
  await second.publish("room/2", 1);
  assert.equal((await reaches(first, "connected")).resumed, false);
  signal.abort();
  await assert.rejects(mine, { code: "aborted" });
  assert.deepEqual((await second.history("room/1")).messages, []);
  assert.equal(first.state.status, "connected", "the session is the first one's");
});
