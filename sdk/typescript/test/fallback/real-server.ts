/** A server of its own for a test: `tidings dev` in a directory that is removed afterwards. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serverBinary } from "../../../../scripts/web/tidings.ts";

/** What a token says. */
export interface TokenClaims {
  readonly sub: string;
  readonly exp?: number;
  readonly caps?: readonly { readonly match: string; readonly ops: readonly string[] }[];
}

export class RealServer {
  readonly #directory = mkdtempSync(join(tmpdir(), "tidings-sdk-"));
  readonly #environment: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  port = 0;

  constructor(environment: Readonly<Record<string, string>> = {}) {
    this.#environment = environment;
  }

  /** Starts it, or starts it again on the same port with what it kept. */
  async start(): Promise<this> {
    const listen = `127.0.0.1:${this.port}`;
    const where = ["--data", this.#directory, "--listen", listen, "--operator", "127.0.0.1:0"];
    const server = spawn(serverBinary(), ["dev", ...where], {
      env: { ...process.env, ...this.#environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = server;
    for await (const line of createInterface({ input: server.stdout })) {
      const found = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (found !== null) {
        this.port = Number(found[1]);
        // Whatever else it says is let through.
        server.stdout.resume();
        return this;
      }
    }
    throw new Error("the server ended before it listened");
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const server = this.#process;
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const exited = once(server, "exit");
      server.kill(signal);
      await exited;
    }
    this.#process = undefined;
  }

  /** Throws away what it kept: the next start has another log. */
  forget(): void {
    for (const name of readdirSync(this.#directory).filter((one) => one !== "dev-secret")) {
      rmSync(join(this.#directory, name), { recursive: true, force: true });
    }
  }

  async remove(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get address(): URL {
    return new URL(`http://127.0.0.1:${this.port}/v1/`);
  }

  token(claims: TokenClaims): string {
    const secret = readFileSync(join(this.#directory, "dev-secret"), "utf8").trim();
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const whole = { exp: Math.floor(Date.now() / 1000) + 600, ...claims };
    const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(whole)}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  }

  /** Publishes past every proxy; the offset. */
  async publish(topic: string, data: unknown): Promise<number> {
    const response = await fetch(new URL("publish", this.address), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ topic, data }),
    });
    const body: unknown = await response.json();
    if (!response.ok || typeof body !== "object" || body === null || !("offset" in body)) {
      throw new Error(`publish: ${response.status} ${JSON.stringify(body)}`);
    }
    return Number(body.offset);
  }
}
