/** JSON as a type, and looking into it with errors that say what is missing. */

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [name: string]: Json;
}

/** What `JSON.parse` gives is JSON. */
export function parseJson(text: string): Json {
  return JSON.parse(text) as Json; // `JSON.parse` promises nothing about its result, and this is what it is.
}

/** Whether a value is an object, and no array. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object, or an error that names `what` should have been one. */
export function asObject(value: Json | undefined, what: string): JsonObject {
  if (!isObject(value)) throw new Error(`${what} is no object`);
  return value;
}

/** A text, or an error that names `what` should have been one. */
export function asText(value: Json | undefined, what: string): string {
  if (typeof value !== "string") throw new Error(`${what} is no text`);
  return value;
}

/** A list, or an error that names `what` should have been one. */
export function asList(value: Json | undefined, what: string): readonly Json[] {
  if (!Array.isArray(value)) throw new Error(`${what} is no list`);
  return value;
}

/** A list of texts, or an error that names `what` should have been one. */
export function asTexts(value: Json | undefined, what: string): string[] {
  return asList(value, what).map((entry) => asText(entry, what));
}

/** What stands at the end of `names`, one object in the other. */
export function at(root: Json, ...names: string[]): Json {
  let value: Json = root;
  for (const [index, name] of names.entries()) {
    const here: Json = value;
    const what = names.slice(0, index).join(" / ");
    const found: Json | undefined = Array.isArray(here)
      ? here[Number(name)]
      : asObject(here, what)[name];
    if (found === undefined)
      throw new Error(`there is no ${names.slice(0, index + 1).join(" / ")}`);
    value = found;
  }
  return value;
}

/** Where a value stands, as the fragment of a URI (RFC 6901 §6). */
export function pointer(...names: string[]): string {
  const escaped = names.map((name) => name.replaceAll("~", "~0").replaceAll("/", "~1"));
  return `#/${escaped.map(encodeURIComponent).join("/")}`;
}
