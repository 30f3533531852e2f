/** Publishes by HTTP, in their order: one request at a time, with all that waits meanwhile. */

import type { PublishBody, ServerFrame } from "../frames.ts";
import { type BatchResult, entryOf, replyOf } from "./bodies.ts";
import type { Outcome, Requests } from "./requests.ts";

/** Most messages of a request, as the server has it. */
const BATCH_MAX = 1000;
/** About the bytes of a request, of which servers take 2 MiB unless configured otherwise. */
const BATCH_BYTES = 256 * 1024;
/** A publish waits for the disk, and for others. */
const TIMEOUT_MS = 40_000;

/** A publish that waits for its turn. */
interface Entry {
  readonly id: number | undefined;
  readonly body: object;
  readonly bytes: number;
}

/** What publishing needs of the link. */
export interface PublishingEvents {
  readonly requests: Requests;
  say(frames: readonly ServerFrame[]): void;
  /** Nobody knows what became of those without an answer; the token may be the reason. */
  failed(outcome: Outcome & { kind: "refused" | "unreachable" }): void;
}

export class Publishing {
  readonly #events: PublishingEvents;
  #waiting: Entry[] = [];
  #unsentBytes = 0;
  #phase: "idle" | "sending" | "closed" = "idle";

  constructor(events: PublishingEvents) {
    this.#events = events;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  add(id: number | undefined, publish: PublishBody): void {
    const body = entryOf(publish);
    const bytes = JSON.stringify(body).length;
    this.#waiting.push({ id, body, bytes });
    this.#unsentBytes += bytes;
    if (this.#phase === "idle") {
      this.#phase = "sending";
      void this.#send();
    }
  }

  /** What is on its way is not called back; what waits stays with the core, which has it all. */
  close(): void {
    this.#phase = "closed";
    this.#waiting = [];
    this.#unsentBytes = 0;
  }

  async #send(): Promise<void> {
    // All publishes of this turn leave together.
    await Promise.resolve();
    while (this.#phase === "sending" && this.#waiting.length > 0) {
      const batch = this.#take();
      const body = { messages: batch.map((entry) => entry.body) };
      const timeoutMs = TIMEOUT_MS;
      const { requests } = this.#events;
      const outcome = await requests.ask({ path: "publish/batch", body, timeoutMs });
      if (this.#isOpen()) {
        this.#answer(batch, outcome);
      }
    }
    if (this.#phase === "sending") {
      this.#phase = "idle";
    }
  }

  /** Asked anew after each wait, in which it may have been closed. */
  #isOpen(): boolean {
    return this.#phase !== "closed";
  }

  #take(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      bytes += entry.bytes;
      if (count === BATCH_MAX || (count > 0 && bytes > BATCH_BYTES)) {
        break;
      }
      count += 1;
    }
    const batch = this.#waiting.splice(0, count);
    this.#unsentBytes = this.#waiting.reduce((sum, entry) => sum + entry.bytes, 0);
    return batch;
  }

  #answer(batch: readonly Entry[], outcome: Outcome): void {
    if (outcome.kind === "answered") {
      // The body is that of the protocol's version that the address names.
      const { results } = outcome.body as { results: readonly BatchResult[] };
      this.#events.say(
        results.flatMap((result, index) => {
          const entry = batch[index];
          return entry === undefined ? [] : [replyOf(entry.id, result)];
        }),
      );
    } else if (outcome.kind === "refused" && !isAboutToken(outcome.error.code)) {
      const { error } = outcome;
      this.#events.say(batch.map(({ id }) => ({ kind: "error", id, body: error })));
    } else {
      this.#events.failed(outcome);
    }
  }
}

/** Over a WebSocket these end the connection, and what was not published waits for the next. */
export function isAboutToken(code: string): boolean {
  return code === "token_expired" || code === "token_revoked" || code === "unauthenticated";
}
