/** What the operator's routes answer, as docs/http.md says. Times and durations are milliseconds. */

/** Any value that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A page of something that may be long: ask on with the cursor while there is `more`. */
export interface Paged {
  readonly more: boolean;
  readonly cursor?: string | null;
}

export interface NodeState {
  readonly node: string;
  readonly version: string;
  readonly started_at: number;
  readonly now: number;
  readonly ready: boolean;
  readonly draining: boolean;
  readonly public: {
    readonly address: string;
    readonly tls: boolean;
    readonly websocket_path: string;
  };
  readonly operator: { readonly address: string };
  readonly auth_open: boolean;
  readonly connections: number;
  readonly connections_max: number;
  readonly store: {
    readonly writable: boolean;
    readonly refusing: string | null;
    readonly directory: string | null;
    readonly topics: number;
    readonly messages: number;
    readonly disk_bytes: number | null;
    readonly disk_bytes_max: number | null;
    readonly disk_free_bytes: number | null;
  };
  readonly process: {
    readonly resident_bytes: number | null;
    readonly threads: number | null;
    readonly open_files: number | null;
    readonly open_files_max: number | null;
    readonly cpu_ms: number | null;
  };
}

export interface TopicRow {
  readonly topic: string;
  readonly epoch: string;
  readonly first: number;
  readonly offset: number;
  readonly messages: number;
}

export interface TopicPage extends Paged {
  readonly topics: readonly TopicRow[];
  readonly total: number;
}

export interface TopicCursor {
  readonly kind: string;
  readonly user?: string | null;
  readonly durable?: string | null;
  readonly group?: string | null;
  readonly filter?: string | null;
  readonly next: number;
  readonly pending: number;
  readonly saved_at: number;
}

export interface TopicState extends TopicRow {
  readonly last_at: number | null;
  readonly policy: Readonly<Record<string, Json>>;
  readonly subscribers: number | null;
  readonly cursors: readonly TopicCursor[];
  readonly cursors_more: boolean;
}

/** A message as history and streams tell it. */
export interface StoredMessage {
  readonly topic: string;
  readonly offset: number;
  readonly id: string;
  readonly data?: Json;
  readonly data_base64?: string;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly from?: string;
  readonly at: number;
  readonly order_key?: string;
}

export interface HistoryPage extends Paged {
  readonly topic: string;
  readonly epoch: string;
  readonly offset: number;
  readonly first: number;
  readonly recovered: boolean;
  readonly messages: readonly StoredMessage[];
}

export interface Published {
  readonly id: string;
  readonly topic: string;
  readonly offset?: number;
  readonly epoch?: string;
  readonly deliver_at?: number;
  readonly duplicate: boolean;
}

export interface UserRow {
  readonly user: string;
  readonly online: boolean;
  readonly connections: number;
  readonly sessions: number;
  readonly last_seen: number | null;
  readonly pending: number;
}

export interface UserPage extends Paged {
  readonly users: readonly UserRow[];
}

export interface UserCursor {
  readonly durable: string;
  readonly topic: string;
  readonly next: number;
  readonly pending: number;
  readonly saved_at: number;
  readonly oldest_pending_at?: number | null;
  readonly acked_at?: number | null;
}

export interface UserState {
  readonly user: string;
  readonly online: boolean;
  readonly last_seen: number | null;
  readonly connections: ReadonlyArray<{
    readonly client: string;
    readonly node: string;
    readonly since: number;
    readonly subscriptions: number;
  }>;
  readonly connections_total: number;
  readonly sessions: ReadonlyArray<{ readonly client: string; readonly expires_at: number }>;
  readonly cursors: readonly UserCursor[];
}

export interface SubscriptionRow {
  readonly user: string;
  readonly durable: string;
  readonly topic: string;
  readonly next: number;
  readonly pending: number;
  readonly saved_at: number;
}

export interface SubscriptionPage extends Paged {
  readonly subscriptions: readonly SubscriptionRow[];
}

export interface GroupRow {
  readonly group: string;
  readonly filter: string;
  readonly members: number;
  readonly topics: number;
  readonly lag: number;
  readonly unacked: number;
  readonly window: number;
  readonly oldest_unacked_ms: number | null;
}

export interface GroupState extends Omit<GroupRow, "members" | "topics"> {
  readonly members: ReadonlyArray<{
    readonly user: string;
    readonly client: string;
    readonly unacked: number;
    readonly window: number;
  }>;
  readonly topics: ReadonlyArray<{
    readonly topic: string;
    readonly cursor: number;
    readonly head: number;
    readonly lag: number;
    readonly unacked: number;
    readonly waiting: number;
    readonly attempts_most: number;
    readonly oldest_unacked_ms: number | null;
  }>;
}

export interface Attempt {
  readonly attempt: number;
  readonly client?: string;
  readonly sent_at?: number;
  readonly ended_at: number;
  readonly ended: string;
  readonly reason?: string;
}

export interface DeadLetterRow {
  readonly offset: number;
  readonly id: string;
  readonly at: number;
  readonly topic: string;
  readonly message: {
    readonly id: string;
    readonly offset: number;
    readonly epoch: string;
    readonly at: number;
  };
  readonly from?: string | null;
  readonly user?: string | null;
  readonly durable?: string | null;
  readonly group?: string | null;
  readonly filter?: string | null;
  readonly attempts: number;
  readonly gave_up: string;
  readonly reasons?: string | null;
  readonly bytes: number;
}

export interface DeadLetterPage extends Paged {
  readonly dead_letters: readonly DeadLetterRow[];
  readonly kept: number;
}

export interface DeadLetter extends DeadLetterRow {
  readonly data?: Json;
  readonly data_base64?: string;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly order_key?: string;
  readonly history?: readonly Attempt[];
}

/** What the replay or purge of many has done by the time it answers. */
export interface ManyDone extends Paged {
  readonly replayed?: number;
  readonly purged?: number;
  readonly failed: number;
  readonly kept: number;
  readonly errors?: ReadonlyArray<{
    readonly offset?: number;
    readonly code?: string;
    readonly detail?: string;
  }>;
}

export interface ScheduledRow {
  readonly id: string;
  readonly topic: string;
  readonly deliver_at: number;
  readonly user?: string | null;
}

export interface ScheduledPage {
  readonly scheduled: readonly ScheduledRow[];
  readonly total: number;
  readonly cursor: string | null;
}

export interface StoryEvent {
  readonly at: number;
  readonly what: string;
  readonly topic?: string;
  readonly offset?: number;
  readonly attempt?: number;
  readonly user?: string;
  readonly durable?: string;
  readonly group?: string;
  readonly filter?: string;
  readonly client?: string;
}

export interface StorySubscription {
  readonly user?: string;
  readonly durable?: string;
  readonly group?: string;
  readonly filter?: string;
  readonly offset: number;
  readonly state: string;
  readonly attempts_failed?: number;
  readonly client?: string;
  readonly failed?: readonly Attempt[];
  readonly waiting?: { readonly attempt: number; readonly sent_at: number };
}

/** What is told of a message in `published` and `scheduled`. */
export interface StoryMessage {
  readonly topic: string;
  readonly at: number;
  readonly bytes: number;
  readonly headers: number;
  readonly from?: string;
  readonly order_key?: string;
  readonly content_type?: string;
  readonly traceparent?: string;
  readonly ttl_ms?: number;
  readonly expired?: boolean;
  readonly deliver_at?: number;
}

export interface Story {
  readonly id: string;
  readonly published?: StoryMessage | null;
  readonly scheduled?: StoryMessage | null;
  readonly places?: ReadonlyArray<{
    readonly topic: string;
    readonly offset: number;
    readonly epoch: string;
    readonly kept: boolean;
    readonly at?: number;
    readonly replay_of?: number;
  }>;
  readonly events?: readonly StoryEvent[];
  readonly subscriptions?: readonly StorySubscription[];
  readonly subscriptions_complete?: boolean;
  readonly dead_letters?: readonly DeadLetter[];
  readonly dead_letters_complete?: boolean;
  readonly record_from?: number | null;
  readonly not_kept?: Json;
}

export interface Disconnect {
  readonly at: number;
  readonly user: string | null;
  readonly client: string | null;
  readonly code: number | null;
  readonly reason: string;
  readonly by: string;
  /** Nothing for one that never came through `connect`. */
  readonly lasted_ms: number | null;
  readonly node: string;
}

export interface DisconnectList {
  readonly disconnects: readonly Disconnect[];
  readonly kept: number;
  readonly since: number | null;
}

export type Configuration = Readonly<Record<string, Json>>;
