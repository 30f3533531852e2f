/** The Protobuf codec against the protocol's vectors, and against bytes that are none. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientFrame } from "../../src/frames.ts";
import { readMessage, writeMessage } from "../../src/protobuf/message.ts";
import { Reader, Writer } from "../../src/protobuf/wire.ts";
import { protobuf } from "../../src/protobuf.ts";
import { frameOf, vectors } from "./vectors.ts";

/** Data whose text JavaScript writes differently, such as `1.10`: compared by value, not by bytes. */
const rewritten = /1\.10|\[ 1, 2 \]/;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("writes every frame of clients as the vectors have it", () => {
  const all = vectors("client_frames.txt");
  assert.ok(all.length > 30, `found ${all.length} vectors`);
  for (const { line, json, proto } of all) {
    // The vectors are frames of clients; the server's tests say so.
    const written = protobuf.encode([frameOf(json) as ClientFrame]);
    assert.ok(typeof written !== "string");
    if (rewritten.test(json)) {
      const read = (bytes: Uint8Array) => readMessage("ClientFrame", new Reader(bytes).nested());
      assert.deepEqual(read(written), read(proto), `line ${line}`);
    } else {
      assert.equal(hex(written), hex(proto), `line ${line}`);
    }
  }
});

test("reads every frame of servers as the vectors have it", () => {
  const all = vectors("server_frames.txt");
  assert.ok(all.length > 25, `found ${all.length} vectors`);
  for (const { line, json, proto } of all) {
    assert.deepEqual(protobuf.decode(proto), [frameOf(json)], `line ${line}`);
  }
});

test("reads what clients write and writes what servers write, field by field", () => {
  for (const [file, name] of [
    ["client_frames.txt", "ClientFrame"],
    ["server_frames.txt", "ServerFrame"],
  ] as const) {
    for (const { line, json, proto } of vectors(file)) {
      if (rewritten.test(json)) {
        continue;
      }
      const out = new Writer();
      const message = readMessage(name, new Reader(proto).nested());
      out.nested(() => writeMessage(name, message, out));
      assert.equal(hex(out.finish()), hex(proto), `${file}:${line}`);
    }
  }
});

test("reads several frames of one message, and passes over kinds it does not know", () => {
  const all = vectors("server_frames.txt").slice(0, 5);
  const unknown = Buffer.from("03a20600", "hex");
  const together = Buffer.concat(all.flatMap(({ proto }) => [proto, unknown]));
  assert.deepEqual(
    protobuf.decode(together),
    all.map(({ json }) => frameOf(json)),
  );
});

test("passes over fields it does not know, of every wire type", () => {
  // `settled` with fields 31 (varint), 30 (8 bytes), 29 (bytes) and 28 (4 bytes) behind `count`.
  const body = "0802f8010af1010102030405060708ea0102ffffe50101020304";
  const settled = `22${(body.length / 2).toString(16)}${body}`;
  const frame = Buffer.from(`${(settled.length / 2).toString(16)}${settled}`, "hex");
  assert.deepEqual(protobuf.decode(frame), [
    { kind: "settled", id: undefined, body: { count: 2 } },
  ]);
});

test("numbers of more than 32 bits come through", () => {
  const offset = 2 ** 53 - 1;
  const out = protobuf.encode([{ kind: "nack", body: { sub: "a", offset } }]);
  assert.ok(typeof out !== "string");
  assert.deepEqual(readMessage("ClientFrame", new Reader(out).nested()), {
    nack: { sub: "a", offset },
  });
});

test("a header may have any name", () => {
  const headers = JSON.parse('{"__proto__":"a","constructor":"b"}');
  const out = protobuf.encode([{ kind: "publish", id: 1, body: { topic: "a", data: 1, headers } }]);
  assert.ok(typeof out !== "string");
  const { publish } = readMessage("ClientFrame", new Reader(out).nested());
  assert.equal(
    JSON.stringify(publish),
    '{"topic":"a","data":1,"headers":{"__proto__":"a","constructor":"b"}}',
  );
});

test("a number that cannot be written becomes the largest, which no bound allows", () => {
  for (const delay_ms of [-1, 1.5, Number.NaN, 2 ** 60]) {
    const frame: ClientFrame = { kind: "nack", body: { sub: "a", offset: 1, delay_ms } };
    const out = protobuf.encode([frame]);
    assert.ok(typeof out !== "string");
    assert.equal(hex(out), "122210" + "0a0161" + "1001" + "18ffffffffffffffffff01", `${delay_ms}`);
  }
});

test("whatever bytes come, it ends with frames or with an error that has a code", () => {
  let seed = 12345;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  const all = vectors("server_frames.txt");
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from(all[random(all.length)]?.proto ?? []);
    bytes[random(bytes.length)] = random(256);
    try {
      protobuf.decode(round % 2 === 0 ? bytes : bytes.subarray(0, random(bytes.length)));
    } catch (error) {
      refused += 1;
      assert.equal(
        (error as { code?: string }).code,
        "bad_server_frame",
        `round ${round}: ${error}`,
      );
    }
  }
  assert.ok(refused > 500, `${refused} were refused`);
});
