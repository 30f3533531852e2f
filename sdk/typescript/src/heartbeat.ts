/** Decides when silence is death. */

import { PING_GRACE_MS } from "./limits.ts";

/** What has to be done now. */
export type Beat = "nothing" | "ping" | "dead";

/**
 * Watches one connection. The server pings a quiet client; when even that fails to come, the
 * client asks once, and gives up when no answer comes either.
 */
export class Heartbeat {
  readonly #silenceMs: number;
  #phase: { readonly asked: boolean; readonly deadline: number };

  constructor(pingMs: number, now: number) {
    this.#silenceMs = pingMs + PING_GRACE_MS;
    this.#phase = { asked: false, deadline: now + this.#silenceMs };
  }

  /** When `look` has something to say. */
  get deadline(): number {
    return this.#phase.deadline;
  }

  /** Something came from the server. */
  heard(now: number): void {
    this.#phase = { asked: false, deadline: now + this.#silenceMs };
  }

  /** The network may have changed, or the machine slept: ask now. Whether to send a ping. */
  doubt(now: number): boolean {
    if (this.#phase.asked) {
      return false;
    }
    this.#phase = { asked: true, deadline: now + PING_GRACE_MS };
    return true;
  }

  /** Time has passed. */
  look(now: number): Beat {
    if (now < this.#phase.deadline) {
      return "nothing";
    }
    if (this.#phase.asked) {
      return "dead";
    }
    this.#phase = { asked: true, deadline: now + PING_GRACE_MS };
    return "ping";
  }
}
