/** The smaller parts: filters, addresses, data, queues, what is kept, JSON frames. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { addressOf } from "../../src/address.ts";
import { Alarm } from "../../src/alarm.ts";
import { json } from "../../src/codec.ts";
import { snapshot } from "../../src/data.ts";
import { TidingsError, wordsOf } from "../../src/errors.ts";
import { hasWildcards, matches } from "../../src/filter.ts";
import { Keep } from "../../src/keep.ts";
import { memoryStorage } from "../../src/memory-storage.ts";
import { HandedDelivery, type Verdict } from "../../src/message.ts";
import { Queue } from "../../src/queue.ts";

const root = new URL("../../../../", import.meta.url);

test("filters mean the topics that the protocol says", () => {
  const yes = [
    ["room/42", "room/42"],
    ["room/+/typing", "room/42/typing"],
    ["jobs/#", "jobs"],
    ["jobs/#", "jobs/mail/now"],
    ["#", "room/42"],
    ["+", "room"],
    ["$dead-letters", "$dead-letters"],
    ["$x/#", "$x/y"],
  ] as const;
  const no = [
    ["room/42", "room/4"],
    ["room/+", "room"],
    ["room/+", "room/42/typing"],
    ["#", "$dead-letters"],
    ["+", "$dead-letters"],
    ["jobs/#", "job"],
  ] as const;
  for (const [filter, topic] of yes) {
    assert.equal(matches(filter, topic), true, `${filter} ${topic}`);
  }
  for (const [filter, topic] of no) {
    assert.equal(matches(filter, topic), false, `${filter} ${topic}`);
  }
  assert.ok(hasWildcards("a/+/b") && hasWildcards("a/#") && !hasWildcards("a/b"));
});

test("an address may be that of the server, and says what is wrong with it", () => {
  assert.equal(addressOf("https://example.org").href, "wss://example.org/v1/ws");
  assert.equal(addressOf("http://localhost:8000/").href, "ws://localhost:8000/v1/ws");
  assert.equal(
    addressOf("wss://example.org/in/v1/ws?a=b#c").href,
    "wss://example.org/in/v1/ws?a=b",
  );
  assert.throws(() => addressOf("example"), { code: "bad_option" });
  assert.throws(() => addressOf("ftp://example.org"), { code: "bad_option" });
});

test("data is copied as it is, and what is no data is refused", () => {
  const data = { list: [1], text: "ä" };
  const copy = snapshot(data);
  data.list.push(2);
  assert.deepEqual(copy.data, { list: [1], text: "ä" });
  assert.equal(copy.bytes, Buffer.byteLength('{"list":[1],"text":"ä"}'));
  const bytes = new Uint8Array([1, 2, 3]);
  const copied = snapshot(bytes);
  bytes[0] = 9;
  assert.deepEqual(copied.data, new Uint8Array([1, 2, 3]));
  const loop: { self?: unknown } = {};
  loop.self = loop;
  // Whose `slice` shows the same bytes.
  const reused = Buffer.from("one");
  const first = snapshot(reused);
  reused.write("two");
  assert.deepEqual(first.data, new Uint8Array(Buffer.from("one")));
  for (const bad of [undefined, () => {}, 1n, loop]) {
    // What JavaScript lets through where types are not checked.
    assert.throws(() => snapshot(bad as unknown as null), { code: "bad_field" });
  }
});

test("errors say where they are explained, and that place exists", () => {
  for (const [code, page] of [
    ["overloaded", "docs/errors.md"],
    ["outbox_full", "sdk/typescript/docs/errors.md"],
  ] as const) {
    assert.equal(new TidingsError(code, "").help, `${page}#${code}`);
    assert.match(readFileSync(new URL(page, root), "utf8"), new RegExp(`^## ${code}$`, "m"));
  }
});

test("every code of this client is explained", () => {
  const page = readFileSync(new URL("sdk/typescript/docs/errors.md", root), "utf8");
  const source = readFileSync(new URL("sdk/typescript/src/errors.ts", root), "utf8");
  const list = source.match(/const clientCodes = \[([^\]]*)\]/)?.[1] ?? "";
  const codes = [...list.matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 10);
  assert.deepEqual(
    [...page.matchAll(/^## (\w+)$/gm)].map(([, code]) => code),
    codes,
  );
});

/** The frames of a file of test vectors, as JSON texts. */
function vectors(name: string): string[] {
  const text = readFileSync(new URL(`crates/protocol/testdata/${name}`, root), "utf8");
  return [...text.matchAll(/^json\s+(.*)$/gm)].map(([, line]) => line ?? "");
}

test("reads every frame that servers send, and gives back what it read", () => {
  const lines = vectors("server_frames.txt");
  assert.ok(lines.length > 20);
  for (const line of lines) {
    const [frame, ...others] = json.decode(line);
    assert.ok(frame !== undefined && others.length === 0, line);
    const wire = JSON.parse(line);
    assert.equal(frame.id, wire.id);
    const body = wire[frame.kind];
    if (frame.kind === "message" && typeof body.data_base64 === "string") {
      const { data, ...rest } = frame.body;
      assert.ok(data instanceof Uint8Array);
      const base64 = Buffer.from(data).toString("base64");
      assert.deepEqual({ ...rest, data_base64: base64 }, body);
    } else if (frame.kind !== "history") {
      assert.deepEqual(frame.body, body, line);
    }
  }
});

test("writes one frame a line, bytes as base64, and leaves out what is undefined", () => {
  const text = json.encode([
    {
      kind: "publish",
      id: 3,
      body: { topic: "t", data: new Uint8Array([0, 255]), key: undefined },
    },
    { kind: "pong", body: {} },
  ]);
  assert.equal(text, '{"id":3,"publish":{"topic":"t","data_base64":"AP8="}}\n{"pong":{}}');
});

test("skips frames that it does not know, and refuses what are none", () => {
  const frames = json.decode(
    '{"novelty":{"x":1}}\n\n{"ping":{}}\n{"id":1,"settled":{"count":2,"more":3}}',
  );
  assert.deepEqual(
    frames.map(({ kind }) => kind),
    ["ping", "settled"],
  );
  assert.throws(() => json.decode("{"));
  assert.throws(() => json.decode("7"), { code: "bad_server_frame" });
  assert.throws(() => json.decode(new Uint8Array(1)), { code: "bad_server_frame" });
});

function delivery(offset: number, verdicts: Verdict[] = []): HandedDelivery {
  const body = { topic: "t", offset, id: "", data: offset, at: 0 };
  return new HandedDelivery(body, "a", (_, verdict) => void verdicts.push(verdict));
}

test("a delivery is answered once, and reasons are cut between characters", () => {
  const verdicts: Verdict[] = [];
  const given = delivery(1, verdicts);
  given.nack({ reason: "ä".repeat(300) });
  given.ack();
  given.extend(5);
  assert.deepEqual(verdicts, [{ kind: "nacked", delayMs: undefined, reason: "ä".repeat(256) }]);
});

test("a queue tells what happened between the messages where it happened", async () => {
  const queue = new Queue();
  const log: Array<string | number | undefined> = [];
  queue.tell(() => log.push("at once"));
  queue.put(delivery(1));
  queue.tell(() => log.push("after 1"));
  queue.put(delivery(2));
  assert.equal(log.join(), "at once");
  log.push((await queue.take())?.offset);
  log.push((await queue.take())?.offset);
  assert.deepEqual(log, ["at once", 1, "after 1", 2]);
  const next = queue.take();
  queue.put(delivery(3));
  assert.equal((await next)?.offset, 3);
  queue.put(delivery(4));
  queue.end(undefined, "keep");
  assert.equal((await queue.take())?.offset, 4);
  assert.equal(await queue.take(), undefined);
});

test("what is put and removed in one turn is never written, and failures are told", async () => {
  const storage = memoryStorage();
  const changes: number[] = [];
  let isBroken = false;
  const failures: unknown[] = [];
  const keep = new Keep(
    {
      ...storage,
      change: async (puts, removes) => {
        if (isBroken) {
          throw new Error("no space");
        }
        changes.push(puts.length + removes.length);
        await storage.change(puts, removes);
      },
    },
    (cause) => failures.push(cause),
  );
  keep.put("a", 1);
  keep.put("b", 2);
  keep.put("a", undefined);
  await keep.flush();
  assert.deepEqual(await storage.list(""), [["b", 2]]);
  assert.deepEqual(changes, [2], "in one change");
  isBroken = true;
  keep.put("c", 3);
  await keep.flush();
  assert.equal(failures.length, 1);
});

test("a change that comes while the one before ends is written, too", async () => {
  for (let turns = 0; turns < 12; turns += 1) {
    const storage = memoryStorage();
    const keep = new Keep(storage, (cause) => assert.fail(String(cause)));
    keep.put("a", 1);
    for (let turn = 0; turn < turns; turn += 1) {
      await null;
    }
    keep.put("b", 2);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await storage.list("")).length, 2, `after ${turns} turns`);
  }
});

test("where there is no room for more, what is done with is removed all the same", async () => {
  const storage = memoryStorage();
  await storage.change([["done", 1]], []);
  const failures: unknown[] = [];
  const full: typeof storage.change = async (puts, removes) => {
    if (puts.length > 0) {
      throw new Error("no space");
    }
    await storage.change(puts, removes);
  };
  const keep = new Keep({ ...storage, change: full }, (cause) => failures.push(cause));
  keep.put("done", undefined);
  keep.put("new", 2);
  await keep.flush();
  assert.deepEqual(await storage.list(""), []);
  assert.equal(failures.length, 1);
});

test("anything that is thrown has words", () => {
  assert.equal(wordsOf(new Error("no")), "no");
  assert.equal(wordsOf(7), "7");
  assert.equal(wordsOf(Object.create(null)), "a thrown object");
});

test("an alarm rings when it has waited, also if the clock was set back meanwhile", (context) => {
  let now = 10_000_000;
  context.mock.method(Date, "now", () => now);
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let rung = 0;
  new Alarm().set(now + 1000, () => {
    rung += 1;
  });
  now -= 3_600_000;
  context.mock.timers.tick(999);
  assert.equal(rung, 0);
  context.mock.timers.tick(1);
  assert.equal(rung, 1);
});
