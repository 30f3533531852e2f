/** A real server of one's own, with a configuration of the test. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, serverBinary } from "../../../../scripts/web/tidings.ts";

const SECRET = "a-secret-for-tests-of-32-bytes-or-more";

/** What a token of the test says. */
export interface TokenOptions {
  readonly seconds?: number;
  readonly ops?: readonly string[];
}

/** A token of this user, for everything unless said otherwise. */
export function tokenOf(user: string, { seconds = 3600, ops }: TokenOptions = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const caps = [
    { match: "#", ops: ops ?? ["pub", "sub", "hist", "pres"] },
    { match: "$dead-letters", ops: ["sub", "hist"] },
  ];
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const head = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp, caps })}`;
  return `${head}.${createHmac("sha256", SECRET).update(head).digest("base64url")}`;
}

/** The server. Ports and data stay over restarts. */
export class Server {
  readonly port: number;
  readonly #directory: string;
  #process: ChildProcess | undefined;
  #log = "";

  private constructor(port: number, directory: string) {
    this.port = port;
    this.#directory = directory;
  }

  /** Starts one. `more` is further configuration; sections that it names are merged by hand. */
  static async start(more = ""): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "tidings-sdk-"));
    const [port, operator] = [await freePort(), await freePort()];
    const configuration = `
[server]
listen = "127.0.0.1:${port}"
operator = "127.0.0.1:${operator}"
shards = 1
[storage]
directory = "${join(directory, "data")}"
[auth]
leeway = "0s"
[[auth.keys]]
algorithm = "HS256"
secret = "${SECRET}"
${more}`;
    await writeFile(join(directory, "tidings.toml"), configuration);
    const server = new Server(port, directory);
    await server.run();
    return server;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Runs it, and waits until it answers. */
  async run(): Promise<void> {
    const child = spawn(
      serverBinary(),
      ["serve", "--config", join(this.#directory, "tidings.toml")],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    this.#process = child;
    child.stderr?.on("data", (text) => {
      this.#log += text;
    });
    for (let tries = 0; tries < 500; tries += 1) {
      if (child.exitCode !== null) {
        throw new Error(`the server ended: ${this.#log}`);
      }
      try {
        await fetch(`http://127.0.0.1:${this.port}/v1/none`);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    throw new Error(`the server does not answer: ${this.#log}`);
  }

  /** Ends it: `SIGKILL` without a word, `SIGTERM` in good order. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await ended;
    }
  }

  /** Ends it, and removes what it wrote. */
  async remove(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.#directory, { recursive: true, force: true });
  }
}
