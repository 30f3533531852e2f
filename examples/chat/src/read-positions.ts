/** Tells others in a place how far one has read, and listens to the same of them and of one's own devices. */

import type { Client, Delivery, Message, Subscription } from "@tidings/client";
import { Observed } from "./observed.ts";
import { pageBefore } from "./past.ts";
import { parseRead, type ReadUpTo, readData } from "./payload.ts";
import { type Reads, withRead } from "./reads.ts";

/** How often a place that moves on is told. */
const TELL_EVERY_MS = 1_000;

/** How many of the last tellings are read at first: each reader's last is most likely among them. */
const PAST_TELLINGS = 200;

export class ReadPositions {
  readonly reads = new Observed<Reads>(new Map());
  readonly #client: Client;
  readonly #topic: string;
  readonly #subscription: Subscription;
  readonly #stopListening: () => void;
  #wanted: ReadUpTo | undefined;
  #told: ReadUpTo | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client, topic: string) {
    this.#client = client;
    this.#topic = topic;
    this.#subscription = client.subscribe(topic, {
      from: "new",
      remember: false,
      onDelivery: (delivery: Delivery) => this.#note([delivery]),
    });
    this.#subscription.ready
      .then(({ position }) => (position === undefined ? undefined : this.#readPast(position)))
      .catch(() => {
        // Nobody's place is known then, and no message shows as read. The next reload asks again.
      });
    this.#stopListening = client.on("state", () => this.#tell());
  }

  /** I have read up to here. Told at once, then at most every second. */
  iRead(upTo: ReadUpTo): void {
    const isOld = this.#wanted?.epoch === upTo.epoch && this.#wanted.offset >= upTo.offset;
    if (!isOld) {
      this.#wanted = upTo;
      this.#tell();
    }
  }

  /** Resolves when the topic may be subscribed to again. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopListening();
    await this.#subscription.unsubscribe().catch(() => undefined);
  }

  async #readPast(position: { epoch: string; offset: number }): Promise<void> {
    const end = { epoch: position.epoch, offset: position.offset + 1 };
    const page = await pageBefore(
      (options) => this.#client.history(this.#topic, options),
      end,
      PAST_TELLINGS,
    );
    this.#note(page.messages);
  }

  #note(messages: readonly Message[]): void {
    let reads = this.reads.value;
    for (const { from, data } of messages) {
      const read = parseRead(data);
      if (from !== undefined && read !== undefined) {
        reads = withRead(reads, from, read);
      }
    }
    this.reads.value = reads;
  }

  /** While offline only the last place is remembered, so that not all of them wait to be sent. */
  #tell(): void {
    const isDue = this.#wanted !== this.#told && this.#timer === undefined;
    if (!isDue || this.#wanted === undefined || this.#client.state.status !== "connected") {
      return;
    }
    this.#told = this.#wanted;
    this.#client.publish(this.#topic, readData(this.#wanted)).catch(() => undefined);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#tell();
    }, TELL_EVERY_MS);
  }
}
