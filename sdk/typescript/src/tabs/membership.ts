/** One guest's part in a subscription that it has together with others. */

import type { MessageBody, ServerFrame, SubscribeBody, WirePosition } from "../frames.ts";
import type { Guest } from "./guest.ts";

/** A delivery: of durable subscriptions one topic, of groups maybe many. */
interface Brought {
  readonly topic: string;
  readonly offset: number;
}

export class Membership {
  readonly guest: Guest;
  readonly body: SubscribeBody;
  /** Live ones: what it has had. */
  upTo: WirePosition | undefined;
  /** Whether it was answered, and so gets messages. */
  isIn = false;
  readonly #id: number | undefined;
  /** What it was brought and nobody has answered, where messages want acks. */
  readonly #brought = new Map<string, Brought>();

  constructor(guest: Guest, id: number | undefined, body: SubscribeBody) {
    this.guest = guest;
    this.body = body;
    this.#id = id;
  }

  /** How many deliveries it has in its hands. */
  get load(): number {
    return this.#brought.size;
  }

  answer(reply: ServerFrame): void {
    this.isIn = reply.kind === "subscribed";
    this.guest.frames([{ ...reply, id: this.#id }]);
  }

  /** Whether a message of a live subscription is new to it. From here on it is not. */
  takes(epoch: string, offset: number): boolean {
    if (!this.isIn || (offset !== 0 && this.upTo !== undefined && offset <= this.upTo.offset)) {
      return false;
    }
    this.upTo = { epoch, offset };
    return true;
  }

  brought({ topic, offset }: MessageBody): void {
    this.#brought.set(`${offset} ${topic}`, { topic, offset });
  }

  settled({ topic, offset }: Brought): void {
    this.#brought.delete(`${offset} ${topic}`);
  }

  /** What it has in its hands up to an offset. */
  upThrough(offset: number): Brought[] {
    return [...this.#brought.values()].filter((one) => one.offset <= offset);
  }
}
