/** A server of this repository, running for a test. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serverBinary } from "../../../scripts/web/tidings.ts";
import type { Exchange } from "./answers.ts";
import type { Port } from "./documents.ts";

/** How long a server has to say where it listens. */
const START_MS = 20_000;

/** A request beside its method and address. */
export interface Asking {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A server on ports of its own, with data of its own. */
export class Server {
  readonly #process: ChildProcess;
  readonly #data: string;
  readonly addresses: Readonly<Record<Port, string>>;

  private constructor(process: ChildProcess, data: string, addresses: Record<Port, string>) {
    this.#process = process;
    this.#data = data;
    this.addresses = addresses;
  }

  /** Starts the server that `TIDINGS_BIN` names, or the one that cargo has built here. */
  static async start(): Promise<Server> {
    const data = mkdtempSync(join(tmpdir(), "tidings-documents-"));
    const anywhere = "127.0.0.1:0";
    const flags = ["--listen", anywhere, "--operator", anywhere, "--data", data];
    const child = spawn(serverBinary(), ["dev", ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      return new Server(child, data, await addressesOf(child));
    } catch (error) {
      child.kill("SIGKILL");
      rmSync(data, { recursive: true, force: true });
      throw error;
    }
  }

  /** Sends a request and reads the whole answer. */
  async ask(port: Port, method: string, target: string, asking: Asking = {}): Promise<Answer> {
    const url = this.addresses[port] + target;
    const { headers = {}, body } = asking;
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    const mediaType = response.headers.get("content-type")?.split(";")[0];
    return {
      port,
      method,
      target,
      status: response.status,
      headers: response.headers,
      answer: await response.text(),
      ...(mediaType === undefined ? {} : { mediaType }),
      ...(body === undefined ? {} : { body }),
    };
  }

  /** Asks for a WebSocket, which the server refuses: `fetch` does not let a program say these headers. */
  async askToUpgrade(headers: Readonly<Record<string, string>>): Promise<Exchange> {
    const target = "/v1/ws";
    const request = get(this.addresses.public + target, { headers });
    const [response]: IncomingMessage[] = await once(request, "response");
    if (response === undefined) throw new Error("there is no answer");
    let answer = "";
    for await (const part of response.setEncoding("utf8")) answer += part;
    const mediaType = response.headers["content-type"] ?? "";
    const status = response.statusCode ?? 0;
    return { port: "public", method: "GET", target, status, mediaType, answer };
  }

  /** Stops it as an operator would, and removes its data. */
  async stop(): Promise<void> {
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await exited;
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** A request and its answer, with the headers of the latter. */
export interface Answer extends Exchange {
  readonly headers: Headers;
}

/** What the banner says of where the server listens. */
async function addressesOf(child: ChildProcess): Promise<Record<Port, string>> {
  if (child.stdout === null) throw new Error("the server has no output");
  const late = setTimeout(() => child.kill("SIGKILL"), START_MS);
  let open: string | undefined;
  let operator: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    open ??= /^\s+HTTP\s+(http:\/\/[^/\s]+)/.exec(line)?.[1];
    operator ??= /^\s+operator\s+(http:\/\/[^/\s]+)/.exec(line)?.[1];
    if (open === undefined || operator === undefined) continue;
    clearTimeout(late);
    // What else it says is for people; unread it would fill the pipe.
    child.stdout.resume();
    return { public: open, operator };
  }
  throw new Error("the server ended before it said where it listens");
}
