/**
 * A place that one has joined: its messages, kept in step with the server.
 *
 * One durable subscription carries it. The server keeps its cursor and delivers what the cursor has not
 * passed; a message is acked when it has been read, so what is delivered and not acked is what is
 * unread. What was read before comes from history.
 */

import {
  type Client,
  type Delivery,
  type Message,
  type Position,
  type Published,
  type Scheduled,
  type Subscription,
  TidingsError,
} from "@tidings/client";
import * as timeline from "./conversation.ts";
import { Observed } from "./observed.ts";
import { followOutbox, type WaitingMessage } from "./outbox.ts";
import { pageBefore } from "./past.ts";
import { newKey, parseSaid, saidData } from "./payload.ts";
import { type Place, type Topics, topicsOf } from "./place.ts";
import { Presence } from "./presence.ts";
import { ReadPositions } from "./read-positions.ts";
import type { Session } from "./session.ts";
import { TypingSigns } from "./typing-signs.ts";

/** How much of the past the page has. */
export type Past =
  | { readonly past: "none" }
  | { readonly past: "loading" }
  | { readonly past: "failed"; readonly reason: string }
  /** Everything from `start` on. */
  | {
      readonly past: "loaded";
      readonly start: number;
      readonly complete: boolean;
      readonly earlier: "idle" | "loading" | "failed";
    };

/** Unread messages of one place that are delivered; more of them are "many" to people anyway. */
export const UNREAD_MAX = 128;

/** Messages of a place that is not open that stay in memory. */
const CLOSED_MAX = 200;

export class Talk {
  readonly place: Place;
  readonly conversation: Observed<timeline.Conversation>;
  readonly past = new Observed<Past>({ past: "none" });
  readonly unread = new Observed(0);
  /** Behind which offset the unread ones began when they came. */
  readonly unreadAfter = new Observed<number | undefined>(undefined);
  /** Why nothing comes any more, if so. */
  readonly trouble = new Observed<string | undefined>(undefined);
  /** The life of the topic's log, once known. */
  readonly epoch = new Observed<string | undefined>(undefined);
  readonly presence: Presence;
  readonly positions: ReadPositions;
  readonly signs: TypingSigns;

  readonly #client: Client;
  readonly #me: string;
  readonly #topics: Topics;
  readonly #subscription: Subscription;
  readonly #stopListening: readonly (() => void)[];
  /** Delivered and not read, by offset. */
  readonly #held = new Map<number, Delivery>();
  /** What came while the past was being loaded. */
  #arrived: timeline.Sent[] = [];
  #head = 0;
  #readUpTo = 0;
  #isReading = false;
  #isOpen = false;

  constructor(session: Session, place: Place) {
    const { client, user, device } = session;
    this.place = place;
    this.#client = client;
    this.#me = user;
    this.#topics = topicsOf(place, user);
    this.conversation = new Observed(timeline.emptyConversation(user));
    this.#subscription = client.subscribe(this.#topics.messages, {
      durable: device.name,
      // Who joins a room begins there; who is written to gets it all.
      from: place.kind === "room" ? "new" : "first",
      window: UNREAD_MAX,
      ack: "manual",
      presence: true,
      onDelivery: (delivery) => this.#take(delivery),
    });
    this.presence = new Presence(client, this.#topics.messages, this.#subscription);
    this.positions = new ReadPositions(client, this.#topics.reads);
    this.signs = new TypingSigns(client, this.#topics.typing);
    this.#stopListening = this.#listen();
    this.#subscription.ready.catch(() => undefined);
  }

  /** The page shows this place. */
  open(): void {
    this.#isOpen = true;
    this.signs.listen();
    if (this.past.value.past === "none" || this.past.value.past === "failed") {
      this.#load();
    }
  }

  /** The page shows another place. */
  close(): void {
    this.#isOpen = false;
    this.#isReading = false;
    this.unreadAfter.value = undefined;
    this.signs.stop();
    this.#cutTo(CLOSED_MAX);
  }

  /** Whether the end of the conversation is before somebody's eyes. */
  setReading(isReading: boolean): void {
    this.#isReading = isReading;
    this.#readOn();
  }

  /**
   * Ends it: the place has been left, or the user has signed out. Resolves when the place may be joined
   * again, since a topic has one subscription at a time.
   */
  async stop(): Promise<void> {
    this.close();
    for (const stop of this.#stopListening) {
      stop();
    }
    const ended = this.#subscription.unsubscribe().catch(() => undefined);
    await Promise.all([ended, this.positions.stop(), this.signs.stop()]);
  }

  /** Says something. It shows at once as pending, and leaves when it can. */
  say(text: string): void {
    const said = { text, key: newKey() };
    this.unreadAfter.value = undefined;
    this.#put(timeline.withPending(this.conversation.value, { ...said, since: Date.now() }));
    this.#client
      .publish(this.#topics.messages, saidData(said), { key: said.key })
      .then((result) => this.#published(said.key, result))
      .catch((error: unknown) => this.#refused(said.key, error));
    this.signs.sent();
  }

  /** Says a refused message again. */
  sayAgain(key: string): void {
    const message = this.conversation.value.unsent.find((unsent) => unsent.key === key);
    if (message !== undefined) {
      this.discard(key);
      this.say(message.text);
    }
  }

  /** Throws a refused message away. */
  discard(key: string): void {
    this.#put(timeline.withoutUnsent(this.conversation.value, key));
  }

  /** Loads a page of what was said before. */
  async loadEarlier(): Promise<void> {
    const past = this.past.value;
    const epoch = this.epoch.value;
    if (past.past !== "loaded" || past.complete || past.earlier === "loading" || !epoch) {
      return;
    }
    const loading: Past = { ...past, earlier: "loading" };
    this.past.value = loading;
    try {
      const page = await this.#pageBefore({ epoch, offset: past.start });
      if (this.past.value === loading) {
        const { start, complete } = page;
        this.past.value = { past: "loaded", start, complete, earlier: "idle" };
        this.conversation.value = timeline.withSent(this.conversation.value, sentOf(page.messages));
      }
    } catch {
      if (this.past.value === loading) {
        this.past.value = { ...past, earlier: "failed" };
      }
    }
  }

  #listen(): readonly (() => void)[] {
    const subscription = this.#subscription;
    return [
      subscription.on("subscribed", ({ position }) => {
        if (position !== undefined) {
          this.#begin(position);
        }
      }),
      subscription.on("reset", (reset) => {
        this.#forgetPast();
        this.#begin(reset);
      }),
      subscription.on("ended", ({ reason, error }) => {
        this.trouble.value = troubleText(reason, error);
      }),
      // Another device of mine has read on.
      this.positions.reads.onChange(() => this.#readElsewhere()),
      // What waits since before a reload, or was left by another tab.
      ...followOutbox(this.#client, this.#topics.messages, {
        waiting: (messages) => this.#waiting(messages),
        published: (key, result) => this.#published(key, result),
        refused: (key, error) => this.#refused(key, error),
      }),
    ];
  }

  /** The server has said where the topic stands. */
  #begin(position: Position): void {
    if (this.epoch.value !== undefined && this.epoch.value !== position.epoch) {
      this.#startOver();
    }
    this.epoch.value = position.epoch;
    this.#head = Math.max(this.#head, position.offset);
    this.trouble.value = undefined;
    this.#readElsewhere();
    if (this.#isOpen && this.past.value.past !== "loaded") {
      this.#load();
    }
  }

  /** It is the topic's next life: offsets of the one before mean nothing. */
  #startOver(): void {
    this.#held.clear();
    this.#head = 0;
    this.#readUpTo = 0;
    this.unread.value = 0;
    this.unreadAfter.value = undefined;
    this.#forgetPast();
  }

  /** Messages are missing, so what is shown has a hole: it is to be loaded anew. */
  #forgetPast(): void {
    this.#arrived = [];
    this.past.value = { past: "none" };
    this.conversation.value = timeline.restarted(this.conversation.value);
  }

  #take(delivery: Delivery): void {
    this.#head = Math.max(this.#head, delivery.offset);
    const [message] = sentOf([delivery]);
    if (message === undefined) {
      delivery.ack();
      return;
    }
    this.signs.said(message.from);
    this.#arrive(message);
    if (message.from === this.#me || message.offset <= this.#readUpTo) {
      delivery.ack();
      return;
    }
    if (this.#held.size === 0 && !this.#isReading) {
      this.unreadAfter.value = message.offset - 1;
    }
    this.#held.set(message.offset, delivery);
    this.unread.value = this.#held.size;
    this.#readOn();
  }

  #arrive(message: timeline.Sent): void {
    const past = this.past.value;
    if (past.past === "loaded") {
      if (message.offset >= past.start) {
        this.#put(timeline.withSent(this.conversation.value, [message]));
      }
      return;
    }
    if (past.past === "loading") {
      this.#arrived.push(message);
    }
    if (message.from === this.#me) {
      this.#put(timeline.withoutUnsent(this.conversation.value, message.key));
    }
  }

  async #load(): Promise<void> {
    const epoch = this.epoch.value;
    if (epoch === undefined || this.past.value.past === "loading") {
      return;
    }
    const loading: Past = { past: "loading" };
    this.past.value = loading;
    try {
      const { messages, start, complete } = await this.#pageBefore({
        epoch,
        offset: this.#head + 1,
      });
      if (this.past.value !== loading) {
        return;
      }
      this.past.value = { past: "loaded", start, complete, earlier: "idle" };
      const known = [...this.conversation.value.sent, ...this.#arrived, ...sentOf(messages)];
      this.#arrived = [];
      const fresh = timeline.restarted(this.conversation.value);
      this.#put(
        timeline.withSent(
          fresh,
          known.filter((message) => message.offset >= start),
        ),
      );
    } catch (error) {
      if (this.past.value === loading) {
        this.#arrived = [];
        this.past.value = { past: "failed", reason: reasonOf(error) };
      }
    }
  }

  #pageBefore(end: Position) {
    return pageBefore((options) => this.#client.history(this.#topics.messages, options), end);
  }

  #waiting(messages: readonly WaitingMessage[]): void {
    let conversation = this.conversation.value;
    for (const { key, text, since } of messages) {
      if (!conversation.unsent.some((unsent) => unsent.key === key)) {
        conversation = timeline.withPending(conversation, { key, text, since });
      }
    }
    this.#put(conversation);
  }

  #published(key: string, result: Published | Scheduled): void {
    if ("offset" in result) {
      const published = { offset: result.offset, at: Date.now() };
      this.#put(timeline.withPublished(this.conversation.value, key, published));
    }
  }

  #refused(key: string, error: unknown): void {
    this.#put(timeline.withRefused(this.conversation.value, key, reasonOf(error)));
  }

  #put(conversation: timeline.Conversation): void {
    this.conversation.value = conversation;
    this.#cutTo(timeline.SENT_MAX);
    this.#readOn();
  }

  /** Lets go of the oldest messages beyond `most`; they can be loaded again. */
  #cutTo(most: number): void {
    const cut = timeline.withLatest(this.conversation.value, most);
    const start = cut.sent[0]?.offset;
    if (cut === this.conversation.value || start === undefined) {
      return;
    }
    if (this.past.value.past === "loaded") {
      this.past.value = { past: "loaded", start, complete: false, earlier: "idle" };
    }
    this.conversation.value = cut;
  }

  /** While somebody looks, everything that is shown is read. */
  #readOn(): void {
    const last = this.conversation.value.sent.at(-1);
    if (!this.#isReading || last === undefined || this.past.value.past !== "loaded") {
      return;
    }
    this.#settle(last.offset);
    const read = timeline.lastOfOthers(this.conversation.value);
    const mine = this.positions.reads.value.get(this.#me);
    const epoch = this.epoch.value;
    if (epoch === undefined || read === undefined) {
      return;
    }
    const isKnown = mine !== undefined && mine.epoch === epoch && mine.offset >= read.offset;
    if (!isKnown) {
      this.positions.iRead({ epoch, offset: read.offset });
    }
  }

  #readElsewhere(): void {
    const mine = this.positions.reads.value.get(this.#me);
    if (mine !== undefined && mine.epoch === this.epoch.value) {
      this.#settle(mine.offset);
    }
  }

  /** Acks what is read. The server moves the cursor, also while this device is away. */
  #settle(upTo: number): void {
    this.#readUpTo = Math.max(this.#readUpTo, upTo);
    for (const [offset, delivery] of this.#held) {
      if (offset <= this.#readUpTo) {
        this.#held.delete(offset);
        delivery.ack();
      }
    }
    this.unread.value = this.#held.size;
  }
}

function sentOf(messages: readonly Message[]): timeline.Sent[] {
  return messages.flatMap(({ offset, from, at, data }) => {
    const said = parseSaid(data);
    return said === undefined || from === undefined
      ? []
      : [{ offset, from, at, key: said.key, text: said.text }];
  });
}

function troubleText(reason: string, error: TidingsError | undefined): string {
  return error === undefined
    ? `New messages no longer come here (${reason}). Reload the page to go on.`
    : `New messages do not come here: ${error.message}.`;
}

function reasonOf(error: unknown): string {
  return error instanceof TidingsError || error instanceof Error ? error.message : String(error);
}
