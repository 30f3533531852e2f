/** A TCP proxy that does to connections what networks do. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** How bytes fare. `frozen`: they vanish, and nobody is told: a half-open connection. */
type Weather =
  | { readonly kind: "fair" }
  | { readonly kind: "frozen" }
  | { readonly kind: "slow"; readonly bytes: number };

/** In front of one port. */
export class FaultyProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #weather: Weather = { kind: "fair" };
  #isOpen = true;
  #lose: (() => void) | undefined;
  /** Connections that were let in. */
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static start(port: number): Promise<FaultyProxy> {
    return new Promise((resolve) => {
      const server = createServer((near) => proxy.#accept(near, port));
      const proxy = new FaultyProxy(server);
      server.listen(0, "127.0.0.1", () => resolve(proxy));
    });
  }

  get url(): string {
    const address = this.#server.address();
    return `ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  }

  #accept(near: Socket, port: number): void {
    if (!this.#isOpen) {
      near.resetAndDestroy();
      return;
    }
    this.accepted += 1;
    const far = connect(port, "127.0.0.1");
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    const end = () => {
      // Nobody is told when the network is frozen, not even of an end.
      if (this.#weather.kind === "frozen" && this.#pairs.has(pair)) {
        return;
      }
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on("error", end);
      from.on("close", end);
      from.on("data", (bytes) => {
        if (to === near && this.#lose !== undefined) {
          this.#lose();
          this.#lose = undefined;
          this.#weather = { kind: "frozen" };
        }
        this.#pass(bytes, to);
      });
    }
  }

  #pass(bytes: Buffer, to: Socket): void {
    const weather = this.#weather;
    if (weather.kind === "fair") {
      to.write(bytes);
    } else if (weather.kind === "slow") {
      // In pieces that are cut anywhere, each a turn after the other.
      for (let at = 0; at < bytes.length; at += weather.bytes) {
        setTimeout(() => to.write(bytes.subarray(at, at + weather.bytes)), at / weather.bytes);
      }
    }
  }

  /** What the server says next does not arrive, nor anything after it. Resolves when it has said it. */
  loseNextAnswer(): Promise<void> {
    return new Promise((resolve) => {
      this.#lose = resolve;
    });
  }

  /** Cuts every connection; new ones get through. */
  cut(): void {
    this.#weather = { kind: "fair" };
    for (const pair of [...this.#pairs]) {
      const [near, far] = pair;
      this.#pairs.delete(pair);
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** From now on nobody gets through. */
  shut(): void {
    this.#isOpen = false;
    this.cut();
  }

  open(): void {
    this.#isOpen = true;
  }

  set weather(weather: Weather) {
    this.#weather = weather;
  }

  close(): void {
    this.shut();
    this.#server.close();
  }
}
