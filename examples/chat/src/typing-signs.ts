/** Tells others in an open conversation that one types, and listens to the same of them. */

import type { Client, Subscription } from "@tidings/client";
import { Observed } from "./observed.ts";
import {
  TYPING_EVERY_MS,
  TYPING_LASTS_MS,
  type Typing,
  withoutTyping,
  withTyping,
} from "./typing.ts";

export class TypingSigns {
  readonly typing = new Observed<Typing>(new Map());
  readonly #client: Client;
  readonly #topic: string;
  #subscription: Subscription | undefined;
  #isWanted = false;
  /** What is being done about the subscription. */
  #turn: Promise<void> = Promise.resolve();
  #saidAt = 0;

  constructor(client: Client, topic: string) {
    this.#client = client;
    this.#topic = topic;
  }

  /** Listens, while the conversation is open. */
  listen(): void {
    this.#isWanted = true;
    this.#turn = this.#turn.then(() => this.#follow());
  }

  /** Resolves when the topic may be subscribed to again. */
  stop(): Promise<void> {
    this.#isWanted = false;
    this.typing.value = new Map();
    this.#turn = this.#turn.then(() => this.#follow());
    return this.#turn;
  }

  /** Subscribes or ends it, as is wanted now. One after the other: a topic has one subscription. */
  async #follow(): Promise<void> {
    const subscription = this.#subscription;
    if (this.#isWanted) {
      this.#subscription ??= this.#subscribe();
    } else if (subscription !== undefined) {
      this.#subscription = undefined;
      await subscription.unsubscribe().catch(() => undefined);
    }
  }

  #subscribe(): Subscription {
    const subscription = this.#client.subscribe(this.#topic, {
      from: "new",
      remember: false,
      onDelivery: ({ from }) => {
        if (from !== undefined && this.#isWanted) {
          this.typing.value = withTyping(this.typing.value, from, Date.now());
        }
      },
    });
    // Without signs of typing the conversation goes on.
    subscription.ready.catch(() => undefined);
    return subscription;
  }

  /** I typed something. A sign that cannot leave at once is worth nothing, so it does not wait. */
  typed(): void {
    const now = Date.now();
    if (this.#client.state.status !== "connected" || now - this.#saidAt < TYPING_EVERY_MS) {
      return;
    }
    this.#saidAt = now;
    this.#client
      .publish(
        this.#topic,
        {},
        { ttlMs: TYPING_LASTS_MS, signal: AbortSignal.timeout(TYPING_LASTS_MS) },
      )
      .catch(() => undefined);
  }

  /** Somebody's message has come: they have stopped typing. */
  said(user: string): void {
    if (this.#client.state.status === "connected") {
      this.typing.value = withoutTyping(this.typing.value, user);
    }
  }

  /** My message has left: the next letter is worth a sign at once. */
  sent(): void {
    this.#saidAt = 0;
  }
}
