/** A real server for one test: `tidings dev` on free ports, with data of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base } from "@playwright/test";
import { freePort, serverBinary } from "../../web/tidings.ts";

const PATIENCE_MS = 30_000;

/** A server that can be killed and started again on the same ports and data. */
export class Server {
  readonly data = mkdtempSync(join(tmpdir(), "tidings-browser-"));
  readonly #log = `${this.data}.log`;
  #process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly operatorPort: number,
  ) {}

  static async create(): Promise<Server> {
    return new Server(await freePort(), await freePort());
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get operatorUrl(): string {
    return `http://127.0.0.1:${this.operatorPort}`;
  }

  /** What the console asks for. */
  get operatorKey(): string {
    return readFileSync(join(this.data, "operator-key"), "utf8").trim();
  }

  async start(): Promise<void> {
    const log = openSync(this.#log, "a");
    const told = ["dev", "--listen", `127.0.0.1:${this.port}`];
    told.push("--operator", `127.0.0.1:${this.operatorPort}`, "--data", this.data);
    this.#process = spawn(serverBinary(), told, { stdio: ["ignore", log, log] });
    // The child has its own.
    closeSync(log);
    const end = Date.now() + PATIENCE_MS;
    while (!(await this.#isReady())) {
      if (Date.now() > end || this.#process.exitCode !== null) {
        throw new Error(`the server is not ready: ${readFileSync(this.#log, "utf8")}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.operatorUrl}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Asks it to drain and stop. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill(signal);
    await once(running, "exit");
  }

  /** Publishes over HTTP, as a service would. */
  async publish(topic: string, data: unknown): Promise<void> {
    const answer = await fetch(`${this.url}/v1/publish`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ topic, data }),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Every message of a topic, from its log. */
  async history(topic: string): Promise<unknown[]> {
    const query = new URLSearchParams({ topic, limit: "500" });
    const answer = await fetch(`${this.url}/v1/history?${query}`);
    const page = (await answer.json()) as { messages: { data: unknown }[] };
    return page.messages.map((message) => message.data);
  }

  async remove(): Promise<void> {
    await this.kill();
    for (const path of [this.data, this.#log]) rmSync(path, { recursive: true, force: true });
  }
}

/** A test with a server that runs. */
export const test = base.extend<{ server: Server }>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the pattern.
  server: async ({}, use) => {
    const server = await Server.create();
    await server.start();
    await use(server);
    await server.remove();
  },
});

export { expect } from "@playwright/test";
