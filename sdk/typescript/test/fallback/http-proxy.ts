/** A proxy in front of a server, as networks have them: it refuses upgrades, or holds answers back. */

import { once } from "node:events";
import { type ClientRequest, createServer, request, type Server } from "node:http";
import { connect, type Socket } from "node:net";

/** What the proxy lets through. */
export interface Rules {
  /** Whether WebSockets get through. */
  upgrades: boolean;
  /** Whether an answer is passed on only once all of it is there. */
  holdsBack: boolean;
  /** Answers are cut off after so many milliseconds. */
  cutsAfterMs?: number;
}

export class HttpProxy {
  readonly rules: Rules;
  /** Paths that were asked for, with how often. */
  readonly asked = new Map<string, number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Requests that showed where a stream broke off. */
  resumed = 0;
  /** Connections to the server at this moment, and most of them at one. */
  readonly #open = new Set<ClientRequest>();
  openMost = 0;

  constructor(target: () => number, rules: Rules) {
    this.rules = rules;
    this.#server = createServer((ask, answer) => {
      const path = new URL(ask.url ?? "/", "http://proxy").pathname;
      this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
      const { method, headers, url: asked } = ask;
      this.resumed += headers["last-event-id"] === undefined ? 0 : 1;
      const onward = request({ host: "127.0.0.1", port: target(), path: asked, method, headers });
      this.#open.add(onward);
      this.openMost = Math.max(this.openMost, this.#open.size);
      onward.on("close", () => this.#open.delete(onward));
      ask.pipe(onward);
      ask.on("error", () => onward.destroy());
      answer.on("close", () => onward.destroy());
      // As proxies do: a server that restarts has a moment to come back.
      onward.on("error", () => {
        setTimeout(
          () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()),
          1000,
        );
      });
      onward.on("response", (back) => {
        const { cutsAfterMs } = this.rules;
        if (cutsAfterMs !== undefined) {
          setTimeout(() => answer.destroy(), cutsAfterMs).unref();
        }
        const held: Buffer[] = [];
        const head = () => answer.writeHead(back.statusCode ?? 502, back.headers);
        if (!this.rules.holdsBack) {
          head();
          answer.flushHeaders();
        }
        back.on("data", (piece: Buffer) => {
          if (this.rules.holdsBack) {
            held.push(piece);
          } else {
            answer.write(piece);
          }
        });
        back.on("end", () => {
          if (this.rules.holdsBack) {
            head();
          }
          answer.end(Buffer.concat(held));
        });
        back.on("error", () => answer.destroy());
      });
    });
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
    });
    this.#server.on("upgrade", (ask, socket, head) => {
      this.asked.set("upgrade", (this.asked.get("upgrade") ?? 0) + 1);
      if (!this.rules.upgrades) {
        socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
      }
      const onward = connect(target(), "127.0.0.1");
      const headers = Object.entries(ask.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      onward.write(`GET ${ask.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
      onward.on("error", () => socket.destroy());
      socket.on("error", () => onward.destroy());
      socket.on("close", () => onward.destroy());
    });
  }

  /** Requests that wait for the server, or follow a stream of it. */
  get openNow(): number {
    return this.#open.size;
  }

  async start(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** The address that clients are given. */
  get url(): URL {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return new URL(`ws://127.0.0.1:${port}/v1/ws`);
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }
}
