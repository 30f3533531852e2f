/** Chooses between a WebSocket and the fallback, and goes back to the WebSocket when it can. */

import type { Codec } from "../codec.ts";
import type { ServerFrame } from "../frames.ts";
import type { Link, LinkEvents, Transport } from "../transport.ts";
import { pause } from "./pause.ts";

/** When to change over. */
export interface SwitchingOptions {
  /** WebSockets that do not come to speak, in a row, before the fallback is used; 2 unless given. */
  readonly failuresMax?: number;
  /** How long the fallback is used before a WebSocket is tried again; 60 s unless given. */
  readonly retryMs?: number;
  /** It doubles with each failure up to this, 10 min unless given. */
  readonly retryMaxMs?: number;
}

/** Which way is taken. */
type Way =
  | { readonly kind: "websocket"; readonly failures: number }
  /** `trialMs` is how long to wait before a WebSocket is tried. */
  | { readonly kind: "fallback"; readonly trialMs: number };

/** Where the fallback gets through, it may be that the network has just come back. */
const FIRST_TRIAL_MS = 1000;
/** How long a trial may take. */
const TRIAL_TIMEOUT_MS = 10_000;

/** A transport that takes the one way or the other. */
export class Switching implements Transport {
  readonly #websocket: Transport;
  readonly #fallback: Transport;
  readonly #options: Required<SwitchingOptions>;
  #way: Way = { kind: "websocket", failures: 0 };

  constructor(websocket: Transport, fallback: Transport, options: SwitchingOptions) {
    this.#websocket = websocket;
    this.#fallback = fallback;
    const { failuresMax = 2, retryMs = 60_000, retryMaxMs = 600_000 } = options;
    this.#options = { failuresMax, retryMs, retryMaxMs };
  }

  /** The way of the link that was opened last, as long as it is there. */
  get via(): "websocket" | "fallback" {
    return this.#way.kind;
  }

  open(url: URL, events: LinkEvents, codec: Codec): Link {
    if (this.#way.kind === "fallback") {
      return this.#openFallback(url, events, codec);
    }
    const ended = (hasSpoken: boolean) => this.#websocketEnded(hasSpoken);
    const watching = { spoke: () => {}, ended };
    try {
      return observe(events, watching, (events) => this.#websocket.open(url, events, codec));
    } catch {
      // This runtime has none, which the first trial will find again.
      this.#way = { kind: "fallback", trialMs: this.#options.retryMaxMs };
      return this.#openFallback(url, events, codec);
    }
  }

  #websocketEnded(hasSpoken: boolean): void {
    if (this.#way.kind === "websocket") {
      const failures = hasSpoken ? 0 : this.#way.failures + 1;
      this.#way =
        failures < this.#options.failuresMax
          ? { kind: "websocket", failures }
          : { kind: "fallback", trialMs: FIRST_TRIAL_MS };
    }
  }

  #openFallback(url: URL, events: LinkEvents, codec: Codec): Link {
    const over = new AbortController();
    const watching = {
      spoke: () => void this.#tryUntilOver(url, codec, over.signal, () => link.leave()),
      ended: (hasSpoken: boolean) => {
        over.abort();
        if (!hasSpoken) {
          // The fallback does not get through either, so it is the network: try them in turn.
          this.#way = { kind: "websocket", failures: this.#options.failuresMax - 1 };
        }
      },
    };
    const link = observe(events, watching, (events) => this.#fallback.open(url, events, codec));
    return link;
  }

  async #tryUntilOver(url: URL, codec: Codec, over: AbortSignal, opens: () => void): Promise<void> {
    const { retryMs, retryMaxMs } = this.#options;
    while (!over.aborted && this.#way.kind === "fallback") {
      const { trialMs } = this.#way;
      await pause(trialMs, over);
      const isThere = !over.aborted && (await answersPing(this.#websocket, url, codec, over));
      if (isThere) {
        this.#way = { kind: "websocket", failures: 0 };
        opens();
      } else if (!over.aborted) {
        const next = Math.min(Math.max(trialMs * 2, retryMs), retryMaxMs);
        this.#way = { kind: "fallback", trialMs: next };
      }
    }
  }
}

/** A link that can be told to come back. */
interface ObservedLink extends Link {
  leave(): void;
}

/** A link of which it is told when the server says something first, and when it ends. */
function observe(
  events: LinkEvents,
  watching: { spoke(): void; ended(hasSpoken: boolean): void },
  open: (events: LinkEvents) => Link,
): ObservedLink {
  let phase: "silent" | "speaking" | "over" = "silent";
  const end = (): boolean => {
    const before = phase;
    phase = "over";
    if (before !== "over") {
      watching.ended(before === "speaking");
    }
    return before !== "over";
  };
  const frames = (all: readonly ServerFrame[]): void => {
    if (phase === "silent") {
      phase = "speaking";
      watching.spoke();
    }
    if (phase === "speaking") {
      events.frames(all);
    }
  };
  const closed = (code: number, reason: string): void => {
    if (end()) {
      events.closed(code, reason);
    }
  };
  const link = open({ opened: () => phase !== "over" && events.opened(), frames, closed });
  return {
    get unsentBytes() {
      return link.unsentBytes;
    },
    send: (all) => link.send(all),
    // Closed while it was silent: it took too long, which is a failure as well.
    close(code) {
      end();
      link.close(code);
    },
    // What `goaway` says counts before the close code: at once, with the same token.
    leave() {
      frames([{ kind: "goaway", body: { reason: "draining", retry_after_ms: 0 } }]);
      closed(4402, "draining");
      link.close();
    },
  };
}

/**
 * Whether a WebSocket can be opened and frames get through: some networks take the upgrade and
 * nothing after it.
 */
function answersPing(
  transport: Transport,
  url: URL,
  codec: Codec,
  over: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    let link: Link | undefined;
    const timeout = new AbortController();
    const finish = (answers: boolean): void => {
      timeout.abort();
      over.removeEventListener("abort", giveUp);
      link?.close();
      link = undefined;
      resolve(answers);
    };
    const giveUp = () => finish(false);
    over.addEventListener("abort", giveUp);
    void pause(TRIAL_TIMEOUT_MS, timeout.signal).then(giveUp);
    try {
      link = transport.open(
        url,
        {
          opened: () => link?.send([{ kind: "ping", id: 1, body: {} }]),
          frames: () => finish(true),
          closed: giveUp,
        },
        codec,
      );
    } catch {
      giveUp();
    }
  });
}
