/** Publishes from the application's hand to the server's answer. */

import { TidingsError } from "./errors.ts";
import type { PublishBody } from "./frames.ts";
import { backoffMs } from "./reconnect.ts";

/** A message that waits. It is kept in storage as it is, so it holds nothing but data. */
export interface Entry {
  /** Its place among all that wait: about the time, and unique in this client. */
  readonly sequence: number;
  /** Which client's it is: of this one, or of one that was here before. */
  readonly instance: string;
  readonly body: PublishBody & { readonly key: string };
  /** Bytes of the data alone. */
  readonly dataBytes: number;
  /** What it counts for. */
  readonly bytes: number;
  readonly since: number;
}

/** Bounds of what waits. */
export interface OutboxBounds {
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Messages in the order they were given, until each is answered. What is on its way when a
 * connection ends is sent again on the next one, in the same order and with the same keys, so the
 * server recognises what it has.
 */
export class Outbox {
  /** Not sent on this connection, rising by sequence. */
  #waiting: Entry[] = [];
  /** Sent on this connection, without an answer. */
  readonly #inFlight = new Set<Entry>();
  /** Sent on any connection: the server may have it. */
  readonly #sent = new WeakSet<Entry>();
  /** Nothing is sent before this time. */
  #resumeAt = 0;
  #refusals = 0;
  #bytes = 0;
  #lastSequence = 0;
  readonly #bounds: OutboxBounds;

  constructor(bounds: OutboxBounds) {
    this.#bounds = bounds;
  }

  /** Messages without an answer. */
  get size(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /** All without an answer, the oldest first. */
  list(): Entry[] {
    return [...this.#inFlight, ...this.#waiting].sort((a, b) => a.sequence - b.sequence);
  }

  /** The sequence of the next message. */
  nextSequence(now: number): number {
    this.#lastSequence = Math.max(this.#lastSequence + 1, now * 1000);
    return this.#lastSequence;
  }

  /** Why there is no room for a message of this size, if there is none. */
  refusal(bytes: number): TidingsError | undefined {
    const { messagesMax, bytesMax } = this.#bounds;
    if (this.size < messagesMax && this.#bytes + bytes <= bytesMax) {
      return undefined;
    }
    return new TidingsError(
      "outbox_full",
      `${this.size} messages of ${this.#bytes} bytes wait already, and at most ${messagesMax} of ` +
        `${bytesMax} bytes may: wait until some have left, or raise \`outbox\``,
      { temporary: true },
    );
  }

  /** Takes one in: a new one, or one that an earlier client left. */
  add(entry: Entry): void {
    this.#bytes += entry.bytes;
    this.#putBack(entry);
  }

  /** The next one to send, if one may be sent now: then say `sent`. */
  next(now: number, inFlightMax: number): Entry | undefined {
    return now < this.#resumeAt || this.#inFlight.size >= inFlightMax
      ? undefined
      : this.#waiting[0];
  }

  /** The one that `next` gave is on its way. */
  sent(entry: Entry): void {
    this.#waiting.shift();
    this.#inFlight.add(entry);
    this.#sent.add(entry);
  }

  /** The server has taken it, or refused it for good. */
  settled(entry: Entry): void {
    this.#refusals = 0;
    this.#drop(entry);
  }

  /** Refused for now: nothing more is sent for a while, and then in the order of the application. */
  retry(entry: Entry, now: number, retryAfterMs: number | undefined, random: number): void {
    this.#inFlight.delete(entry);
    this.#putBack(entry);
    const isNew = now >= this.#resumeAt;
    this.#refusals += isNew ? 1 : 0;
    const { baseMs, maxMs } = this.#bounds;
    const wait = retryAfterMs ?? backoffMs(this.#refusals, baseMs, maxMs, random);
    this.#resumeAt = Math.max(this.#resumeAt, now + wait);
  }

  /** Takes one back, if it was never sent. */
  takeBack(entry: Entry): boolean {
    const isHere = this.#waiting.includes(entry) && !this.#sent.has(entry);
    if (isHere) {
      this.#drop(entry);
    }
    return isHere;
  }

  /** The connection is gone: everything without an answer waits again, in order. */
  disconnected(): void {
    this.#waiting = this.list();
    this.#inFlight.clear();
    this.#resumeAt = 0;
  }

  /** When `next` has something that it does not have now, if time alone decides. */
  deadline(now: number): number | undefined {
    return this.#waiting.length > 0 && this.#resumeAt > now ? this.#resumeAt : undefined;
  }

  #putBack(entry: Entry): void {
    let at = this.#waiting.length;
    while (at > 0 && (this.#waiting[at - 1]?.sequence ?? 0) > entry.sequence) {
      at -= 1;
    }
    this.#waiting.splice(at, 0, entry);
  }

  #drop(entry: Entry): void {
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
    }
    if (this.#inFlight.delete(entry) || at >= 0) {
      this.#bytes -= entry.bytes;
    }
  }
}
