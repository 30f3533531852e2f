/** What waits for the application: messages, and between them what happened to the subscription. */

import { NOTICES_MAX } from "./limits.ts";
import type { HandedDelivery } from "./message.ts";

/** Tells something in its place between messages. */
type Notice = () => void;

type Item =
  | { readonly kind: "delivery"; readonly delivery: HandedDelivery }
  | { readonly kind: "notice"; readonly notice: Notice };

interface Taker {
  readonly resolve: (delivery: HandedDelivery | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** A queue with an end. Its owner sees to it that it does not grow without bounds. */
export class Queue {
  #items: Item[] = [];
  readonly #takers: Taker[] = [];
  #deliveries = 0;
  #end: { readonly error: Error | undefined } | undefined;

  /** Messages that wait. */
  get size(): number {
    return this.#deliveries;
  }

  /** Puts a message in, at the end or back at the front. */
  put(delivery: HandedDelivery, where: "end" | "front" = "end"): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve(delivery);
      return;
    }
    this.#deliveries += 1;
    this.#items[where === "end" ? "push" : "unshift"]({ kind: "delivery", delivery });
  }

  /** Tells it once the messages before it have been taken. */
  tell(notice: Notice): void {
    if (this.#deliveries === 0) {
      notice();
      return;
    }
    this.#items.push({ kind: "notice", notice });
    if (this.#items.length - this.#deliveries > NOTICES_MAX) {
      this.#items.splice(
        this.#items.findIndex(({ kind }) => kind === "notice"),
        1,
      );
    }
  }

  /** The next message, once there is one; `undefined` at the end. */
  take(): Promise<HandedDelivery | undefined> {
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
      if (item.kind === "delivery") {
        this.#deliveries -= 1;
        // What follows directly is told with it taken, not when the next one is wanted.
        this.#tellNext();
        return Promise.resolve(item.delivery);
      }
      item.notice();
    }
    if (this.#end === undefined) {
      return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
    }
    const { error } = this.#end;
    return error === undefined ? Promise.resolve(undefined) : Promise.reject(error);
  }

  /** Takes out the messages that nobody has taken, and tells what was between them. */
  drain(): HandedDelivery[] {
    this.#deliveries = 0;
    const deliveries: HandedDelivery[] = [];
    for (const item of this.#items.splice(0)) {
      if (item.kind === "delivery") {
        deliveries.push(item.delivery);
      } else {
        item.notice();
      }
    }
    return deliveries;
  }

  /** Nothing more comes. What waits is dropped if nobody may have it any more. */
  end(error: Error | undefined, rest: "drop" | "keep"): void {
    if (this.#end !== undefined) {
      return;
    }
    this.#end = { error };
    if (rest === "drop") {
      this.#items = [];
      this.#deliveries = 0;
    }
    for (const taker of this.#takers.splice(0)) {
      if (error === undefined) {
        taker.resolve(undefined);
      } else {
        taker.reject(error);
      }
    }
  }

  #tellNext(): void {
    const [next] = this.#items;
    if (next?.kind === "notice" && this.#deliveries === 0) {
      this.drain();
    }
  }
}
