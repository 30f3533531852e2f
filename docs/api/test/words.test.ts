/** The words of the protocol are those of its tables: error codes, close codes, reasons. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { asyncapi, openapi, read } from "./documents.ts";
import { asObject, asTexts, at, type Json } from "./json.ts";

const PROTOCOL = read("docs/protocol.md");

/** The code is a bad frame, and the status that of RFC 6455 for another version of WebSockets. */
const OF_UPGRADES = "UpgradeRequired";

/** A row of the table of error codes, which the protocol's crate holds against its own. */
const ERROR_ROW = /^\| \[`(\w+)`\]\(errors\.md#\w+\) \| (\d{3}) \| (yes|no) \| (.+) \|$/gm;

const errors = [...PROTOCOL.matchAll(ERROR_ROW)].map(
  ([, code = "", status = "", temporary, title = ""]) => ({
    code,
    status: Number(status),
    isTemporary: temporary === "yes",
    title,
  }),
);

test("both documents have every error code", () => {
  assert.ok(errors.length >= 30, `${errors.length} rows were read`);
  const expected = errors.map(({ code }) => code);
  for (const document of [asyncapi, openapi]) {
    const words = at(document, "components", "schemas", "ErrorCode", "x-extensible-enum");
    assert.deepEqual(words, expected);
  }
});

test("every error code is an example of the answer with its status, and of no other", () => {
  const told = [];
  for (const [name, response] of Object.entries(
    asObject(at(openapi, "components", "responses"), "responses"),
  )) {
    const media = at(response, "content", "application/problem+json");
    const examples = asObject(at(media, "examples"), "examples");
    const rules = at(media, "schema", "allOf", "1", "properties");
    assert.deepEqual(at(rules, "code", "x-extensible-enum"), Object.keys(examples), name);
    if (name === OF_UPGRADES) continue;
    for (const [code, example] of Object.entries(examples)) {
      const { status, temporary, title, type } = asObject(at(example, "value"), code);
      assert.equal(status, at(rules, "status", "const"));
      assert.equal(type, `urn:tidings:error:${code}`);
      told.push({ code, status, isTemporary: temporary, title });
    }
  }
  const byCode = (one: { code: string }, other: { code: string }) =>
    one.code < other.code ? -1 : 1;
  assert.deepEqual(told.sort(byCode), [...errors].sort(byCode));
});

test("answers are described with the status they have", () => {
  for (const methods of Object.values(asObject(at(openapi, "paths"), "paths"))) {
    for (const about of Object.values(asObject(methods, "methods"))) {
      for (const [status, response] of Object.entries(
        asObject(at(about, "responses"), "responses"),
      )) {
        const reference = asObject(response, status).$ref;
        if (typeof reference !== "string") continue;
        const name = reference.split("/").at(-1) ?? "";
        const problem = at(
          openapi,
          "components",
          "responses",
          name,
          "content",
          "application/problem+json",
        );
        const expected: Json = at(problem, "schema", "allOf", "1", "properties", "status", "const");
        assert.equal(Number(status), expected, reference);
      }
    }
  }
});

test("close codes and their words are those of the protocol", () => {
  const rows = [...PROTOCOL.matchAll(/^\| (\d{4}) \| `(\w+)` \|/gm)];
  const expected = Object.fromEntries(rows.map(([, code = "", word = ""]) => [code, word]));
  assert.ok(rows.length >= 14);
  assert.deepEqual(at(asyncapi, "channels", "socket", "x-close-codes"), expected);
  for (const document of [asyncapi, openapi]) {
    const words = at(document, "components", "schemas", "GoawayReason", "x-extensible-enum");
    assert.deepEqual(words, Object.values(expected));
  }
});

test("reasons are those of the server", () => {
  const resets = words("crates/core/src/recovery.rs", "ResetReason");
  for (const document of [asyncapi, openapi]) {
    assert.deepEqual(
      at(document, "components", "schemas", "ResetReason", "x-extensible-enum"),
      resets,
    );
  }
  const ends = words("crates/protocol/src/frame_kind.rs", "UnsubscribeReason");
  const unsubscribed = at(
    asyncapi,
    "components",
    "schemas",
    "Unsubscribed",
    "properties",
    "reason",
  );
  assert.deepEqual(asTexts(at(unsubscribed, "x-extensible-enum"), "reason"), ends);
});

/** The words that an enum of the source has, in the order of its variants. */
function words(path: string, name: string): string[] {
  const source = read(path);
  const body = source.slice(source.indexOf(`impl ${name} {`));
  assert.ok(source.includes(`impl ${name} {`), `${path} has no ${name}`);
  const found = [...body.slice(0, body.indexOf("\n}\n")).matchAll(/=> "(\w+)"/g)].map(
    (match) => match[1] ?? "",
  );
  assert.ok(found.length >= 3, `${path}: ${name} has ${found.length} words`);
  return found;
}
