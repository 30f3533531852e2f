/** The table of the codec is the schema. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fieldsOf, type MessageName, schema } from "../../src/protobuf/schema.ts";

const source = new URL("../../../../proto/tidings/v1/tidings.proto", import.meta.url);

/** The fields of each message as `number type name`, in the words of the schema. */
function declared(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let message = "";
  for (const text of readFileSync(source, "utf8").split("\n")) {
    const start = /^message (\w+) \{/.exec(text);
    const field = /^\s+((?:optional |repeated )?[\w<>, ]+) (\w+) = (\d+);/.exec(text);
    if (start !== null) {
      message = start[1] ?? "";
      found.set(message, []);
    } else if (field !== null) {
      found.get(message)?.push(`${field[3]} ${field[1]} ${field[2]}`);
    }
  }
  return found;
}

/** The same of the table. */
function tabled(message: MessageName): string[] {
  return fieldsOf(message).map(({ number, type, name, isOptional, isRepeated }) => {
    if (type === "json" || type === "bytes") {
      return `${number} bytes ${name}_${type === "json" ? "json" : "binary"}`;
    }
    const word = type === "map" ? "map<string, string>" : type;
    const mark = isOptional ? "optional " : isRepeated ? "repeated " : "";
    return `${number} ${mark}${word} ${name}`;
  });
}

test("the table has every message and field of the schema, and no other", () => {
  const proto = declared();
  assert.ok(proto.size > 25, `found ${proto.size} messages`);
  const names = Object.keys(schema).filter((name) => name !== "Header");
  assert.deepEqual(names.sort(), [...proto.keys()].sort());
  for (const [message, fields] of proto) {
    const plain = fields.map((field) => field.replace(/\buint(32|64)\b/, "uint"));
    plain.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    // Every name is one of the table: compared above.
    assert.deepEqual(tabled(message as MessageName), plain, message);
  }
});
