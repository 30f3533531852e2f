/** What is said over one connection: requests and who waits for their answers, in batches. */

import type { ClientBodies, ClientFrame, ServerFrame, WireLimits } from "./frames.ts";
import { WRITE_BYTES } from "./limits.ts";
import type { Link } from "./transport.ts";

/** A frame to be said, without an id. */
export type Saying = {
  [Kind in keyof ClientBodies]: { readonly kind: Kind; readonly body: ClientBodies[Kind] };
}[keyof ClientBodies];

/** Hears the answer; `undefined` if the connection ended before it came. */
export type Answer = (reply: ServerFrame | undefined) => void;

/** What frames without data weigh: more than most. */
const WEIGHT_DEFAULT = 256;

/** The sending side of one connection, and the requests that it owes answers. */
export class Line {
  readonly #link: Link;
  readonly #answers = new Map<number, Answer>();
  #lastId = 0;
  #frames: ClientFrame[] = [];
  #weight = 0;
  #isDue = false;
  #isOver = false;
  /** What the server allows; known once it has answered to `connect`. */
  limits: WireLimits | undefined;

  constructor(link: Link) {
    this.#link = link;
  }

  /** Bytes that have not left yet. */
  get unsentBytes(): number {
    return this.#weight + this.#link.unsentBytes;
  }

  /** Says something that is not answered. */
  say(saying: Saying, weight = WEIGHT_DEFAULT): void {
    this.#write({ ...saying, id: undefined }, weight);
  }

  /** Asks something. */
  ask(saying: Saying, answer: Answer, weight = WEIGHT_DEFAULT): void {
    if (this.#isOver) {
      answer(undefined);
      return;
    }
    // After 2^32 requests it would start over; by then what had the low ids is long answered.
    this.#lastId = (this.#lastId % 0xffffffff) + 1;
    this.#answers.set(this.#lastId, answer);
    this.#write({ ...saying, id: this.#lastId }, weight);
  }

  /** Whether a frame was the answer to something. */
  answered(frame: ServerFrame): boolean {
    const answer = frame.id === undefined ? undefined : this.#answers.get(frame.id);
    if (frame.id === undefined || answer === undefined) {
      return false;
    }
    this.#answers.delete(frame.id);
    answer(frame);
    return true;
  }

  /** The connection is gone: nobody waits any more. */
  over(): void {
    this.#isOver = true;
    this.#frames = [];
    const answers = [...this.#answers.values()];
    this.#answers.clear();
    for (const answer of answers) {
      answer(undefined);
    }
  }

  /** Sends what was said so far. Else it leaves at the end of this turn, together. */
  flush(): void {
    const frames = this.#frames;
    this.#frames = [];
    this.#weight = 0;
    if (frames.length > 0 && !this.#isOver) {
      this.#link.send(frames);
    }
  }

  #write(frame: ClientFrame, weight: number): void {
    if (this.#isOver) {
      return;
    }
    const most = Math.min(WRITE_BYTES, (this.limits?.frame_bytes ?? WRITE_BYTES) / 2);
    if (this.#weight + weight > most) {
      this.flush();
    }
    this.#frames.push(frame);
    this.#weight += weight;
    if (!this.#isDue) {
      this.#isDue = true;
      queueMicrotask(() => {
        this.#isDue = false;
        this.flush();
      });
    }
  }
}
