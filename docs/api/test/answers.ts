/** Whether requests and answers of HTTP are what openapi.json says. */

import { follow, type Operation, openapi, operationOf, type Port } from "./documents.ts";
import { asList, asObject, at, isObject, type Json, parseJson, pointer } from "./json.ts";
import { faults } from "./schemas.ts";

/** A request and what came back. */
export interface Exchange {
  readonly port: Port;
  readonly method: string;
  readonly target: string;
  readonly body?: string;
  readonly status: number;
  /** Without its parameters; absent if only the bytes were kept. */
  readonly mediaType?: string;
  readonly answer: string;
}

/** What addresses that are no operation answer: no such route, or not with this method. */
const OF_NO_OPERATION: ReadonlyMap<number, string> = new Map([
  [404, "NotFound"],
  [405, "MethodNotAllowed"],
]);

/** What of an exchange is not as the document says. */
export function exchangeFaults(exchange: Exchange): string[] {
  const { port, method, target, status } = exchange;
  const operation = operationOf(port, method, target);
  const place = operation === undefined ? placeOfNone(status) : placeOf(operation, status);
  if (place === undefined) return [`${method} ${target} on the ${port} port has no ${status}`];
  const found = [...answerFaults(exchange, place)];
  if (operation !== undefined && status < 300) found.push(...requestFaults(exchange, operation));
  return found.map((fault) => `${method} ${target}: ${status}: ${fault}`);
}

function placeOfNone(status: number): string[] | undefined {
  const name = OF_NO_OPERATION.get(status);
  return name === undefined ? undefined : ["components", "responses", name];
}

function placeOf({ path, method, about }: Operation, status: number): string[] | undefined {
  if (!(String(status) in asObject(about.responses, "responses"))) return undefined;
  return follow(openapi, ["paths", path, method.toLowerCase(), "responses", String(status)]);
}

function answerFaults(exchange: Exchange, place: string[]): string[] {
  const content = asObject(at(openapi, ...place), "the response").content;
  if (!isObject(content)) {
    return exchange.answer === "" ? [] : [`a body where none is described: ${exchange.answer}`];
  }
  const mediaType = exchange.mediaType ?? Object.keys(content)[0] ?? "";
  if (!(mediaType in content)) return [`its body is of the type "${mediaType}"`];
  const value: Json = mediaType.endsWith("json") ? parseJson(exchange.answer) : exchange.answer;
  const schema = pointer(...place, "content", mediaType, "schema");
  return faults("openapi", schema, "closed", value);
}

/** What was taken has to be described as good. */
function requestFaults(exchange: Exchange, operation: Operation): string[] {
  const { path, method, about } = operation;
  const wrong = queryFaults(exchange.target, operation);
  if (exchange.body === undefined || exchange.body === "") return wrong;
  if (!isObject(about.requestBody)) return [...wrong, "a body is taken where none is described"];
  const media = [method.toLowerCase(), "requestBody", "content", "application/json", "schema"];
  const schema = pointer("paths", path, ...media);
  return [...wrong, ...faults("openapi", schema, "open", parseJson(exchange.body))];
}

/** What of a query is not described. */
function queryFaults(target: string, { path, method, about }: Operation): string[] {
  const query = new URL(target, "http://localhost").searchParams;
  const described = asList(about.parameters ?? [], "parameters");
  return [...new Set(query.keys())].flatMap((name) => {
    const index = described.findIndex(
      (one) => isObject(one) && one.in === "query" && one.name === name,
    );
    if (index < 0) return [`the parameter ${name} is taken and not described`];
    const place = ["paths", path, method.toLowerCase(), "parameters", String(index), "schema"];
    const found = readings(query.getAll(name)).map((value) =>
      faults("openapi", pointer(...place), "open", value),
    );
    return found.some((none) => none.length === 0) ? [] : found.flat();
  });
}

/** What the text of a parameter may stand for: digits are a number wherever a test asks. */
function readings(texts: readonly string[]): Json[] {
  const [text = ""] = texts;
  if (/^\d+$/.test(text)) return [Number(text)];
  return text === "true" || text === "false" ? [text === "true"] : [text, texts];
}

/** What of an event of a stream is not as the document says. */
export function eventFaults(event: string, data: string): string[] {
  const media = ["responses", "200", "content", "text/event-stream", "x-events", event];
  const place = ["paths", "/v1/stream", "get", ...media];
  return faults("openapi", pointer(...follow(openapi, place)), "closed", parseJson(data));
}
