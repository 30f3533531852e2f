/**
 * The frames of the protocol (docs/protocol.md), as codecs give and take them.
 *
 * A frame has a `kind`, an `id` in requests and their replies, and a `body` whose fields have the
 * names of the wire. Data is a JSON value or bytes; how bytes are written is the codec's affair.
 */

import type { Json } from "./types.ts";

/** A place as the wire has it. */
export interface WirePosition {
  readonly epoch: string;
  readonly offset: number;
}

/** The body of `connect`. */
export interface ConnectBody {
  readonly token?: string | undefined;
  readonly client?: string | undefined;
  readonly session?: string | undefined;
}

/** The body of `subscribe`: `topic` or `filter`, never both. */
export interface SubscribeBody {
  readonly topic?: string | undefined;
  readonly filter?: string | undefined;
  readonly after?: WirePosition | undefined;
  readonly from?: "new" | "first" | "last" | undefined;
  readonly durable?: string | undefined;
  readonly group?: string | undefined;
  readonly window?: number | undefined;
  readonly presence?: boolean | undefined;
}

/** The body of `publish`. */
export interface PublishBody {
  readonly topic: string;
  readonly data: Json | Uint8Array;
  readonly content_type?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly key?: string | undefined;
  readonly order_key?: string | undefined;
  readonly ttl_ms?: number | undefined;
  readonly deliver_at?: number | undefined;
}

/** The body of `ack`: `offset` or `offsets`, never both. */
export interface AckBody {
  readonly sub: string;
  readonly topic?: string | undefined;
  readonly offset?: number | undefined;
  readonly offsets?: readonly number[] | undefined;
}

/** The body of `nack`. */
export interface NackBody {
  readonly sub: string;
  readonly topic?: string | undefined;
  readonly offset: number;
  readonly delay_ms?: number | undefined;
  readonly reason?: string | undefined;
  readonly dead?: boolean | undefined;
}

/** The body of `extend`. */
export interface ExtendBody {
  readonly sub: string;
  readonly topic?: string | undefined;
  readonly offset: number;
  readonly by_ms: number;
}

/** The body of a request for history. */
export interface HistoryRequestBody {
  readonly topic: string;
  readonly after?: WirePosition | undefined;
  readonly since?: number | undefined;
  readonly limit?: number | undefined;
}

/** A body of nothing. */
export type EmptyBody = Readonly<Record<string, never>>;

/** What clients say, by kind. */
export interface ClientBodies {
  connect: ConnectBody;
  refresh: { readonly token: string };
  publish: PublishBody;
  subscribe: SubscribeBody;
  unsubscribe: { readonly sub: string };
  ack: AckBody;
  nack: NackBody;
  extend: ExtendBody;
  history: HistoryRequestBody;
  presence: { readonly topic: string };
  ping: EmptyBody;
  pong: EmptyBody;
}

/** What a connection may do at most. */
export interface WireLimits {
  readonly message_bytes: number;
  readonly frame_bytes: number;
  readonly subscriptions: number;
  readonly window: number;
  readonly publishes_in_flight: number;
}

/** The body of `connected`. */
export interface ConnectedBody {
  readonly session: string;
  readonly user: string;
  readonly client: string;
  readonly node: string;
  readonly resumed: boolean;
  readonly ping_ms: number;
  readonly expires_at?: number;
  readonly limits: WireLimits;
}

/** The body of `published`. */
export interface PublishedBody extends WirePosition {
  readonly id: string;
  readonly duplicate: boolean;
}

/** The body of `scheduled`. */
export interface ScheduledBody {
  readonly id: string;
  readonly deliver_at: number;
  readonly duplicate: boolean;
}

/** The body of `subscribed`. Filters with wildcards have no place. */
export interface SubscribedBody {
  readonly sub: string;
  readonly epoch?: string;
  readonly offset?: number;
  readonly first?: number;
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly pending?: number;
  /** Only where the server started the subscription by itself. */
  readonly durable?: string;
}

/** The body of `message`, and of each message of a history. */
export interface MessageBody {
  readonly topic: string;
  readonly offset: number;
  readonly id: string;
  readonly data: Json | Uint8Array;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly from?: string;
  readonly at: number;
  readonly attempt?: number;
  readonly order_key?: string;
  readonly sub?: string;
}

/** The body of `reset`. */
export interface ResetBody extends WirePosition {
  readonly sub: string;
  readonly topic: string;
  readonly reason: string;
  readonly first: number;
}

/** Somebody on a topic. */
export interface WireMember {
  readonly user: string;
  readonly client: string;
  readonly since: number;
}

/** The body of `presence` from the server. */
export interface PresenceBody {
  readonly topic: string;
  readonly joined: readonly WireMember[];
  readonly left: readonly WireMember[];
  readonly reset?: boolean;
}

/** The body of a reply with history. */
export interface HistoryBody extends WirePosition {
  readonly topic: string;
  readonly first: number;
  readonly recovered: boolean;
  readonly more: boolean;
  readonly messages: readonly MessageBody[];
}

/** The body of `error`. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly temporary: boolean;
  readonly retry_after_ms?: number;
}

/** What servers say, by kind. */
export interface ServerBodies {
  connected: ConnectedBody;
  refreshed: { readonly expires_at?: number };
  published: PublishedBody;
  scheduled: ScheduledBody;
  subscribed: SubscribedBody;
  unsubscribed: { readonly sub: string; readonly reason?: string };
  message: MessageBody;
  reset: ResetBody;
  settled: { readonly count: number };
  present: {
    readonly topic: string;
    readonly members: readonly WireMember[];
    readonly total: number;
  };
  presence: PresenceBody;
  history: HistoryBody;
  error: ErrorBody;
  goaway: { readonly reason: string; readonly retry_after_ms?: number };
  ping: EmptyBody;
  pong: EmptyBody;
}

/** One frame of a table of bodies. */
type FrameOf<Bodies, Kind extends keyof Bodies> = {
  readonly kind: Kind;
  readonly id?: number | undefined;
  readonly body: Bodies[Kind];
};

/** A frame from a client. */
export type ClientFrame = {
  [Kind in keyof ClientBodies]: FrameOf<ClientBodies, Kind>;
}[keyof ClientBodies];

/** A frame from a server. */
export type ServerFrame = {
  [Kind in keyof ServerBodies]: FrameOf<ServerBodies, Kind>;
}[keyof ServerBodies];
