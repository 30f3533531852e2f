/** Frames that the protocol's page and its test vectors have are what asyncapi.json says, and refused ones are not. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { asyncapi, read } from "./documents.ts";
import { frameFaults, messages, type Side } from "./frames.ts";
import { asObject, asText, asTexts, at, type JsonObject, parseJson } from "./json.ts";

const SIDES: ReadonlyMap<string, Side> = new Map([
  ["→", "client"],
  ["←", "server"],
  ["client", "client"],
  ["server", "server"],
]);

/** Refused for what JSON Schema cannot say, or what is lost once JSON is read. */
const BEYOND_SCHEMAS = [
  "is there twice",
  "has `ping` twice",
  "has `a` twice",
  'publish":{"topic":"\\ud800"',
  "must be a topic that `sub` matches",
  "must be the same as `sub`",
];

/** What a newer server might say is read as if it were this one's; a server of today never says it. */
const OF_NEWER_SERVERS = ["quota_used", "not_paid", "moved"];

/** Clients read it, since `null` is as good as absent to them. No server sends it. */
const OF_NO_SERVER = '"id":null';

const FRAMES: readonly (readonly [Side, string])[] = [
  ["client", "ClientFrame"],
  ["server", "ServerFrame"],
];

/** What fields of the Protobuf schema that exclude each other are called in JSON. */
const IN_JSON: ReadonlyMap<string, string> = new Map([
  ["data_json", "data"],
  ["data_binary", "data_base64"],
]);

/** Protobuf has a value for what is absent in JSON, and nothing that says so. */
const ABSENT_IF_FALSE: ReadonlySet<string> = new Set([
  "Subscribe.after",
  "Subscribe.presence",
  "HistoryRequest.after",
  "Ack.offsets",
  "Nack.dead",
  "Message.attempt",
  "Presence.reset",
  "Subscribed.offset",
  "Subscribed.first",
  "Subscribed.recovered",
]);

/** A frame of test data, and the lines below its `----`. */
interface Vector {
  readonly side: Side;
  readonly text: string;
  readonly outcome: string;
}

test("every example of the protocol's page is described", () => {
  const lines = read("docs/protocol.md")
    .split("\n")
    .filter((line) => /^[→←] /.test(line))
    .flatMap((line) => vectorsOf(line));
  assert.ok(lines.length > 60, `${lines.length} examples`);
  const told = new Set<string>();
  for (const { side, text } of lines) {
    const frame = parseJson(text);
    assert.deepEqual(frameFaults(side, frame, "closed"), [], text);
    const kind = Object.keys(asObject(frame, text)).find((name) => name !== "id");
    told.add(`${side}.${kind}`);
  }
  assert.deepEqual(
    [...told].sort(),
    Object.keys(messages).sort(),
    "the kinds of frames on the page",
  );
});

test("every frame of the test vectors is described, as it came and as it is written again", () => {
  const all = ["client_frames.txt", "server_frames.txt"].flatMap(vectorsOfFile);
  const good = all.filter(
    ({ outcome, text }) => !outcome.startsWith("refused:") && !text.includes(OF_NO_SERVER),
  );
  assert.ok(good.length > 60, `${good.length} vectors`);
  for (const { side, text, outcome } of good) {
    const isOfToday = !OF_NEWER_SERVERS.some((words) => text.includes(words));
    const form = side === "client" || isOfToday ? "closed" : "open";
    assert.deepEqual(frameFaults(side, parseJson(text), form), [], text);
    const written = /^json {2}(.*)$/m.exec(outcome)?.[1];
    assert.ok(written !== undefined, text);
    assert.deepEqual(frameFaults(side, parseJson(written), "closed"), [], written);
  }
});

test("the closed form refuses what only a newer server says", () => {
  const newer = vectorsOfFile("server_frames.txt").filter(({ text }) =>
    OF_NEWER_SERVERS.some((words) => text.includes(words)),
  );
  assert.equal(newer.length, OF_NEWER_SERVERS.length);
  for (const { text } of newer) {
    assert.notDeepEqual(frameFaults("server", parseJson(text), "closed"), [], text);
  }
  const unknownField = { settled: { count: 1, late: 0 }, id: 7 };
  assert.deepEqual(frameFaults("server", unknownField, "open"), []);
  assert.notDeepEqual(frameFaults("server", unknownField, "closed"), []);
});

test("what is refused for its shape is not described", () => {
  const refused = ["refused.txt", "server_frames.txt"]
    .flatMap(vectorsOfFile)
    .filter(({ outcome }) => outcome.startsWith("refused:"));
  const readable = refused.filter(({ text }) => isJson(text));
  assert.ok(readable.length > 65, `${readable.length} refused frames`);
  const beyond = new Set<string>();
  for (const { side, text, outcome } of readable) {
    const why = BEYOND_SCHEMAS.find((words) => outcome.includes(words) || text.includes(words));
    if (why !== undefined) beyond.add(why);
    const isRefused = frameFaults(side, parseJson(text), "open").length > 0;
    assert.equal(isRefused, why === undefined, `${text}\n${outcome}`);
  }
  assert.deepEqual([...beyond].sort(), [...BEYOND_SCHEMAS].sort(), "what no schema can say");
});

test("the fields of every frame are those of the Protobuf schema, and so is which are always there", () => {
  const schema = readProto(read("proto/tidings/v1/tidings.proto"));
  const described = asObject(at(asyncapi, "components", "schemas"), "schemas");
  let count = 0;
  for (const [side, frame] of FRAMES) {
    for (const { name, type } of schema.get(frame) ?? []) {
      if (name === "id") continue;
      count += 1;
      const payload = at(messages, `${side}.${name}`, "payload", "properties", name, "$ref");
      const part = asText(payload, name).replace("#/components/schemas/", "");
      assertSame(asObject(described[part], part), schema.get(type), `${side} ${name}`, type);
    }
  }
  assert.equal(count, Object.keys(messages).length);
  for (const name of ["Position", "Limits", "Member", "Message"]) {
    assertSame(asObject(described[name], name), schema.get(name), name, name);
  }
});

/** A field of the Protobuf schema. */
interface ProtoField {
  readonly label: string;
  readonly type: string;
  readonly name: string;
}

function assertSame(
  schema: JsonObject,
  fields: readonly ProtoField[] | undefined,
  what: string,
  type: string,
): void {
  assert.ok(fields !== undefined, what);
  const names = fields.map(({ name }) => IN_JSON.get(name) ?? name);
  const properties = Object.keys(asObject(schema.properties, what));
  assert.deepEqual(properties.sort(), names.sort(), `the fields of ${what}`);
  const always = fields.filter(
    (field) =>
      field.label !== "optional" &&
      !field.type.startsWith("map<") &&
      !IN_JSON.has(field.name) &&
      !ABSENT_IF_FALSE.has(`${type}.${field.name}`),
  );
  const required = asTexts(schema.required ?? [], what);
  const expected = always.map(({ name }) => name);
  assert.deepEqual(required.sort(), expected.sort(), `what is always there of ${what}`);
}

/** The fields of each message of a Protobuf schema. */
function readProto(source: string): Map<string, ProtoField[]> {
  const messages = source.matchAll(/^message (\w+) \{(?:\}|(.*?)^\})$/gms);
  return new Map(
    [...messages].map(([, name = "", body = ""]) => {
      const fields = body.matchAll(/^\s*(optional |repeated |)([\w<>, ]+?) (\w+) = \d+;/gm);
      const read = [...fields].map(([, label = "", type = "", field = ""]) => ({
        label: label.trim(),
        type,
        name: field,
      }));
      return [name, read];
    }),
  );
}

function vectorsOfFile(name: string): Vector[] {
  const blocks = read(`crates/protocol/testdata/${name}`).split(/\n\n+/);
  return blocks.flatMap((block) => {
    const [above = "", outcome = ""] = block.split("\n----\n");
    return above.split("\n").flatMap((line) => vectorsOf(line, outcome));
  });
}

/** The frame of a line, if it has one in JSON. */
function vectorsOf(line: string, outcome = ""): Vector[] {
  const [, word = "", text = ""] = /^(→|←|client|server)\s+(.*)$/.exec(line) ?? [];
  const side = SIDES.get(word);
  const refused = outcome.trim();
  return side === undefined ? [] : [{ side, text, outcome: refused }];
}

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}
