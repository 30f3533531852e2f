/** The documents, and the operations of the one about HTTP. */

import { readFileSync } from "node:fs";
import { asObject, asText, at, isObject, type Json, type JsonObject, parseJson } from "./json.ts";

/** The folder of the repository. */
export const ROOT = new URL("../../../", import.meta.url);

/** The text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** docs/api/asyncapi.json. */
export const asyncapi = asObject(parseJson(read("docs/api/asyncapi.json")), "asyncapi.json");

/** docs/api/openapi.json. */
export const openapi = asObject(parseJson(read("docs/api/openapi.json")), "openapi.json");

/** Which of the two listeners. */
export type Port = "public" | "operator";

const PORTS: ReadonlyMap<string, Port> = new Map([
  ["/", "public"],
  ["http://127.0.0.1:8001", "operator"],
]);

/** A route with one method, as the document has it. */
export interface Operation {
  readonly ports: readonly Port[];
  readonly method: string;
  readonly path: string;
  readonly about: JsonObject;
}

/** Every operation of openapi.json. */
export const operations: readonly Operation[] = Object.entries(
  asObject(at(openapi, "paths"), "paths"),
).flatMap(([path, methods]) =>
  Object.entries(asObject(methods, path)).map(([method, about]) => {
    const described = asObject(about, `${method} ${path}`);
    return { ports: portsOf(described), method: method.toUpperCase(), path, about: described };
  }),
);

function portsOf(about: JsonObject): Port[] {
  const servers = about.servers;
  if (!Array.isArray(servers)) throw new Error(`${about.operationId} names no servers`);
  return servers.map((server: Json) => {
    const url = asText(at(server, "url"), "url");
    const port = PORTS.get(url);
    if (port === undefined) throw new Error(`${url} is neither of the two ports`);
    return port;
  });
}

/** The operation that a request is about. Names count before parameters, as in the router. */
export function operationOf(port: Port, method: string, target: string): Operation | undefined {
  const path = new URL(target, "http://localhost").pathname;
  const fits = operations.filter(
    (operation) =>
      operation.method === method &&
      operation.ports.includes(port) &&
      matches(operation.path, path),
  );
  const parameters = (operation: Operation) => operation.path.split("{").length;
  return fits.sort((one, other) => parameters(one) - parameters(other))[0];
}

function matches(template: string, path: string): boolean {
  const [expected, actual] = [template.split("/"), path.split("/")];
  const fits = expected.every((part, index) => part.startsWith("{") || part === actual[index]);
  return fits && expected.length === actual.length;
}

/** Follows a `$ref` of a document into the same document. Gives the names that lead there. */
export function follow(document: JsonObject, names: string[]): string[] {
  const value = at(document, ...names);
  if (!isObject(value) || typeof value.$ref !== "string") return names;
  const parts = value.$ref.replace(/^#\//, "").split("/");
  return follow(
    document,
    parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~")),
  );
}
