/** Requests to the HTTP interface: one answer, a refusal with a code, or no server at all. */

import type { ErrorBody } from "../frames.ts";

/** How a request went. */
export type Outcome =
  | { readonly kind: "answered"; readonly body: unknown }
  /** The server refused it, and said why. */
  | { readonly kind: "refused"; readonly error: ErrorBody }
  /** No answer of the server: the network failed, or something in between answered in its place. */
  | { readonly kind: "unreachable"; readonly why: string };

/** Parameters of a query; those without a value are left out. */
export type Parameters = Readonly<Record<string, string | number | undefined>>;

/** What one request asks for. */
interface Ask {
  readonly path: string;
  readonly parameters?: Parameters;
  readonly body?: unknown;
  readonly token?: string | undefined;
  /** Longer than the server may take. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 15_000;

/** The folder of the HTTP interface beside the address of a WebSocket. */
export function folderOf(url: URL): URL {
  const folder = new URL(url.pathname === "/" ? "/v1/" : ".", url);
  folder.protocol = url.protocol.replace(/^ws/, "http");
  return folder;
}

/** Asks a server, with the token that counts now. */
export class Requests {
  token: string | undefined;
  readonly #folder: URL;

  constructor(folder: URL, token?: string) {
    this.#folder = folder;
    this.token = token;
  }

  /** The whole answer to a request. Never throws; one that was stopped is `unreachable`. */
  async ask(ask: Ask): Promise<Outcome> {
    const timeout = AbortSignal.timeout(ask.timeoutMs ?? TIMEOUT_MS);
    const stop = new AbortController();
    const abort = () => stop.abort();
    timeout.addEventListener("abort", abort);
    ask.signal?.addEventListener("abort", abort);
    if (ask.signal?.aborted === true) {
      abort();
    }
    try {
      const response = await fetch(this.address(ask.path, ask.parameters), {
        ...(ask.body === undefined ? {} : { method: "POST", body: JSON.stringify(ask.body) }),
        headers: {
          ...this.headers(ask.token ?? this.token),
          ...(ask.body === undefined ? {} : { "content-type": "application/json" }),
        },
        cache: "no-store",
        signal: stop.signal,
      });
      return await outcomeOf(response);
    } catch (error) {
      return { kind: "unreachable", why: timeout.aborted ? "no answer in time" : String(error) };
    } finally {
      timeout.removeEventListener("abort", abort);
      ask.signal?.removeEventListener("abort", abort);
    }
  }

  /** The address of a route. */
  address(path: string, parameters: Parameters = {}, topics: readonly string[] = []): URL {
    const address = new URL(path, this.#folder);
    for (const topic of topics) {
      address.searchParams.append("topic", topic);
    }
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) {
        address.searchParams.append(name, String(value));
      }
    }
    return address;
  }

  /** The headers that say who asks. */
  headers(token = this.token): Record<string, string> {
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }
}

/** What an answer says. */
export async function outcomeOf(response: Response): Promise<Outcome> {
  const type = response.headers.get("content-type") ?? "";
  // A page of a proxy or of a captive portal has neither type, whatever its status.
  if (!/^application\/(problem\+)?json\b/.test(type)) {
    await response.body?.cancel();
    return { kind: "unreachable", why: `status ${response.status} that is not the server's` };
  }
  const body: unknown = await response.json();
  if (response.ok) {
    return { kind: "answered", body };
  }
  const error = errorOf(body, response.headers.get("retry-after"));
  if (error === undefined) {
    return { kind: "unreachable", why: `status ${response.status} without a code` };
  }
  return { kind: "refused", error };
}

/** The error of a problem (RFC 9457) with the fields of ours. */
function errorOf(body: unknown, retryAfter: string | null): ErrorBody | undefined {
  if (typeof body !== "object" || body === null || !("code" in body)) {
    return undefined;
  }
  const detail = "detail" in body ? body.detail : "";
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  const told = "retry_after_ms" in body ? Number(body.retry_after_ms) : seconds * 1000;
  return {
    code: String(body.code),
    message: String(detail),
    temporary: "temporary" in body && body.temporary === true,
    ...(Number.isFinite(told) ? { retry_after_ms: told } : {}),
  };
}
