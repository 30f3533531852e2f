/** All subscriptions of a client: finds those that a frame is for. */

import { aborted, serverError, TidingsError } from "./errors.ts";
import { Feed, type FeedOwner } from "./feed.ts";
import { matches } from "./filter.ts";
import type { MessageBody, ServerFrame, SubscribedBody } from "./frames.ts";
import type { Keep } from "./keep.ts";
import { ACK_DELAY_MS, KEEP_DELAY_MS, PLACES_MAX } from "./limits.ts";
import type { Line } from "./line.ts";
import { TopicPlace } from "./live-place.ts";
import { dropOldest } from "./oldest.ts";
import type { ClientEvents, Position, SubscribeOptions } from "./types.ts";
import { placeOf, type Wish, wishOf } from "./wish.ts";

/** Where places are kept: by topic. */
export const PLACE_PREFIX = "place/";

/** A place as it is kept. */
export interface KeptPlace extends Position {
  /** When it moved last. */
  readonly at: number;
}

/** What subscriptions tell. */
export interface SubscriptionsEvents {
  inbox(event: ClientEvents["inbox"]): void;
  problem(error: TidingsError): void;
}

/** The subscriptions of a client, by topic or filter. */
export class Subscriptions implements FeedOwner {
  readonly #feeds = new Map<string, Feed>();
  /** Those with wildcards; the others are found by their topic. */
  readonly #wild = new Set<Feed>();
  readonly #events: SubscriptionsEvents;
  readonly #withAcks = new Set<Feed>();
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #line: Line | undefined;
  #keep: Keep | undefined;
  readonly #kept = new Map<string, Position>();

  constructor(events: SubscriptionsEvents) {
    this.#events = events;
  }

  /** From now on places are kept. `kept` are those of before. */
  attach(keep: Keep, kept: ReadonlyMap<string, Position>): void {
    this.#keep = keep;
    for (const [topic, position] of kept) {
      this.#kept.set(topic, position);
    }
    for (const feed of this.#feeds.values()) {
      this.#goOn(feed);
    }
  }

  #goOn({ sub, place, wish }: Feed): void {
    const kept = this.#kept.get(sub);
    if (kept !== undefined && wish.isKept && place instanceof TopicPlace) {
      place.goOnFrom(kept);
    }
  }

  /** Begins one. Throws what is wrong with it. */
  subscribe(sub: string, options: SubscribeOptions): Feed {
    if (options.signal?.aborted === true) {
      throw aborted(options.signal);
    }
    if (this.#feeds.has(sub)) {
      const words = `there is a subscription to "${sub}" already: share it, or end it first`;
      throw new TidingsError("already_subscribed", words);
    }
    const wish = wishOf(sub, options);
    const overlap = this.#overlap(sub, wish.kind);
    if (overlap !== undefined) {
      throw overlap;
    }
    const feed = new Feed(wish, placeOf(wish), this);
    this.#feeds.set(sub, feed);
    if (wish.hasWildcards) {
      this.#wild.add(feed);
    }
    const leave = () => void feed.unsubscribe();
    options.signal?.addEventListener("abort", leave);
    feed.on("ended", () => options.signal?.removeEventListener("abort", leave));
    this.#goOn(feed);
    feed.connected();
    return feed;
  }

  /**
   * What is wrong with a durable subscription beside a live one to the same messages: nothing in a
   * message says which of the two it is for, and taken for the other one's it would be lost.
   */
  #overlap(sub: string, kind: Wish["kind"]): TidingsError | undefined {
    for (const { sub: other, wish } of this.#feeds.values()) {
      // A durable one is to a topic: the server takes no filter there.
      const kinds = [kind, wish.kind];
      const isMixed = kinds.includes("live") && kinds.includes("durable");
      if (isMixed && (matches(sub, other) || matches(other, sub))) {
        const words = `"${sub}" overlaps with "${other}", and one of them is durable: use a second client`;
        return new TidingsError("overlaps", words);
      }
    }
    return undefined;
  }

  connected(line: Line): void {
    this.#line = line;
    for (const feed of [...this.#feeds.values()]) {
      feed.connected();
    }
  }

  disconnected(): void {
    this.#line = undefined;
    this.#withAcks.clear();
    for (const feed of [...this.#feeds.values()]) {
      feed.disconnected();
    }
  }

  /** A frame that is no reply. */
  frame(frame: ServerFrame): void {
    switch (frame.kind) {
      case "message":
        this.#message(frame.body);
        break;
      case "reset":
        this.#feeds.get(frame.body.sub)?.reset(frame.body);
        break;
      case "presence":
        this.#feeds.get(frame.body.topic)?.presence(frame.body);
        break;
      case "unsubscribed":
        this.#feeds.get(frame.body.sub)?.endedByServer(frame.body.reason ?? "forbidden");
        break;
      case "subscribed":
        this.#announced(frame.body);
        break;
      case "error":
        this.#events.problem(serverError(frame.body));
        break;
      default:
      // A reply to something that nobody waits for any more.
    }
  }

  /** Lets each finish what it works on, acks it, and ends. */
  async finish(): Promise<void> {
    await Promise.all([...this.#feeds.values()].map((feed) => feed.unsubscribe()));
  }

  close(): void {
    clearTimeout(this.#ackTimer);
    for (const feed of [...this.#feeds.values()]) {
      feed.close(undefined);
    }
  }

  #message(body: MessageBody): void {
    if (body.sub !== undefined) {
      const feed = this.#feeds.get(body.sub);
      if (feed?.wish.kind === "shared") {
        feed.message(body);
      }
      return;
    }
    for (const feed of [...this.#wild]) {
      if (feed.isLive && matches(feed.sub, body.topic)) {
        feed.message(body);
      }
    }
    const feed = this.#feeds.get(body.topic);
    if (feed !== undefined && feed.wish.kind !== "shared") {
      feed.message(body);
    }
  }

  /** The server has started a subscription by itself. Who wants it subscribes when told. */
  #announced({ sub, durable }: SubscribedBody): void {
    if (durable === undefined || this.#feeds.has(sub)) {
      // One's own takes the place of the server's.
      return;
    }
    const overlap = this.#overlap(sub, "durable");
    if (overlap === undefined) {
      this.#events.inbox({ topic: sub, durable });
    } else {
      this.#events.problem(overlap);
    }
    if (!this.#feeds.has(sub)) {
      // Without an answer its messages would come again and again; the cursor stays.
      this.#line?.ask({ kind: "unsubscribe", body: { sub } }, () => {});
    }
  }

  // What subscriptions need.

  line(): Line | undefined {
    return this.#line;
  }

  acksDue(feed: Feed, isUrgent: boolean): void {
    if (isUrgent) {
      feed.sayAcks();
      return;
    }
    this.#withAcks.add(feed);
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      const feeds = [...this.#withAcks];
      this.#withAcks.clear();
      for (const due of feeds) {
        due.sayAcks();
      }
    }, ACK_DELAY_MS);
  }

  moved({ sub, place, wish }: Feed): void {
    if (wish.isKept && place instanceof TopicPlace && place.done !== undefined) {
      const kept: KeptPlace = { ...place.done, at: Date.now() };
      // The one that was quiet for longest goes when there are too many.
      this.#kept.delete(sub);
      this.#kept.set(sub, place.done);
      const quietest = dropOldest(this.#kept, PLACES_MAX);
      if (quietest !== undefined) {
        this.#keep?.put(PLACE_PREFIX + quietest, undefined);
      }
      this.#keep?.put(PLACE_PREFIX + sub, kept, KEEP_DELAY_MS);
    }
  }

  ended(feed: Feed): void {
    this.#feeds.delete(feed.sub);
    this.#wild.delete(feed);
    this.#withAcks.delete(feed);
  }

  problem(error: TidingsError): void {
    this.#events.problem(error);
  }
}
