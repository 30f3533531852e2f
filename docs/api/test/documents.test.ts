/** The documents are what they say they are, whole, and agree with each other. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv } from "ajv";
import { asyncapi, follow, openapi, operations } from "./documents.ts";
import { frameFaults, messages, type Side } from "./frames.ts";
import {
  asList,
  asObject,
  asText,
  asTexts,
  at,
  isObject,
  type Json,
  type JsonObject,
  pointer,
} from "./json.ts";
import { faults } from "./schemas.ts";

const require = createRequire(import.meta.url);

test("openapi.json is a document of OpenAPI 3.1", async () => {
  const result = await new Validator().validate(structuredClone(openapi));
  assert.ok(result.valid, JSON.stringify(result.errors, undefined, 1));
  assert.equal(asText(openapi.openapi, "openapi"), "3.1.0");
});

test("asyncapi.json is a document of AsyncAPI 3.0", () => {
  const schema: object = require("@asyncapi/specs/schemas/3.0.0.json");
  // The schema brings the meta-schema that it refers to.
  const ajv = new Ajv({
    strict: false,
    validateFormats: false,
    meta: false,
    validateSchema: false,
  });
  const validate = ajv.compile(schema);
  assert.ok(validate(asyncapi), JSON.stringify(validate.errors?.slice(0, 5), undefined, 1));
});

test("every reference leads somewhere", () => {
  for (const document of [asyncapi, openapi]) {
    const all = references(document);
    assert.ok(all.length > 100);
    for (const reference of all) {
      assert.match(reference, /^#\//);
      follow(asObject({ ...document, probe: { $ref: reference } }, "probe"), ["probe"]);
    }
  }
});

/** What an address answers to a method that it does not take, and so to no operation. */
const OF_NO_OPERATION = "#/components/responses/MethodNotAllowed";

test("every schema is used", () => {
  for (const document of [asyncapi, openapi]) {
    const used = new Set([...references(document), OF_NO_OPERATION]);
    for (const kind of ["schemas", "responses", "parameters", "headers", "messages"]) {
      const parts = asObject(at(document, "components"), "components");
      for (const name of Object.keys(asObject(parts[kind] ?? {}, kind))) {
        assert.ok(used.has(`#/components/${kind}/${name}`), `${kind} ${name}`);
      }
    }
  }
});

test("what both documents describe under one name is the same, if both mean the same", () => {
  // Over HTTP the topic is in the answer, since there is no frame that it answers.
  const different = ["Published", "Scheduled"];
  const [one, other] = [asyncapi, openapi].map((document) =>
    asObject(at(document, "components", "schemas"), "schemas"),
  );
  const shared = Object.keys(one ?? {}).filter((name) => other !== undefined && name in other);
  assert.ok(shared.length > 15, shared.join());
  for (const name of shared.filter((name) => !different.includes(name))) {
    assert.deepEqual(other?.[name], one?.[name], name);
  }
});

test("every example of a message is one", () => {
  for (const [name, message] of Object.entries(messages)) {
    const side: Side = name.startsWith("client.") ? "client" : "server";
    const examples = asList(asObject(message, name).examples, name);
    assert.ok(examples.length > 0, `${name} has no example`);
    for (const example of examples) {
      assert.deepEqual(frameFaults(side, at(example, "payload"), "closed"), [], name);
    }
  }
});

test("every example of a body and of a parameter is one", () => {
  let count = 0;
  for (const { names, media } of described(openapi, [])) {
    const examples = isObject(media.examples)
      ? Object.values(media.examples).map((example) => at(example, "value"))
      : media.example === undefined
        ? []
        : [media.example];
    for (const example of examples) {
      count += 1;
      const found = faults("openapi", pointer(...names, "schema"), "closed", example);
      assert.deepEqual(found, [], `${names.join(" / ")}: ${JSON.stringify(example)}`);
    }
  }
  assert.ok(count > 60, `${count} examples`);
});

test("every answer with JSON has an example, and every operation a name of its own", () => {
  const names = operations.map(({ about }) => asText(about.operationId, "operationId"));
  assert.equal(new Set(names).size, names.length);
  for (const { about, path, method } of operations.filter(({ about }) => !isDocument(about))) {
    const place = ["paths", path, method.toLowerCase(), "responses"];
    for (const status of Object.keys(asObject(about.responses, "responses"))) {
      const content = asObject(at(openapi, ...follow(openapi, [...place, status])), status).content;
      for (const [type, media] of Object.entries(asObject(content ?? {}, "content"))) {
        const { example, examples } = asObject(media, type);
        assert.ok(
          type === "text/plain" || (example ?? examples) !== undefined,
          `${method} ${path}: ${status}`,
        );
      }
    }
  }
});

test("every tag is described, and described ones are used", () => {
  const told = asList(at(openapi, "tags"), "tags").map((tag) => asText(at(tag, "name"), "name"));
  const used = operations.flatMap(({ about }) => asTexts(about.tags, "tags"));
  assert.deepEqual([...new Set(used)].sort(), [...told].sort());
});

/** The documents are no examples of themselves. */
function isDocument(about: JsonObject): boolean {
  return asTexts(about.tags, "tags").includes("documents");
}

function references(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap((entry: Json) => references(entry));
  if (!isObject(value)) return [];
  const own = typeof value.$ref === "string" ? [value.$ref] : [];
  return [...own, ...Object.values(value).flatMap(references)];
}

interface Described {
  readonly names: string[];
  readonly media: JsonObject;
}

/** Everything with a `schema`: bodies, parameters, headers. */
function described(value: Json, names: string[]): Described[] {
  if (Array.isArray(value))
    return value.flatMap((entry, index) => described(entry, [...names, String(index)]));
  if (!isObject(value)) return [];
  const own = isObject(value.schema) ? [{ names, media: value }] : [];
  const inner = Object.entries(value).filter(([name]) => name !== "schema");
  return [...own, ...inner.flatMap(([name, part]) => described(part, [...names, name]))];
}
