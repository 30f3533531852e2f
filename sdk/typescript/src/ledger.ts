/** What a durable subscription has received, and what the application has done with it. */

import type { MessageBody, ResetBody, SubscribeBody, SubscribedBody } from "./frames.ts";
import { LEDGER_SPAN } from "./limits.ts";
import { type Acks, acksOf, type Held, keepsTheLog, type Place, type Target } from "./place.ts";

/**
 * Where a delivery is: in the application's hands; given back, so that the server sends it again;
 * acked; or given up, and the server has not confirmed it.
 */
type Holding = "held" | "released" | "acked" | "givenUp";

/**
 * Keeps the application's answers across connections: a message is in its hands at most once at a
 * time, one that it has acked never comes to it again, and an ack that was lost with a connection
 * is given again when the server repeats the message.
 *
 * Invariant: a cumulative ack never covers a message that the application has not acked. It stays
 * below everything held, released or given up, and below what this connection has brought.
 */
export class Ledger implements Place {
  readonly canResume = true;
  readonly #topic: string;
  readonly #from: "new" | "first" | "last";
  #epoch: string | undefined;
  /** What is not simply done, rising by offset: the first is never acked. */
  #entries = new Map<number, Holding>();
  /** The highest offset received in this epoch. */
  #highest = 0;
  /** The highest offset received on this connection. */
  #heard = 0;
  /** The last cumulative ack on this connection. */
  #ackedThrough = 0;
  /** Acks to be given singly. */
  readonly #singles = new Set<number>();
  /** Whether a cumulative ack was lost, so that it has to be said again. */
  #repeatAck = false;

  constructor(topic: string, from: "new" | "first" | "last") {
    this.#topic = topic;
    this.#from = from;
  }

  get epoch(): string | undefined {
    return this.#epoch;
  }

  start(): Pick<SubscribeBody, "after" | "from"> {
    return { from: this.#from };
  }

  subscribed(body: SubscribedBody): void {
    const { epoch, offset = 0, first = 1, recovered, reason } = body;
    if (epoch === undefined) {
      return;
    }
    // A log that ends before what it has sent has lost its end: its offsets are given out again.
    const isSameLog =
      (this.#epoch === undefined || this.#epoch === epoch) &&
      offset >= this.#highest &&
      (recovered === true || keepsTheLog(reason));
    this.#goOn(isSameLog, epoch, first);
  }

  reset({ epoch, first, reason }: ResetBody): void {
    const isSameLog = this.#epoch === epoch && keepsTheLog(reason);
    // Damage lies just before `first`; what was sent earlier may still come again.
    if (!isSameLog || reason !== "damaged") {
      this.#goOn(isSameLog, epoch, first);
    }
  }

  #goOn(isSameLog: boolean, epoch: string, first: number): void {
    if (isSameLog) {
      for (const [offset, holding] of this.#entries) {
        // What was trimmed will not come again.
        if (offset < first && (holding === "released" || holding === "givenUp")) {
          this.#entries.delete(offset);
        }
      }
      this.#forgetDone();
    } else {
      this.#entries.clear();
      this.#highest = 0;
      this.disconnected();
    }
    this.#epoch = epoch;
  }

  disconnected(): void {
    this.#heard = 0;
    this.#ackedThrough = 0;
    this.#singles.clear();
    this.#repeatAck = false;
    for (const [offset, holding] of this.#entries) {
      // Whether the server heard of it is not known; the message tells by coming again.
      if (holding === "givenUp") {
        this.#entries.set(offset, "released");
      }
    }
  }

  received({ offset }: MessageBody): boolean {
    this.#heard = Math.max(this.#heard, offset);
    const holding = this.#entries.get(offset);
    if (holding === "held" || holding === "givenUp") {
      return false;
    }
    if (holding === "acked") {
      this.#singles.add(offset);
      return false;
    }
    if (holding === undefined && offset <= this.#doneThrough()) {
      this.#repeatAck = true;
      return false;
    }
    this.#entries.set(offset, "held");
    if (offset < this.#highest && holding === undefined) {
      this.#entries = new Map([...this.#entries].sort(([a], [b]) => a - b));
    }
    this.#highest = Math.max(this.#highest, offset);
    this.#forgetDistant();
    return true;
  }

  missed(message: MessageBody): void {
    if (this.received(message)) {
      this.#entries.set(message.offset, "released");
    }
  }

  lastOffset(): undefined {
    return undefined;
  }

  acked(held: Held): void {
    if (this.target(held) !== undefined) {
      this.#entries.set(held.offset, "acked");
      this.#singles.add(held.offset);
      this.#forgetDone();
    }
  }

  released(held: Held): Target | undefined {
    return this.#move(held, "released");
  }

  givenUp(held: Held): Target | undefined {
    return this.#move(held, "givenUp");
  }

  giveUpAnswered({ epoch, offset }: Held, taken: boolean): void {
    if (epoch !== this.#epoch || this.#entries.get(offset) !== "givenUp") {
      return;
    }
    if (taken) {
      this.#entries.delete(offset);
      this.#forgetDone();
    } else {
      this.#entries.set(offset, "released");
    }
  }

  target({ epoch, offset }: Held): Target | undefined {
    const isHeld = epoch === this.#epoch && this.#entries.get(offset) === "held";
    return isHeld ? { topic: this.#topic, offset } : undefined;
  }

  takeAcks(): Acks[] {
    const topic = this.#topic;
    const done = this.#doneThrough();
    const through = Math.min(done, this.#heard);
    const acks: Acks[] = [];
    if (through > 0 && (through > this.#ackedThrough || this.#repeatAck)) {
      acks.push({ topic, offset: through });
    }
    this.#repeatAck = false;
    this.#ackedThrough = Math.max(this.#ackedThrough, through);
    // What this connection has not brought is acked when it does.
    const singles = [...this.#singles].filter((offset) => offset > done && offset <= this.#heard);
    this.#singles.clear();
    return [...acks, ...acksOf(topic, singles)];
  }

  #move(held: Held, to: Holding): Target | undefined {
    const target = this.target(held);
    if (target !== undefined) {
      this.#entries.set(held.offset, to);
    }
    return target;
  }

  /** Everything up to here is done, as far as the application is concerned. */
  #doneThrough(): number {
    const first = this.#entries.keys().next();
    return first.done === true ? this.#highest : first.value - 1;
  }

  /** Restores that the first entry is never acked. */
  #forgetDone(): void {
    for (const [offset, holding] of this.#entries) {
      if (holding !== "acked") {
        return;
      }
      this.#entries.delete(offset);
    }
  }

  /**
   * Drops what the server has settled for certain. Without this a message that went to the dead
   * letters after its last attempt would be waited for for ever.
   */
  #forgetDistant(): void {
    for (const offset of this.#entries.keys()) {
      if (this.#highest - offset <= LEDGER_SPAN) {
        break;
      }
      this.#entries.delete(offset);
    }
    this.#forgetDone();
  }
}
