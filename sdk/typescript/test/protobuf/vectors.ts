/** The test vectors of the protocol: frames in JSON and in Protobuf. */

import { readFileSync } from "node:fs";
import { fromBase64 } from "../../src/base64.ts";
import type { Fields } from "../../src/protobuf/message.ts";

/** One frame in both codecs. */
export interface Vector {
  readonly line: number;
  readonly json: string;
  readonly proto: Uint8Array;
}

const folder = new URL("../../../../crates/protocol/testdata/", import.meta.url);

/** Every vector of a file that has both codecs. */
export function vectors(file: string): Vector[] {
  const found: Vector[] = [];
  let json: string | undefined;
  readFileSync(new URL(file, folder), "utf8")
    .split("\n")
    .forEach((text, index) => {
      if (text.startsWith("json  ")) {
        json = text.slice(6);
      } else if (text.startsWith("proto ") && json !== undefined) {
        found.push({ line: index + 1, json, proto: Buffer.from(text.slice(6), "hex") });
      }
    });
  return found;
}

/** The frame of a vector's JSON, with bytes as bytes. */
export function frameOf(json: string): { kind: string; id: unknown; body: unknown } {
  const object: Fields = withBytes(JSON.parse(json));
  const { id, ...bodies } = object;
  const [[kind, body] = ["", undefined]] = Object.entries(bodies);
  return { kind, id, body };
}

function withBytes<Value>(value: Value): Value {
  if (Array.isArray(value)) {
    // An array stays an array of the same things.
    return value.map(withBytes) as Value;
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const fields = Object.entries(value).map(([name, content]) =>
    name === "data_base64" ? ["data", fromBase64(content)] : [name, withBytes(content)],
  );
  return Object.fromEntries(fields);
}
