/** Topics that are followed over HTTP: every message once, in order, whatever the network does. */

import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { httpTransport } from "../../src/fallback.ts";
import type { ServerBodies } from "../../src/frames.ts";
import { eventually } from "../server/given.ts";
import { Conversation } from "./conversation.ts";
import { HttpProxy, type Rules } from "./http-proxy.ts";
import { RealServer } from "./real-server.ts";

const server = new RealServer({
  TIDINGS_TOPIC: '[{match = "short/#", retention_messages = 5}]',
});
const ways: readonly (readonly [name: string, rules: Rules])[] = [
  ["by event streams", { upgrades: false, holdsBack: false }],
  ["by long polls", { upgrades: false, holdsBack: true }],
];

before(() => server.start());
after(() => server.remove());

/** A proxy and a talk through it, which go when the test does. */
async function talkOver(context: TestContext, rules: Rules, to = server) {
  const proxy = await new HttpProxy(() => to.port, { ...rules }).start();
  const talk = new Conversation(httpTransport({ firstByteMs: 400 }), proxy.url);
  context.after(async () => {
    talk.close();
    await proxy.stop();
  });
  await talk.ask("connect", {}, "connected");
  return { proxy, talk };
}

async function ownServer(context: TestContext): Promise<RealServer> {
  const own = await new RealServer().start();
  context.after(() => own.remove());
  return own;
}

/** What is missing, comes twice or out of order in the messages of a topic from an offset on. */
function assertWhole(messages: readonly ServerBodies["message"][], from: number, to: number): void {
  const offsets = messages.map((one) => one.offset);
  assert.deepEqual(
    offsets,
    Array.from({ length: to - from + 1 }, (_, n) => from + n),
  );
}

for (const [name, rules] of ways) {
  test(`starts where it is told to, ${name}`, async (context) => {
    const { talk } = await talkOver(context, rules);
    const place = `starts/${name}`;
    for (const n of [1, 2, 3]) {
      for (const start of ["new", "first", "last", "after", "none"]) {
        await server.publish(`${place}/${start}`, n);
      }
    }
    const { epoch } = await talk.ask("history", { topic: `${place}/new` }, "history");
    const ask = async (topic: string, start: object) => {
      const body = await talk.ask(
        "subscribe",
        { topic: `${place}/${topic}`, ...start },
        "subscribed",
      );
      return { ...body, sub: topic };
    };
    const all = { epoch, offset: 3, first: 1, recovered: true };
    assert.deepEqual(await ask("new", { from: "new" }), { sub: "new", ...all, pending: 0 });
    assert.deepEqual(await ask("first", { from: "first" }), { sub: "first", ...all, pending: 3 });
    assert.deepEqual(await ask("last", { from: "last" }), { sub: "last", ...all, pending: 1 });
    const from = { after: { epoch, offset: 1 } };
    assert.deepEqual(await ask("after", from), { sub: "after", ...all, pending: 2 });
    assert.deepEqual(await ask("none", {}), { sub: "none", ...all, pending: 0 });
    for (const [topic, first] of [
      ["new", 4],
      ["first", 1],
      ["last", 3],
      ["after", 2],
      ["none", 4],
    ] as const) {
      await server.publish(`${place}/${topic}`, 4);
      const seen = () => talk.messages(`${place}/${topic}`);
      await talk.until(() => seen().find((one) => one.offset === 4), `${topic}: the last`);
      assertWhole(seen(), first, 4);
    }
  });

  test(`says why messages are missing, ${name}`, async (context) => {
    const { talk } = await talkOver(context, rules);
    const topic = `short/${name}`;
    for (let n = 0; n < 60; n++) {
      await server.publish(topic, n);
    }
    // Retention works in the background, by whole segments, so what is left is the server's to say.
    const { epoch, first } = await talk.ask("history", { topic }, "history");
    const subscribe = async (after: { epoch: string; offset: number }) => {
      const body = await talk.ask("subscribe", { topic, after }, "subscribed");
      await talk.ask("unsubscribe", { sub: topic }, "unsubscribed");
      return { recovered: body.recovered, reason: body.reason };
    };
    const lost = (reason: string) => ({ recovered: false, reason });
    assert.deepEqual(await subscribe({ epoch: "zzz", offset: 3 }), lost("epoch_changed"));
    assert.deepEqual(await subscribe({ epoch, offset: 1000 }), lost("ahead_of_head"));
    if (first > 2) {
      assert.deepEqual(await subscribe({ epoch, offset: 1 }), lost("trimmed"));
    }
    assert.deepEqual(await subscribe({ epoch, offset: 58 }), {
      recovered: true,
      reason: undefined,
    });
  });

  test(`every message comes once and in order while topics come and connections break, ${name}`, async (context) => {
    const { proxy, talk } = await talkOver(context, rules);
    const topics = Array.from({ length: 20 }, (_, n) => `busy/${name}/${n}`);
    const last = new Map<string, number>();
    let isOver = false;
    const publishing = topics.map(async (topic, index) => {
      while (!isOver) {
        last.set(topic, await server.publish(topic, "x".repeat(index * 20)));
        await new Promise((resolve) => setTimeout(resolve, 5 + index * 5));
      }
    });
    const begins = new Map<string, number>();
    for (const topic of topics) {
      const body = await talk.ask("subscribe", { topic }, "subscribed");
      begins.set(topic, (body.offset ?? 0) + 1);
      if (topics.indexOf(topic) % 4 === 3) {
        proxy.cut();
      }
    }
    for (let cuts = 0; cuts < 4; cuts++) {
      await new Promise((resolve) => setTimeout(resolve, 400));
      proxy.cut();
    }
    isOver = true;
    await Promise.all(publishing);
    for (const topic of topics) {
      const end = last.get(topic) ?? 0;
      const seen = () => talk.messages(topic);
      await talk.until(() => (seen().at(-1)?.offset ?? 0) >= end || undefined, `${topic}: ${end}`);
      assertWhole(seen(), begins.get(topic) ?? 0, end);
    }
    assert.deepEqual(talk.all("reset"), []);
    assert.equal(talk.closedWith, undefined);
    assert.ok(proxy.openMost <= 6, `${proxy.openMost} connections at once`);
    const polls = proxy.asked.get("/v1/history") ?? 0;
    assert.equal(polls > 0, rules.holdsBack, `${polls} polls`);
  });

  test(`more topics than it can follow are refused for now, ${name}`, async (context) => {
    const { talk } = await talkOver(context, rules);
    const topics = Array.from({ length: 32 }, (_, n) => `many/${name}/${n}`);
    await Promise.all(topics.map((topic) => talk.ask("subscribe", { topic }, "subscribed")));
    const error = await talk.ask("subscribe", { topic: `many/${name}/more` }, "error");
    assert.deepEqual([error.code, error.temporary], ["limit_reached", true]);
    for (const topic of topics) {
      await server.publish(topic, 1);
    }
    for (const topic of topics) {
      await talk.until(() => talk.messages(topic)[0], topic);
      assertWhole(talk.messages(topic), 1, 1);
    }
  });
}

test("a server that is gone ends the link, so that the client comes back with its backoff", async (context) => {
  const own = await ownServer(context);
  const { proxy, talk } = await talkOver(context, { upgrades: false, holdsBack: false }, own);
  await talk.ask("subscribe", { topic: "a" }, "subscribed");
  await own.end("SIGKILL");
  assert.equal((await talk.end()).code, 1006);
  const next = new Conversation(httpTransport(), proxy.url);
  await next.send("connect", {});
  assert.equal((await next.end()).code, 1006);
  await proxy.stop();
  await own.remove();
});

test("a server that is shut down says how long to stay away", async (context) => {
  const own = await ownServer(context);
  const { proxy, talk } = await talkOver(context, { upgrades: false, holdsBack: false }, own);
  await talk.ask("subscribe", { topic: "a" }, "subscribed");
  await own.end("SIGTERM");
  assert.equal((await talk.end()).code, 4402);
  const [goaway] = talk.all("goaway");
  assert.equal(goaway?.reason, "draining");
  assert.ok((goaway?.retry_after_ms ?? -1) >= 0);
  await proxy.stop();
  await own.remove();
});

for (const [name, rules] of ways) {
  test(`a server that comes back in time is followed further, and a lost log is told, ${name}`, async (context) => {
    const own = await ownServer(context);
    const { proxy, talk } = await talkOver(context, rules, own);
    await talk.ask("subscribe", { topic: "a" }, "subscribed");
    await own.publish("a", 1);
    await talk.until(() => talk.messages("a")[0], "the first");
    // The stream that the topic shares with others is open: it is the one that resumes.
    const isMerged = () => rules.holdsBack || (proxy.asked.get("/v1/stream") ?? 0) > 1;
    await eventually("the merged stream", isMerged);
    await eventually("it alone", () => proxy.openNow === 1);
    await own.end("SIGKILL");
    await own.start();
    await own.publish("a", 2);
    await talk.until(() => talk.messages("a")[1], "the second");
    assert.deepEqual(talk.all("reset"), []);
    assert.equal(proxy.resumed > 0, !rules.holdsBack, `${proxy.resumed} were resumed`);
    await own.end("SIGKILL");
    own.forget();
    await own.start();
    await own.publish("a", 3);
    const told = await talk.until(() => talk.all("reset")[0], "the reset");
    assert.deepEqual([told.topic, told.reason, told.first], ["a", "epoch_changed", 1]);
    await talk.until(() => talk.messages("a")[2], "the third");
    assert.deepEqual(
      talk.messages("a").map((one) => one.data),
      [1, 2, 3],
    );
  });
}
