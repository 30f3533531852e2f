/** One subscription: what the application has of it, and how far the server is with it. */

import { Alarm } from "./alarm.ts";
import { serverError, TidingsError, unexpected, wordsOf } from "./errors.ts";
import type {
  ClientBodies,
  MessageBody,
  PresenceBody,
  ResetBody,
  ServerFrame,
  SubscribedBody,
} from "./frames.ts";
import { BACKOFF_BASE_MS, BACKOFF_MAX_MS, EXTENSION_MS } from "./limits.ts";
import type { Answer, Line, Saying } from "./line.ts";
import { Listeners } from "./listeners.ts";
import { HandedDelivery, type Verdict } from "./message.ts";
import type { Held, Place, Target } from "./place.ts";
import { Queue } from "./queue.ts";
import { backoffMs } from "./reconnect.ts";
import type { Delivery, Subscribed, Subscription, SubscriptionEvents } from "./types.ts";
import type { Wish } from "./wish.ts";

/** What a subscription needs of those who keep it. */
export interface FeedOwner {
  /** The connection, while there is one. */
  line(): Line | undefined;
  /** Acks are due: call `sayAcks`, at once if many are. */
  acksDue(feed: Feed, isUrgent: boolean): void;
  /** Its place has moved: worth keeping. */
  moved(feed: Feed): void;
  /** It is over. */
  ended(feed: Feed): void;
  problem(error: TidingsError): void;
}

type Phase =
  /** To be asked for with the next connection, or when its alarm rings. */
  | { readonly kind: "waiting" }
  /** Asked for. What still comes belongs to one before it. `isNews`: whether it was told as away. */
  | { readonly kind: "asked"; readonly isNews: boolean }
  | { readonly kind: "active" }
  /** The application is slow: left quietly, to be taken up from its place. */
  | { readonly kind: "full" }
  | { readonly kind: "ending"; readonly isKnown: boolean }
  | { readonly kind: "ended" };

/** Who waits for the server to take it first. */
interface Opening {
  readonly resolve: (subscribed: Subscribed) => void;
  readonly reject: (error: TidingsError) => void;
}

/** A subscription, as the application and as the connection see it. */
export class Feed implements Subscription {
  readonly wish: Wish;
  readonly place: Place;
  readonly ready: Promise<Subscribed>;
  readonly #listeners = new Listeners<SubscriptionEvents>();
  readonly on = this.#listeners.on;
  readonly #owner: FeedOwner;
  readonly #queue = new Queue();
  readonly #alarm = new Alarm();
  /** Set with `ready`. */
  #opening: Opening | undefined;
  #phase: Phase = { kind: "waiting" };
  #wasTaken = false;
  #refusals = 0;
  #acksDue = 0;
  #ending: Promise<void> | undefined;
  /** What `onDelivery` works on. */
  #work: Promise<void> | undefined;

  constructor(wish: Wish, place: Place, owner: FeedOwner) {
    this.wish = wish;
    this.place = place;
    this.#owner = owner;
    this.ready = new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
    });
    // Who does not wait for it hears of a refusal by the `ended` event and the iteration.
    this.ready.catch(() => {});
    if (wish.onDelivery !== undefined) {
      void this.#run(wish.onDelivery);
    }
  }

  get sub(): string {
    return this.wish.sub;
  }

  get isLive(): boolean {
    return this.wish.kind === "live";
  }

  // What the application does.

  [Symbol.asyncIterator](): AsyncIterator<Delivery> {
    if (this.wish.onDelivery !== undefined) {
      throw new TidingsError("bad_option", "this subscription gives its messages to onDelivery");
    }
    let inHand: HandedDelivery | undefined;
    return {
      next: async () => {
        this.#finish(inHand);
        inHand = undefined;
        inHand = await this.#take();
        return inHand === undefined
          ? { done: true, value: inHand }
          : { done: false, value: inHand };
      },
      return: async () => {
        // Whether the loop was done with it nobody knows: the next loop gets it first.
        if (inHand?.isAnswered === false && !this.isLive && this.wish.isAcked) {
          this.#queue.put(inHand, "front");
        } else {
          this.#finish(inHand);
        }
        inHand = undefined;
        return { done: true, value: undefined };
      },
    };
  }

  unsubscribe(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    const { kind } = this.#phase;
    if (kind === "ended") {
      return;
    }
    this.#phase = { kind: "ending", isKnown: kind === "asked" || kind === "active" };
    this.#queue.end(undefined, "drop");
    await this.#work;
    const line = this.#owner.line();
    this.sayAcks();
    if (this.#isKnown() && line !== undefined) {
      const { sub } = this;
      await new Promise((resolve) => line.ask({ kind: "unsubscribe", body: { sub } }, resolve));
    }
    this.#over("unsubscribed", undefined);
  }

  async #run(onDelivery: (delivery: Delivery) => void | Promise<void>): Promise<void> {
    try {
      for (let next = await this.#take(); next !== undefined; next = await this.#take()) {
        this.#work = this.#handle(next, onDelivery);
        await this.#work;
      }
    } catch {
      // The `ended` event has told why.
    }
  }

  async #handle(
    delivery: HandedDelivery,
    onDelivery: (delivery: Delivery) => void | Promise<void>,
  ): Promise<void> {
    try {
      await onDelivery(delivery);
      this.#finish(delivery);
    } catch (cause) {
      const reason = wordsOf(cause);
      if (this.isLive) {
        delivery.finish();
      } else {
        delivery.nack({ reason });
      }
      const words = `onDelivery of ${this.sub} failed at offset ${delivery.offset}: ${reason}`;
      this.#owner.problem(new TidingsError("delivery_failed", words, { cause }));
    }
  }

  #finish(delivery: HandedDelivery | undefined): void {
    if (this.wish.isAcked) {
      delivery?.finish();
    }
  }

  #take(): Promise<HandedDelivery | undefined> {
    const delivery = this.#queue.take();
    if (this.#phase.kind === "full" && this.#queue.size * 2 <= this.wish.queue) {
      this.#phase = { kind: "waiting" };
      this.#ask(false);
    }
    return delivery;
  }

  #answered(held: Held, verdict: Verdict): void {
    switch (verdict.kind) {
      case "acked":
      case "finished":
        this.#acked(held, verdict.kind);
        break;
      case "nacked": {
        const { delayMs: delay_ms, reason } = verdict;
        this.#tell(this.place.released(held), (named) => ({
          kind: "nack",
          body: { ...named, delay_ms, reason },
        }));
        break;
      }
      case "givenUp":
        this.#giveUp(held, verdict.reason);
        break;
      case "extended":
        this.#tell(this.place.target(held), (named) => ({
          kind: "extend",
          body: { ...named, by_ms: verdict.byMs },
        }));
        break;
    }
  }

  #acked(held: Held, kind: "acked" | "finished"): void {
    if (!this.isLive) {
      this.place.acked(held);
      this.#acksDue += 1;
      this.#owner.acksDue(this, this.#acksDue * 4 >= this.wish.window);
    } else if (kind === "finished") {
      this.place.acked(held);
      this.#owner.moved(this);
    }
  }

  #giveUp(held: Held, reason: string | undefined): void {
    if (!this.#isKnown() || this.#owner.line() === undefined) {
      // Nobody can be told now: it comes again, and may be given up then.
      this.place.released(held);
      return;
    }
    this.#tell(
      this.place.givenUp(held),
      (named) => ({ kind: "nack", body: { ...named, dead: true, reason } }),
      (reply) => reply && this.place.giveUpAnswered(held, reply.kind === "settled"),
    );
  }

  /** Tells the server something of a delivery, if it takes an answer: with its topic where there may be many. */
  #tell(
    target: Target | undefined,
    saying: (named: Target & { readonly sub: string }) => Saying,
    answer?: Answer,
  ): void {
    const line = this.#isKnown() ? this.#owner.line() : undefined;
    if (target === undefined || line === undefined) {
      return;
    }
    const { topic, offset } = target;
    const said = saying({ sub: this.sub, topic, offset });
    if (answer === undefined) {
      line.say(said, 1024);
    } else {
      line.ask(said, answer, 1024);
    }
  }

  // What the connection does.

  /** There is a connection. */
  connected(): void {
    this.#ask(true);
  }

  disconnected(): void {
    const { kind } = this.#phase;
    this.place.disconnected();
    if (this.wish.kind === "shared") {
      // The group has them by now: what nobody has begun with is another member's.
      for (const delivery of this.#queue.drain()) {
        delivery.nack();
      }
    }
    this.#alarm.clear();
    this.#acksDue = 0;
    if (kind === "ending") {
      this.#phase = { kind: "ending", isKnown: false };
    } else if (kind === "asked" || kind === "active") {
      this.#phase = { kind: "waiting" };
    }
  }

  #isKnown(): boolean {
    const phase = this.#phase;
    return (
      phase.kind === "active" ||
      phase.kind === "asked" ||
      (phase.kind === "ending" && phase.isKnown)
    );
  }

  #ask(isNews: boolean): void {
    const line = this.#owner.line();
    if (line === undefined || this.#phase.kind !== "waiting") {
      return;
    }
    this.#phase = { kind: "asked", isNews };
    const body: ClientBodies["subscribe"] = { ...this.wish.body, ...this.place.start() };
    line.ask({ kind: "subscribe", body }, (reply) => this.#replied(reply), 1024);
  }

  #replied(reply: ServerFrame | undefined): void {
    const phase = this.#phase;
    if (phase.kind !== "asked" || reply === undefined) {
      return;
    }
    if (reply.kind === "subscribed") {
      this.#taken(reply.body, phase.isNews);
      return;
    }
    const error = reply.kind === "error" ? serverError(reply.body) : unexpected(reply);
    this.#owner.problem(error);
    if (error.temporary) {
      this.#refusals += 1;
      this.#phase = { kind: "waiting" };
      const wait =
        error.retryAfterMs ??
        backoffMs(this.#refusals, BACKOFF_BASE_MS, BACKOFF_MAX_MS, Math.random());
      this.#alarm.set(Date.now() + wait, () => this.#ask(phase.isNews));
    } else {
      this.#over("refused", error);
    }
  }

  #taken(body: SubscribedBody, isNews: boolean): void {
    const { epoch, offset = 0, first = 1, reason = "epoch_changed", pending = 0 } = body;
    const isAgain = this.#wasTaken;
    this.#wasTaken = true;
    this.#refusals = 0;
    this.#phase = { kind: "active" };
    // The cursor of a log that was lost is lost with it, and a new one has recovered everything.
    const isOtherLog = ![undefined, epoch].includes(this.place.epoch);
    this.place.subscribed(body);
    // Of a live filter with wildcards nobody knows what it missed between two connections.
    const recovered = !isOtherLog && (body.recovered ?? (!this.isLive || !isAgain));
    const subscribed: Subscribed = {
      recovered,
      pending,
      ...(epoch === undefined ? {} : { position: { epoch, offset }, first }),
    };
    this.#opening?.resolve(subscribed);
    if (isNews) {
      this.#listeners.tell("subscribed", subscribed);
    }
    if (!recovered && epoch !== undefined) {
      const reset = { topic: this.sub, reason, epoch, first, offset };
      this.#queue.tell(() => this.#listeners.tell("reset", reset));
    } else if (isAgain && isNews && recovered) {
      this.#queue.tell(() => this.#listeners.tell("recovered", subscribed));
    }
    if (isAgain && this.wish.body.presence === true) {
      this.presence({ topic: this.sub, joined: [], left: [], reset: true });
    }
    if (this.isLive) {
      this.#owner.moved(this);
    }
  }

  /** A message that may be for it. */
  message(body: MessageBody): void {
    if (this.#phase.kind !== "active") {
      return;
    }
    if (this.#queue.size >= this.wish.queue) {
      this.place.missed(body);
      this.#leaveQuietly();
      return;
    }
    const last = this.place.lastOffset(body.topic);
    if (!this.place.received(body)) {
      // The server does not know that it is done with: it hears the ack again.
      if (!this.isLive) {
        this.#owner.acksDue(this, false);
        this.#stillHeld(body);
      }
      return;
    }
    if (last !== undefined && body.offset > last + 1) {
      const gap = { topic: body.topic, after: last, next: body.offset };
      this.#queue.tell(() => this.#listeners.tell("gap", gap));
    }
    const answer = (held: Held, verdict: Verdict) => this.#answered(held, verdict);
    this.#queue.put(new HandedDelivery(body, this.place.epoch, answer));
  }

  /**
   * The server has waited in vain for something that is still in the queue or in hand. Its
   * attempts are counted, so that a message that is never done with ends all the same.
   */
  #stillHeld({ topic, offset, id, attempt = 1 }: MessageBody): void {
    if (this.wish.isAcked && attempt > 1) {
      const held = { topic, offset, id, epoch: this.place.epoch };
      this.#answered(held, { kind: "extended", byMs: EXTENSION_MS });
    }
  }

  /**
   * A browser cannot stop reading a WebSocket. So a live subscription to a topic is left when its
   * queue is full, and taken up from its place when there is room: the log is the queue.
   */
  #leaveQuietly(): void {
    if (this.isLive && this.place.canResume) {
      this.#phase = { kind: "full" };
      this.#owner.line()?.ask({ kind: "unsubscribe", body: { sub: this.sub } }, () => {});
    }
  }

  reset(body: ResetBody): void {
    // One that is asked for again shows its place, and hears then that it is gone.
    if (this.#phase.kind === "active") {
      this.place.reset(body);
      const { topic, reason, epoch, first, offset } = body;
      this.#queue.tell(() =>
        this.#listeners.tell("reset", { topic, reason, epoch, first, offset }),
      );
      this.#owner.moved(this);
    }
  }

  presence({ topic, joined, left, reset }: PresenceBody): void {
    this.#listeners.tell("presence", { topic, joined, left, reset: reset === true });
  }

  /** The server has ended it. */
  endedByServer(reason: string): void {
    if (this.#phase.kind !== "active" && this.#phase.kind !== "asked") {
      return;
    }
    if (reason === "too_far_behind") {
      this.#phase = { kind: "waiting" };
      this.place.disconnected();
      this.#ask(true);
    } else if (reason === "taken_over") {
      const words = `another connection has taken over the durable subscription to ${this.sub}`;
      this.#over(reason, new TidingsError("taken_over", words));
    } else {
      const words = `the token does not allow ${this.sub} any more (${reason})`;
      this.#over(reason, new TidingsError("forbidden", words));
    }
  }

  /** Says the acks that are due. */
  sayAcks(): void {
    const line = this.#owner.line();
    const { kind } = this.#phase;
    if (line === undefined || !(kind === "active" || (kind === "ending" && this.#isKnown()))) {
      return;
    }
    this.#acksDue = 0;
    for (const acks of this.place.takeAcks()) {
      line.say({ kind: "ack", body: { sub: this.sub, ...acks } }, 8192);
    }
  }

  /** The client is closed. */
  close(error: TidingsError | undefined): void {
    this.#over("closed", error);
  }

  #over(reason: string, error: TidingsError | undefined): void {
    if (this.#phase.kind === "ended") {
      return;
    }
    this.#phase = { kind: "ended" };
    this.#alarm.clear();
    this.#queue.end(error, this.isLive && error !== undefined ? "keep" : "drop");
    this.#opening?.reject(error ?? new TidingsError("closed", `${this.sub} was unsubscribed`));
    this.#owner.ended(this);
    this.#listeners.tell("ended", error === undefined ? { reason } : { reason, error });
  }
}
