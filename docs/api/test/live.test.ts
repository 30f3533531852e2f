/** A running server answers as the documents say, whatever it is asked. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventFaults, exchangeFaults } from "./answers.ts";
import { operationOf, operations, type Port, read } from "./documents.ts";
import { asList, asObject, asText, at, type JsonObject, parseJson } from "./json.ts";
import { Peer } from "./peer.ts";
import { type Answer, type Asking, Server } from "./server.ts";

const JSON_BODY = { "content-type": "application/json" };

/** A server of this test is open, and its configuration does not allow these. */
const NOT_TAKEN: ReadonlySet<string> = new Set(["stream token", "open_websocket token"]);

let server: Server;
/** The operations that have been answered as they were meant to be. */
const answered = new Set<string>();
/** The parameters of queries that were taken, each with the operation. */
const taken = new Set<string>();

before(async () => {
  server = await Server.start();
});

after(async () => {
  await server.stop();
});

/** Asks, and holds the answer against openapi.json. */
async function ask(line: string, expected: number, asking: Asking = {}): Promise<Answer> {
  const [port = "", method = "", target = ""] = line.split(" ");
  assert.ok(port === "public" || port === "operator", line);
  const answer = await server.ask(port, method, target, asking);
  assert.equal(answer.status, expected, `${line}: ${answer.answer}`);
  assert.deepEqual(exchangeFaults(answer), [], `${line}: ${answer.answer}`);
  if (port === "public") assert.ok(answer.headers.has("x-request-id"), line);
  note(port, method, target, answer.status);
  return answer;
}

function note(port: Port, method: string, target: string, status: number): void {
  if (status >= 300 && status !== 426) return;
  answered.add(`${port} ${method} ${target.split("?")[0]}`);
  const operation = operationOf(port, method, target);
  for (const name of new URL(target, "http://localhost").searchParams.keys()) {
    taken.add(`${operation?.about.operationId} ${name}`);
  }
}

function post(body: unknown): Asking {
  return { headers: JSON_BODY, body: JSON.stringify(body) };
}

function body(answer: Answer): JsonObject {
  return asObject(parseJson(answer.answer), answer.target);
}

test("publishing", async () => {
  await ask(
    "public POST /v1/publish",
    200,
    post({ topic: "room/42", data: { text: "hi" }, key: "k-1" }),
  );
  await ask("public POST /v1/publish", 200, {
    headers: {
      ...JSON_BODY,
      "idempotency-key": "k-2",
      traceparent: `00-${"4b".repeat(16)}-${"a1".repeat(8)}-01`,
    },
    body: JSON.stringify({
      topic: "room/42",
      data_base64: "AP8=",
      content_type: "image/png",
      headers: { lang: "de" },
      order_key: "o",
      ttl_ms: 60_000,
    }),
  });
  const later = Date.now() + 600_000;
  await ask(
    "public POST /v1/publish",
    200,
    post({ topic: "room/42", data: null, deliver_at: later, key: "k-3" }),
  );
  const good = { topic: "room/42", data: 1 };
  // A request with an entry that is refused is not as it should be, its answer is.
  const mixed = await server.ask(
    "public",
    "POST",
    "/v1/publish/batch",
    post({ messages: [good, { topic: "+", data: 1 }] }),
  );
  assert.deepEqual(exchangeFaults({ ...mixed, body: "" }), []);
  assert.match(mixed.answer, /bad_topic/);
  await ask(
    "public POST /v1/publish/batch",
    200,
    post({ messages: [good, { ...good, deliver_at: later }] }),
  );
  await ask(
    "public POST /v1/broadcast",
    200,
    post({ topics: ["room/1", "room/2"], data: 1, key: "all" }),
  );
});

test("publishing what is refused", async () => {
  for (const [text, status] of [
    ["{", 400],
    ['{"topic":"+","data":1}', 400],
    ['{"topic":"a"}', 400],
    ['{"topic":"a","data":1,"colour":"red"}', 400],
    [`{"topic":"a","data":"${"x".repeat(70_000)}"}`, 413],
    // Not much too large: a server answers and closes before it has read what is.
    [`{"topic":"a","data":"${"x".repeat(2 << 20)}"}`, 413],
    ['{"topic":"$dead-letters","data":1}', 403],
  ] as const) {
    await ask("public POST /v1/publish", status, { headers: JSON_BODY, body: text });
  }
  await ask("public POST /v1/publish", 415, {
    headers: { "content-type": "text/plain" },
    body: "{}",
  });
  await ask("public POST /v1/publish/batch", 400, post({ messages: [] }));
  await ask("public POST /v1/broadcast", 400, post({ topics: ["a", "a"], data: 1 }));
  await ask("public GET /v1/nowhere", 404);
  await ask("public PUT /v1/publish", 405);
});

test("reading and waiting", async () => {
  const page = body(await ask("public GET /v1/history?topic=room/42&limit=1", 200));
  await ask(`public GET /v1/history?topic=room/42&cursor=${page.cursor}`, 200);
  await ask(`public GET /v1/history?topic=room/42&after=${page.epoch}:0`, 200);
  await ask("public GET /v1/history?topic=room/new&wait_ms=20", 200);
  await ask(`public GET /v1/history?topic=room/42&since=${Date.now() - 60_000}`, 200);
  await ask("public GET /v1/history?topic=room/42&after=Zr3:1", 410);
  await ask(`public GET /v1/history?topic=room/42&after=${page.epoch}:1000`, 416);
  for (const wrong of [
    "topic=%2B",
    "topic=a&limit=501",
    "topic=a&limt=5",
    "topic=a&wait_ms=60001",
    "",
  ]) {
    await ask(`public GET /v1/history?${wrong}`, 400);
  }
  await ask("public GET /v1/presence?topic=room/42", 200);
  await ask("public GET /v1/presence?topic=%2B", 400);
  await ask("public GET /v1/stream?topic=a&topic=a", 400);
  await ask("public GET /v1/stream?topic=a&token=secret", 401);
  for (const document of ["openapi", "asyncapi"]) {
    const { answer } = await ask(`public GET /${document}.json`, 200);
    const isOurs = answer === read(`docs/api/${document}.json`);
    assert.ok(isOurs, `the server has another ${document}.json: build it anew`);
  }
});

test("a token that does not count", async () => {
  const headers = { authorization: "Bearer none.of.these" };
  for (const route of ["history?topic=a", "stream?topic=a", "presence?topic=a", "scheduled"]) {
    const { headers: told } = await ask(`public GET /v1/${route}`, 401, { headers });
    assert.ok(told.has("www-authenticate"));
  }
  const publish = {
    ...post({ topic: "a", data: 1 }),
    headers: { ...JSON_BODY, "x-api-key": "none" },
  };
  await ask("public POST /v1/publish", 401, publish);
  const page = { headers: { origin: "https://elsewhere.example" } };
  await ask("public GET /v1/history?topic=a", 403, page);
  await ask("public GET /v1/ws", 403, page);
  await ask("operator POST /v1/users/alice/disconnect", 403, page);
});

test("following topics", async () => {
  const { epoch } = body(await ask("public GET /v1/history?topic=room/42", 200));
  await follow("topic=room/42&topic=room/1&from=first");
  await follow("topic=room/42&since=1");
  await follow(`topic=room/42&after=${epoch}:1`);
});

/** Reads a stream up to its first message. */
async function follow(query: string, port: Port = "public"): Promise<void> {
  const abort = new AbortController();
  const target = `/v1/stream?${query}`;
  const response = await fetch(server.addresses[port] + target, { signal: abort.signal });
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.ok(response.body !== null);
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("event: message")) break;
  }
  abort.abort();
  const events = [...text.matchAll(/^event: (\w+)\n(?:id: .*\n)?data: (.*)\n\n/gm)];
  assert.deepEqual([...new Set(events.map(([, name]) => name))], ["ready", "message"]);
  for (const [, name = "", data = ""] of events)
    assert.deepEqual(eventFaults(name, data), [], data);
  const taken = { port, method: "GET", target, answer: "", status: 200 };
  assert.deepEqual(exchangeFaults({ ...taken, mediaType: "text/event-stream" }), []);
  note(port, "GET", target, response.status);
}

test("messages for later", async () => {
  const page = body(await ask("public GET /v1/scheduled?limit=1&topic=room/%23", 200));
  const id = asText(at(page, "scheduled", "0", "id"), "id");
  await ask(`public GET /v1/scheduled?cursor=${page.cursor}`, 200);
  await ask("public GET /v1/scheduled?cursor=none", 400);
  await ask("public GET /v1/scheduled?user=alice", 400);
  const all = body(await ask("operator GET /v1/scheduled?user=dev", 200));
  const other = asText(at(all, "scheduled", "1", "id"), "id");
  await ask(`operator GET /v1/messages/${id}`, 200);
  await ask(`public DELETE /v1/scheduled/${id}`, 200);
  await ask(`operator DELETE /v1/scheduled/${other}`, 200);
  await ask(`public DELETE /v1/scheduled/${id}`, 404);
  await ask("public DELETE /v1/scheduled/none", 400);
});

test("frames", async () => {
  const peer = await Peer.connect(server.addresses.public, "phone");
  const position = { epoch: "Zr3", offset: 1 };
  await peer.ask("subscribe", { topic: "live/1", presence: true });
  await peer.ask("subscribe", { filter: "live/#" });
  assert.ok("error" in (await peer.ask("subscribe", { filter: "live/#", after: position })));
  await peer.ask("subscribe", { topic: "room/42", after: position });
  await peer.ask("subscribe", { topic: "room/1", from: "first" });
  await peer.ask("publish", { topic: "live/1", data: { a: 1 }, headers: { lang: "de" } });
  await peer.ask("publish", { topic: "live/1", data: 2, deliver_at: Date.now() + 600_000 });
  await peer.take("message");
  await peer.ask("history", { topic: "live/1", limit: 5 });
  assert.ok("error" in (await peer.ask("history", { topic: "live/1", after: position })));
  await peer.ask("presence", { topic: "live/1" });
  const other = await Peer.connect(server.addresses.public, "laptop");
  await other.ask("subscribe", { topic: "live/1" });
  await peer.take("presence");
  await peer.ask("ping", {});
  await peer.ask("unsubscribe", { sub: "live/1" });
  assert.ok("error" in (await peer.ask("fly", {})));
  assert.ok("error" in (await peer.ask("unsubscribe", { sub: "live/1" })));
  await ask("public GET /v1/presence?topic=live/1", 200);
  other.close();
  peer.close();
  assert.deepEqual([...peer.faults, ...other.faults], []);
});

test("the operator's reading", async () => {
  await ask("operator GET /livez", 200);
  await ask("operator GET /readyz", 200);
  const { answer } = await ask("operator GET /metrics", 200);
  assert.match(answer, /^# EOF$/m);
  await ask("operator GET /v1/nowhere", 404);
});

test("the operator's key", async () => {
  const wrong = { headers: { authorization: "Bearer none.of.these" } };
  const page = { headers: { "sec-fetch-site": "same-origin" } };
  for (const asking of [wrong, page]) {
    const { headers } = await ask("operator GET /v1/node", 401, asking);
    assert.ok(headers.has("www-authenticate"));
    await ask("operator POST /v1/dead-letters/purge?all=true", 401, asking);
    await ask("operator GET /v1/history?topic=a", 401, asking);
    await ask("operator GET /livez", 200, asking);
  }
  const elsewhere = { headers: { origin: "https://elsewhere.example" } };
  await ask("operator GET /v1/topics", 403, elsewhere);
});

test("the operator's topics", async () => {
  const publish = post({ topic: "ops/1", data: 1 });
  await ask("operator POST /v1/publish", 200, publish);
  await ask(
    "operator POST /v1/publish/batch",
    200,
    post({ messages: [{ topic: "ops/2", data: 2 }] }),
  );
  await ask("operator POST /v1/broadcast", 200, post({ topics: ["ops/1", "ops/2"], data: 3 }));
  await ask("operator POST /v1/publish", 400, post({ topic: "ops/1" }));
  await ask("operator GET /v1/history?topic=ops/1", 200);
  await ask("operator GET /v1/presence?topic=ops/1", 200);
  await follow("topic=ops/1&from=first", "operator");
  const page = body(await ask("operator GET /v1/topics?prefix=ops/&limit=1", 200));
  await ask(`operator GET /v1/topics?match=ops/%23&cursor=${page.cursor}`, 200);
  await ask("operator GET /v1/topics?match=a&prefix=a", 400);
  await ask("operator GET /v1/topics?limit=1001", 400);
  const reader = await Peer.connect(server.addresses.public, "reader");
  await reader.ask("subscribe", { topic: "ops/1", durable: "reader" });
  await reader.ask("subscribe", { topic: "ops/2", durable: "reader" });
  await reader.ask("subscribe", { filter: "ops/#", group: "readers" });
  for (const _ of [1, 2, 3, 4]) await reader.take("message");
  await ask("operator GET /v1/topic?topic=ops/1", 200);
  await ask("operator GET /v1/topic?topic=ops/none", 200);
  await ask("operator GET /v1/topic?topic=%2B", 400);
  await ask("operator GET /v1/node", 200);
  await ask("operator GET /v1/config", 200);
  await ask("operator GET /v1/users?limit=1&prefix=d", 200);
  await ask("operator GET /v1/users?cursor=a", 200);
  await ask("operator GET /v1/users?limit=0", 400);
  const waiting = body(await ask("operator GET /v1/subscriptions?pending_min=2&limit=1", 200));
  assert.equal(waiting.more, true);
  await ask(`operator GET /v1/subscriptions?cursor=${waiting.cursor}`, 200);
  await ask("operator GET /v1/subscriptions?cursor=none", 400);
  reader.close();
});

test("groups, users and dead letters", async () => {
  const worker = await Peer.connect(server.addresses.public, "worker-1");
  await worker.ask("subscribe", { filter: "jobs/#", group: "workers", window: 4 });
  await worker.ask("subscribe", { topic: "mail/1", durable: "mailer" });
  for (const topic of ["jobs/1", "mail/1", "mail/1", "mail/1"]) {
    await worker.ask("publish", {
      topic,
      data: { topic },
      headers: { lang: "de" },
      ttl_ms: 600_000,
    });
  }
  for (const _ of [1, 2, 3, 4]) await worker.take("message");
  await worker.ask("extend", { sub: "jobs/#", topic: "jobs/1", offset: 1, by_ms: 60_000 });
  await ask("operator GET /v1/groups", 200);
  await ask("operator GET /v1/groups/workers?filter=jobs/%23", 200);
  await ask("operator GET /v1/groups/nobody", 404);
  await ask("operator GET /v1/groups/workers?filter=%23/a", 400);
  await worker.ask("nack", { sub: "jobs/#", topic: "jobs/1", offset: 1, dead: true, reason: "no" });
  for (const offset of [1, 2, 3]) {
    await worker.ask("nack", { sub: "mail/1", offset, dead: true, reason: "cannot parse" });
  }
  await ask("operator GET /v1/users/dev", 200);
  await ask("operator GET /v1/users/%07", 400);
  await deadLetters();
  await ask("operator POST /v1/users/dev/revoke?issued_by=1", 200);
  await ask("operator POST /v1/users/dev/revoke?issued_by=x", 400);
  await ask("operator POST /v1/users/dev/disconnect", 202);
  await worker.take("goaway");
  await ask("operator GET /v1/disconnects?user=dev&limit=5", 200);
  await ask("operator GET /v1/disconnects?reason=forbidden", 200);
  await ask("operator GET /v1/disconnects?user=%07", 400);
  await ask("operator GET /v1/users/nobody", 200);
  // Nobody is a member now: it is told by its cursors.
  await ask("operator GET /v1/groups/workers?filter=jobs/%23", 200);
  assert.deepEqual(worker.faults, []);
});

async function deadLetters(): Promise<void> {
  let page = body(await ask("operator GET /v1/dead-letters", 200));
  for (let tries = 0; page.kept !== 4 && tries < 100; tries += 1) {
    await new Promise((resume) => setTimeout(resume, 50));
    page = body(await ask("operator GET /v1/dead-letters?order=newest&limit=2", 200));
  }
  assert.equal(page.kept, 4);
  await ask("operator GET /v1/dead-letters?limit=501", 400);
  await ask("operator GET /v1/dead-letters?to=all", 400);
  const mails = body(await ask("operator GET /v1/dead-letters?topic=mail/%23", 200));
  const [first, second] = ["0", "1"].map((index) => at(mails, "dead_letters", index, "offset"));
  const id = asText(at(mails, "dead_letters", "0", "message", "id"), "id");
  await ask(`operator GET /v1/dead-letters/${first}`, 200);
  await ask("operator GET /v1/dead-letters/first", 400);
  const { cursor } = body(await ask("operator GET /v1/dead-letters?limit=1", 200));
  await ask(`operator GET /v1/dead-letters?order=oldest&cursor=${cursor}`, 200);
  // Nothing is of this user, so nothing is done to it.
  const nobody = `id=${id}&user=nobody&durable=mailer&reason=no&since=1&until=2&limit=5&cursor=${cursor}`;
  await ask(`operator GET /v1/dead-letters?${nobody}&group=workers`, 200);
  for (const done of ["replay", "purge"]) {
    const target = `/v1/dead-letters/${done}?${nobody}&group=workers&topic=mail/1&all=false`;
    await ask(`operator POST ${target}${done === "replay" ? "&to=all" : ""}`, 200);
  }
  await ask("operator GET /v1/dead-letters/1000", 404);
  await ask(`operator POST /v1/dead-letters/${first}/replay`, 400, post({ colour: "red" }));
  await ask(`operator POST /v1/dead-letters/${first}/replay`, 403, post({ topic: "$x" }));
  await ask(`operator POST /v1/dead-letters/${first}/replay`, 200, post({ data: 7, to: "all" }));
  await ask(`operator DELETE /v1/dead-letters/${second}`, 204);
  await ask(`operator DELETE /v1/dead-letters/${second}`, 404);
  await ask(`operator GET /v1/messages/${id}`, 200);
  await ask("operator GET /v1/messages/none", 400);
  await ask("operator GET /v1/messages/01JD0M2Q8G00Z0000000000003", 404);
  await ask("operator POST /v1/dead-letters/replay", 400);
  await ask("operator POST /v1/dead-letters/replay?group=workers", 200);
  await ask("operator POST /v1/dead-letters/purge?to=all", 400);
  await ask("operator POST /v1/dead-letters/purge?all=true", 200);
}

test("every address takes the methods that are described, and says so", async () => {
  const byAddress = new Map<string, string[]>();
  for (const { ports, method, path } of operations) {
    for (const port of ports) {
      const address = `${port} ${path.replaceAll(/\{\w+\}/g, "1")}`;
      byAddress.set(address, [...(byAddress.get(address) ?? []), method]);
    }
  }
  for (const [address, methods] of byAddress) {
    const [port = "", target = ""] = address.split(" ");
    assert.ok(port === "public" || port === "operator");
    const { status, headers } = await server.ask(port, "PATCH", target);
    assert.equal(status, 405, address);
    const allowed = (headers.get("allow") ?? "")
      .toUpperCase()
      .split(",")
      .map((name) => name.trim());
    assert.deepEqual(allowed.filter((name) => name !== "HEAD").sort(), methods.sort(), address);
  }
});

test("an upgrade of another version is told which one is known", async () => {
  const headers = {
    connection: "upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "8",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
  };
  const exchange = await server.askToUpgrade(headers);
  assert.equal(exchange.status, 426);
  assert.deepEqual(exchangeFaults(exchange), [], exchange.answer);
  note("public", "GET", "/v1/ws", exchange.status);
  await ask("public GET /v1/ws", 400);
});

test("every operation was answered", () => {
  const asked = [...answered].map((line) => {
    const [port, method, path = ""] = line.split(" ");
    return { port, method, path };
  });
  for (const { ports, method, path } of operations) {
    const template = new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}$`);
    for (const port of ports) {
      const found = asked.some(
        (one) => one.port === port && one.method === method && template.test(one.path),
      );
      assert.ok(
        found,
        `${method} ${path} on the ${port} port was never answered as it is meant to be`,
      );
    }
  }
});

test("every parameter of a query was taken", () => {
  let count = 0;
  for (const { about } of operations) {
    for (const parameter of asList(about.parameters ?? [], "parameters")) {
      const { in: place, name } = asObject(parameter, "a parameter");
      const line = `${about.operationId} ${name}`;
      if (place !== "query" || NOT_TAKEN.has(line)) continue;
      count += 1;
      assert.ok(
        taken.has(line),
        `${line} was in no request that was answered as it is meant to be`,
      );
    }
  }
  assert.ok(count > 40, `${count} parameters`);
});
