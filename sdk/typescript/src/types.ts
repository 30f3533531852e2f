/**
 * What an application sees of the SDK: options, states, messages, events.
 *
 * The words are those of the protocol (docs/protocol.md). Durations are milliseconds and end in
 * `Ms`; times are milliseconds since 1970.
 */

import type { CloseReason, TidingsError } from "./errors.ts";
import type { Storage } from "./storage.ts";

/** Any value that JSON can say. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

/** A place in a topic: the life of its log, and the offset there. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Gives a token, now or later. It is asked before each connection and before the token ends. */
export type GetToken = () => string | Promise<string>;

/** How a client is set up. Only `url` is needed. */
export interface ClientOptions {
  /** `ws://` or `wss://`, or `http(s)://` of the server; without a path `/v1/ws` is meant. */
  readonly url: string | URL;
  /** A token that does not change, instead of `getToken`. */
  readonly token?: string;
  /** Gives tokens; refreshed before they expire. */
  readonly getToken?: GetToken;
  /** The stable name of this device or process. Made up and kept in `storage` if not given. */
  readonly client?: string;
  /**
   * Where what must outlive a reload is kept: messages that wait, positions, the session. `"memory"`
   * outside browsers and `"browser"` (IndexedDB) in them, unless given. Keep the data of each user apart with
   * `storageName`.
   */
  readonly storage?: "browser" | "memory" | Storage;
  /** The name of what is kept, such as the user. Default: `"tidings"`. */
  readonly storageName?: string;
  /** Bounds of what waits to be published. */
  readonly outbox?: {
    /** Most messages, 1000 unless given. */
    readonly messagesMax?: number;
    /** Most bytes of data, 4 MiB unless given. */
    readonly bytesMax?: number;
  };
  /** Waits between attempts. */
  readonly backoff?: {
    /** What the first lies below, 500 ms unless given; each is a random one of at least 50 ms. */
    readonly baseMs?: number;
    /** What all lie below, 20 s unless given. */
    readonly maxMs?: number;
    /** Attempts in a row before the client gives up; for ever unless given. */
    readonly attemptsMax?: number;
  };
  /** How long a connection may take to be made, 10 s unless given. */
  readonly connectTimeoutMs?: number;
  /** How frames are written: JSON unless given. See `@tidings/client/protobuf`. */
  readonly codec?: import("./codec.ts").Codec;
  /**
   * What is tried where a WebSocket cannot be opened: `fallback()` of `@tidings/client/fallback`, which
   * publishes by HTTP and follows live subscriptions by event stream. Nothing unless given.
   */
  readonly fallback?: (
    websocket: import("./transport.ts").Transport,
  ) => import("./transport.ts").Transport;
  /** How sockets are opened, for tests and unusual runtimes. `globalThis.WebSocket` unless given. */
  readonly transport?: import("./transport.ts").Transport;
}

/** Where a client's connection is in its life. Each has words that a page can show as they are. */
export type State =
  /** Nothing was asked of it yet. */
  | { readonly status: "idle"; readonly hint: string }
  | { readonly status: "connecting"; readonly attempt: number; readonly hint: string }
  | {
      readonly status: "connected";
      readonly user: string;
      readonly client: string;
      readonly node: string;
      /** Whether the session of before was taken up. */
      readonly resumed: boolean;
      /** Over which way: a WebSocket, or the fallback. */
      readonly via: "websocket" | "fallback";
      readonly waiting: number;
      readonly hint: string;
    }
  /** The connection was lost a moment ago; it is being made anew. */
  | {
      readonly status: "reconnecting";
      /** The number of the next attempt, from 1. */
      readonly attempt: number;
      /** When it is made. */
      readonly retryAt: number;
      readonly cause: TidingsError;
      /** Messages that wait to be published. */
      readonly waiting: number;
      readonly hint: string;
    }
  /** Without a connection for a while (three attempts, or the browser says so). It still tries. */
  | {
      readonly status: "offline";
      readonly since: number;
      readonly attempt: number;
      readonly retryAt: number;
      readonly cause: TidingsError;
      readonly waiting: number;
      readonly hint: string;
    }
  /** The server no longer takes the token, or sent the user away: sign in, then `connect()`. */
  | {
      readonly status: "signedOut";
      readonly cause: TidingsError;
      readonly waiting: number;
      readonly hint: string;
    }
  /** Coming back by itself would not help; `cause` says why. `connect()` tries again. */
  | {
      readonly status: "failed";
      readonly cause: TidingsError;
      readonly waiting: number;
      readonly hint: string;
    }
  /** The application closed it. */
  | { readonly status: "closed"; readonly hint: string };

/** What a publish may say beside its topic and data. */
export interface PublishOptions {
  /** Makes a repeat recognisable, up to 128 bytes. Made up if not given, so no publish is kept twice. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly orderKey?: string;
  readonly ttlMs?: number;
  /** Publish it then: a time, or a `Date`. */
  readonly deliverAt?: number | Date;
  /** Stops waiting for the answer; a message that was not sent yet is taken back. */
  readonly signal?: AbortSignal;
}

/** A message that is durable, with its place. */
export interface Published extends Position {
  readonly id: string;
  readonly duplicate: boolean;
}

/** A message that is kept for later. */
export interface Scheduled {
  readonly id: string;
  readonly deliverAt: number;
  readonly duplicate: boolean;
}

/** A message that is being published. `await` it; or show it as pending until it resolves. */
export interface Publication extends Promise<Published | Scheduled> {
  /** The key that it is sent with. */
  readonly key: string;
}

/** A message that waits to be published, as `client.outbox` lists it. */
export interface Waiting {
  readonly key: string;
  readonly topic: string;
  readonly data: Json | Uint8Array;
  readonly since: number;
}

/** A message as it was published. */
export interface Message {
  readonly topic: string;
  readonly offset: number;
  readonly id: string;
  /** What was published: a JSON value, or bytes. */
  readonly data: Json | Uint8Array;
  readonly contentType?: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The user who published it; absent if the server did. */
  readonly from?: string;
  readonly at: number;
  /** Which delivery this is, from 1. */
  readonly attempt: number;
  readonly orderKey?: string;
}

/** A message in the application's hands. On live subscriptions the answers do nothing. */
export interface Delivery extends Message {
  /** Its place, where the subscription is to one topic. */
  readonly position?: Position;
  /** Done: it does not come again. Acks leave together, shortly after. */
  ack(): void;
  /** Not now: it comes again after `delayMs`, or after the backoff of its topic. */
  nack(options?: { readonly delayMs?: number; readonly reason?: string }): void;
  /** Never: it becomes a dead letter now. */
  giveUp(reason?: string): void;
  /** Working on it: this much more time, from now. */
  extend(byMs: number): void;
}

/** What every kind of subscription may ask for. */
interface SubscribeBase {
  /** Where to start when there is no place to go on from. Live: `"new"`; the others: `"first"`. */
  readonly from?: "new" | "first" | "last";
  /** Most messages that wait for the application, 256 unless given. */
  readonly queue?: number;
  /**
   * Called with each message in turn, the next one when it has resolved; instead of `for await`. If
   * it throws, the message is given back (`nack`) with the error's text as the reason.
   */
  readonly onDelivery?: (delivery: Delivery) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** A live subscription: the client remembers its place. */
export interface LiveOptions extends SubscribeBase {
  /** Where to start, instead of the place that was kept. */
  readonly after?: Position;
  /** Also tell who joins and leaves: `"presence"` events. */
  readonly presence?: boolean;
  /** Keep the place in `storage`, so that a reload goes on; unless `false`. For topics only. */
  readonly remember?: boolean;
}

/** A durable subscription: the server remembers its place, and wants each message acked. */
export interface DurableOptions extends SubscribeBase {
  /** The name of the cursor. */
  readonly durable: string;
  readonly window?: number;
  /** `"auto"` (the default): acked when the next one is asked for, or `onDelivery` has resolved. */
  readonly ack?: "auto" | "manual";
  readonly presence?: boolean;
}

/** A shared subscription: the members of a group divide the messages. */
export interface SharedOptions extends SubscribeBase {
  readonly group: string;
  /** Most unacked messages; 16 unless given, and 64 with `ack: "manual"`. */
  readonly window?: number;
  readonly ack?: "auto" | "manual";
}

export type SubscribeOptions = LiveOptions | DurableOptions | SharedOptions;

/** Why messages are missing. Take an unknown one for `epoch_changed`. */
export type ResetReason =
  | "epoch_changed"
  | "trimmed"
  | "ahead_of_head"
  | "skipped"
  | "damaged"
  | (string & {});

/** Messages are missing: delivery goes on with `first`. */
export interface Reset {
  readonly topic: string;
  readonly reason: ResetReason;
  readonly epoch: string;
  readonly first: number;
  readonly offset: number;
}

/** The server took the subscription, at first or after a reconnect. */
export interface Subscribed {
  /** Where the topic stands; absent for filters with wildcards. */
  readonly position?: Position;
  readonly first?: number;
  /**
   * Whether everything after the place of before comes. If not, a `reset` event says why; but of a
   * live filter with wildcards nobody knows what it missed while it was away.
   */
  readonly recovered: boolean;
  /** Messages that wait to be delivered. */
  readonly pending: number;
}

/** Somebody on a topic. */
export interface Member {
  readonly user: string;
  readonly client: string;
  readonly since: number;
}

/** Who joined and left. After `reset` ask for the list anew. */
export interface PresenceChange {
  readonly topic: string;
  readonly joined: readonly Member[];
  readonly left: readonly Member[];
  readonly reset: boolean;
}

/** Who is on a topic. */
export interface Present {
  readonly topic: string;
  readonly members: readonly Member[];
  readonly total: number;
}

/** What a subscription tells beside its messages. */
export interface SubscriptionEvents {
  /** Taken by the server: first, and after each reconnect. */
  subscribed: Subscribed;
  /** After a reconnect nothing is missing. */
  recovered: Subscribed;
  /** Messages are missing, and why. */
  reset: Reset;
  /**
   * Offsets of a live subscription that did not come: those between `after` and `next`. They have
   * expired, or were missed while the application was slow, on a `memory` topic or a filter with wildcards.
   */
  gap: { readonly topic: string; readonly after: number; readonly next: number };
  presence: PresenceChange;
  /** The end: unsubscribed, taken over, or refused. */
  ended: { readonly reason: string; readonly error?: TidingsError };
}

/** What a client tells. */
export interface ClientEvents {
  state: State;
  /** How many messages wait to be published. */
  waiting: number;
  /** A message of a reload before that waited has been published. */
  published: {
    readonly key: string;
    readonly topic: string;
    readonly result: Published | Scheduled;
  };
  /** A message was refused for good: one of a reload before, or one of now, whose promise rejects as well. */
  refused: { readonly key: string; readonly topic: string; readonly error: TidingsError };
  /** Worth a line in a log: what the client gets over, a refused subscription, the end of trying. */
  problem: TidingsError;
  /**
   * The server started an inbox subscription by itself. Who wants its messages calls
   * `subscribe(topic, { durable })` in the listener; else it is ended, and its cursor stays.
   */
  inbox: { readonly topic: string; readonly durable: string };
}

/** Listens until the function that it returns is called. */
export type On<Events> = <Name extends keyof Events>(
  name: Name,
  listener: (event: Events[Name]) => void,
) => () => void;

/** A subscription: messages by `for await`, or by `onDelivery`, and events. */
export interface Subscription extends AsyncIterable<Delivery> {
  /** The topic or filter. */
  readonly sub: string;
  readonly on: On<SubscriptionEvents>;
  /** Resolves when the server has taken it first; rejects when it refuses. */
  readonly ready: Promise<Subscribed>;
  /** Ends it. What `onDelivery` works on is finished and acked first. */
  unsubscribe(): Promise<void>;
}

/** A page of a topic's past. */
export interface History {
  readonly topic: string;
  readonly position: Position;
  readonly first: number;
  readonly recovered: boolean;
  readonly more: boolean;
  readonly messages: readonly Message[];
}

export interface HistoryOptions {
  readonly after?: Position;
  readonly since?: number | Date;
  readonly limit?: number;
}

/** What `close()` reports. */
export interface Closed {
  readonly reason: CloseReason;
  /** Messages that were not published. With `storage` they leave when a client of that name is back. */
  readonly waiting: number;
}

/** One connection to a server, kept up. */
export interface Client {
  readonly state: State;
  /** What waits to be published, the oldest first. */
  readonly outbox: readonly Waiting[];
  readonly on: On<ClientEvents>;
  /** Connects now. Publishing and subscribing do so by themselves. Also leaves `signedOut` and `failed`. */
  connect(): Promise<void>;
  /** Resolves when the message is durable, also if that is after reconnects. */
  publish(topic: string, data: Json | Uint8Array, options?: PublishOptions): Publication;
  subscribe(filter: string, options?: SubscribeOptions): Subscription;
  history(topic: string, options?: HistoryOptions): Promise<History>;
  presence(topic: string): Promise<Present>;
  /** Stops; waits up to `flushMs` (2 s unless given) for acks and for what waits to be published. */
  close(options?: { readonly flushMs?: number }): Promise<Closed>;
}
