/**
 * Whether a value is what a document says.
 *
 * The documents are open where the server speaks: clients skip fields that they do not know, and take
 * words that they do not know. A server's answers are held against a closed form of the same schemas,
 * in which whatever is not described is wrong, so that nothing is answered that the documents lack.
 */

import { Ajv2020, type AnySchema, type ValidateFunction } from "ajv/dist/2020.js";
import { asyncapi, openapi } from "./documents.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";

/** As a client reads, or as a server answers. */
export type Form = "open" | "closed";

/** Where a schema stands: it describes a whole value, or is one of several about the same value. */
type Place = "value" | "part";

/** Schemas by what they are to the schema that holds them. Those that test, such as `if`, stay. */
const VALUES_BY_NAME = ["properties", "patternProperties"];
const VALUES = ["items", "additionalProperties"];
const PARTS = ["allOf", "anyOf", "oneOf"];

/** Where in a document schemas stand. */
const SCHEMA_NAMES = ["schema", "payload"];

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, logger: false });
const compiled = new Map<string, ValidateFunction>();

for (const [name, document] of Object.entries({ asyncapi, openapi })) {
  ajv.addSchema(asSchema(document), `open:/${name}`);
  ajv.addSchema(asSchema(closedDocument(document)), `closed:/${name}`);
}

/** What is wrong with `value` as the schema at `place` of a document; nothing if it is right. */
export function faults(
  document: "asyncapi" | "openapi",
  place: string,
  form: Form,
  value: Json,
): string[] {
  const reference = `${form}:/${document}${place}`;
  const validate = compiled.get(reference) ?? ajv.compile({ $ref: reference });
  compiled.set(reference, validate);
  if (validate(value)) return [];
  return (validate.errors ?? []).map((error) => {
    const more = JSON.stringify(error.params);
    return `${error.instancePath || "it"} ${error.message ?? "is wrong"} ${more}`;
  });
}

/** What schemas can be found in: not the whole, whose `id` is none of a schema. */
function asSchema({ components = {}, paths = {} }: JsonObject): AnySchema {
  return { components, paths };
}

/** A document in which every schema is closed. */
function closedDocument(document: JsonObject): JsonObject {
  const entries = Object.entries(document).map(([name, value]): [string, Json] => {
    if (name === "schemas" && isObject(value)) return [name, mapped(value, "part")];
    if (SCHEMA_NAMES.includes(name) && isObject(value)) return [name, closed(value, "value")];
    if (Array.isArray(value)) return [name, value.map((entry) => closedEntry(entry))];
    return [name, closedEntry(value)];
  });
  return Object.fromEntries(entries);
}

function closedEntry(value: Json): Json {
  return isObject(value) ? closedDocument(value) : value;
}

function mapped(schemas: JsonObject, place: Place): JsonObject {
  const entries = Object.entries(schemas).map(([name, schema]) => [name, closed(schema, place)]);
  return Object.fromEntries(entries);
}

/** A schema that refuses fields and words that are not named. */
function closed(schema: Json, place: Place): Json {
  if (!isObject(schema)) return schema;
  const result: Record<string, Json> = {};
  for (const [name, value] of Object.entries(schema)) {
    if (VALUES_BY_NAME.includes(name) && isObject(value)) result[name] = mapped(value, "value");
    else if (VALUES.includes(name)) result[name] = closed(value, "value");
    else if (PARTS.includes(name) && Array.isArray(value))
      result[name] = value.map((part) => closed(part, "part"));
    else if (name === "x-extensible-enum") result.enum = value;
    else result[name] = value;
  }
  // One of several parts cannot know the fields of the others: the whole is closed, not they.
  const hasFields = ["$ref", "properties", ...PARTS].some((name) => name in schema);
  if (place === "value" && hasFields && !("additionalProperties" in schema)) {
    result.unevaluatedProperties = false;
  }
  return result;
}
