/**
 * A client of the public WebSocket in this page, to try things out: an ordinary user of the SDK, with
 * what it hears and the frames behind it kept for show.
 */

import {
  type Client,
  type Codec,
  createClient,
  type Delivery,
  type Json,
  json,
  type State,
  type SubscribeOptions,
  type Subscription,
} from "@tidings/client";
import { Tail, type TailView } from "../stream/tail.ts";

/** A frame as it was on the wire. */
export interface FrameRow {
  readonly key: number;
  readonly at: number;
  readonly way: "sent" | "received";
  readonly text: string;
}

/** A message that was delivered, or what a subscription told beside its messages. */
export interface HeardRow {
  readonly key: number;
  readonly at: number;
  readonly topic: string;
  readonly text: string;
}

/** What there is to show. */
export interface TrialView {
  readonly state: State;
  readonly subscriptions: readonly string[];
  readonly frames: TailView<FrameRow>;
  readonly heard: TailView<HeardRow>;
}

/** How a subscription is asked for. */
export interface WantedSubscription {
  readonly filter: string;
  readonly kind: "live" | "durable" | "shared";
  /** The name of the durable subscription or of the group. */
  readonly name: string;
  readonly from: "new" | "first" | "last";
}

/** Characters of a frame that are kept. */
const FRAME_MAX = 2000;

/** One connection and what was seen on it. */
export class Trial {
  readonly #client: Client;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #frames = new Tail<FrameRow>(performance.now());
  readonly #heard = new Tail<HeardRow>(performance.now());
  #nextKey = 0;

  constructor(url: string, token: string) {
    this.#client = createClient({
      url,
      ...(token === "" ? {} : { token }),
      client: "console",
      // What is tried here leaves nothing behind in the browser.
      storage: "memory",
      codec: this.#watched(json),
    });
  }

  async connect(): Promise<void> {
    await this.#client.connect();
  }

  /** Resolves when the server has taken the subscription. */
  async subscribe(wanted: WantedSubscription): Promise<void> {
    const { filter } = wanted;
    if (this.#subscriptions.has(filter))
      throw new Error(`You are subscribed to ${filter} already.`);
    const options = { ...optionsOf(wanted), onDelivery: (it: Delivery) => this.#hear(it) };
    const subscription = this.#client.subscribe(filter, options);
    this.#subscriptions.set(filter, subscription);
    subscription.on("reset", (reset) => this.#say(reset.topic, `reset: ${reset.reason}`));
    subscription.on("ended", (end) => {
      this.#say(filter, `ended: ${end.reason}`);
      if (this.#subscriptions.get(filter) === subscription) this.#subscriptions.delete(filter);
    });
    try {
      await subscription.ready;
    } catch (error) {
      this.#subscriptions.delete(filter);
      throw error;
    }
  }

  async unsubscribe(filter: string): Promise<void> {
    const subscription = this.#subscriptions.get(filter);
    this.#subscriptions.delete(filter);
    await subscription?.unsubscribe();
  }

  /** Resolves when the message is durable. */
  async publish(topic: string, data: Json): Promise<void> {
    await this.#client.publish(topic, data);
  }

  async close(): Promise<void> {
    await this.#client.close({ flushMs: 500 });
  }

  view(now: number): TrialView {
    return {
      state: this.#client.state,
      subscriptions: [...this.#subscriptions.keys()],
      frames: this.#frames.view(now),
      heard: this.#heard.view(now),
    };
  }

  /** A codec that shows what passes through it. */
  #watched(codec: Codec): Codec {
    return {
      subprotocol: codec.subprotocol,
      encode: (frames) => {
        const written = codec.encode(frames);
        this.#watch("sent", written);
        return written;
      },
      decode: (data) => {
        this.#watch("received", data);
        return codec.decode(data);
      },
    };
  }

  #watch(way: FrameRow["way"], data: string | Uint8Array): void {
    // Several frames may come in one message, one on a line.
    const lines = typeof data === "string" ? data.split("\n") : [`${data.length} bytes`];
    for (const line of lines) {
      if (line !== "") this.#frames.push(() => this.#frameRow(way, line), performance.now());
    }
  }

  #frameRow(way: FrameRow["way"], line: string): FrameRow {
    // Who looks over a shoulder must not learn a token or a session.
    const text = line.replace(/("(?:token|session)":)"[^"]*"/g, '$1"…"').slice(0, FRAME_MAX);
    return { key: this.#key(), at: Date.now(), way, text };
  }

  #hear(delivery: Delivery): void {
    const make = (): HeardRow => ({
      key: this.#key(),
      at: delivery.at,
      topic: delivery.topic,
      text:
        delivery.data instanceof Uint8Array
          ? `${delivery.data.length} bytes`
          : JSON.stringify(delivery.data).slice(0, FRAME_MAX),
    });
    this.#heard.push(make, performance.now());
  }

  #say(topic: string, text: string): void {
    const make = (): HeardRow => ({ key: this.#key(), at: Date.now(), topic, text });
    this.#heard.push(make, performance.now());
  }

  #key(): number {
    this.#nextKey += 1;
    return this.#nextKey;
  }
}

function optionsOf(wanted: WantedSubscription): SubscribeOptions {
  switch (wanted.kind) {
    case "live":
      return { from: wanted.from };
    case "durable":
      return { from: wanted.from, durable: wanted.name };
    case "shared":
      return { from: wanted.from, group: wanted.name };
  }
}
