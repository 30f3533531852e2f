/**
 * The operator's API, route by route. docs/http.md describes each; the console has no others.
 */

import type { Query, Requester, Wanted } from "./request.ts";
import type {
  Configuration,
  DeadLetter,
  DeadLetterPage,
  DisconnectList,
  GroupRow,
  GroupState,
  HistoryPage,
  Json,
  ManyDone,
  NodeState,
  Published,
  ScheduledPage,
  ScheduledRow,
  Story,
  SubscriptionPage,
  TopicPage,
  TopicState,
  UserPage,
  UserState,
} from "./types.ts";

/** A publish, with the fields of docs/http.md. */
export interface ToPublish {
  readonly topic: string;
  readonly data?: Json;
  readonly data_base64?: string;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly key?: string;
  readonly order_key?: string;
  readonly ttl_ms?: number;
  readonly deliver_at?: number;
}

/** What shall be other than it was when a dead letter is published again. */
export interface Edited {
  readonly topic?: string;
  readonly data?: Json;
  readonly data_base64?: string;
  readonly content_type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly to?: "subscription" | "all";
}

type Signal = AbortSignal | undefined;

/** Typed calls of the operator's routes. Each throws `ApiError`. */
export class Api {
  readonly #requester: Requester;

  constructor(requester: Requester) {
    this.#requester = requester;
  }

  node(signal?: Signal): Promise<NodeState> {
    return this.#get("/v1/node", {}, signal);
  }

  async metrics(signal?: Signal): Promise<string> {
    return (await this.#requester.answer({ path: "/metrics", signal })).text();
  }

  topics(query: Query, signal?: Signal): Promise<TopicPage> {
    return this.#get("/v1/topics", query, signal);
  }

  topic(topic: string, signal?: Signal): Promise<TopicState> {
    return this.#get("/v1/topic", { topic }, signal);
  }

  history(query: Query, signal?: Signal): Promise<HistoryPage> {
    return this.#get("/v1/history", query, signal);
  }

  /** The event stream of a topic; the answer is there once it has begun. */
  stream(query: Query, signal: AbortSignal): Promise<Response> {
    return this.#requester.answer({ path: "/v1/stream", query, signal });
  }

  publish(message: ToPublish): Promise<Published> {
    return this.#post("/v1/publish", {}, message);
  }

  users(query: Query, signal?: Signal): Promise<UserPage> {
    return this.#get("/v1/users", query, signal);
  }

  user(user: string, signal?: Signal): Promise<UserState> {
    return this.#get(`/v1/users/${encodeURIComponent(user)}`, {}, signal);
  }

  async disconnect(user: string): Promise<void> {
    await this.#do({ method: "POST", path: `/v1/users/${encodeURIComponent(user)}/disconnect` });
  }

  async revoke(user: string): Promise<void> {
    await this.#do({ method: "POST", path: `/v1/users/${encodeURIComponent(user)}/revoke` });
  }

  subscriptions(query: Query, signal?: Signal): Promise<SubscriptionPage> {
    return this.#get("/v1/subscriptions", query, signal);
  }

  groups(signal?: Signal): Promise<{ groups: GroupRow[]; total: number }> {
    return this.#get("/v1/groups", {}, signal);
  }

  group(
    name: string,
    filter: string | undefined,
    signal?: Signal,
  ): Promise<{ groups: GroupState[] }> {
    return this.#get(`/v1/groups/${encodeURIComponent(name)}`, { filter }, signal);
  }

  deadLetters(query: Query, signal?: Signal): Promise<DeadLetterPage> {
    return this.#get("/v1/dead-letters", query, signal);
  }

  deadLetter(offset: string, signal?: Signal): Promise<DeadLetter> {
    return this.#get(`/v1/dead-letters/${encodeURIComponent(offset)}`, {}, signal);
  }

  replay(offset: number, edited: Edited): Promise<Published> {
    return this.#post(`/v1/dead-letters/${offset}/replay`, {}, edited);
  }

  async discard(offset: number): Promise<void> {
    await this.#do({ method: "DELETE", path: `/v1/dead-letters/${offset}` });
  }

  /** Replays or purges what the filters leave; goes on with the answer's cursor. */
  many(what: "replay" | "purge", query: Query, signal?: Signal): Promise<ManyDone> {
    const path = `/v1/dead-letters/${what}`;
    return this.#requester.json({ method: "POST", path, query, signal });
  }

  scheduled(query: Query, signal?: Signal): Promise<ScheduledPage> {
    return this.#get("/v1/scheduled", query, signal);
  }

  async cancel(id: string): Promise<ScheduledRow> {
    const path = `/v1/scheduled/${encodeURIComponent(id)}`;
    return this.#requester.json({ method: "DELETE", path });
  }

  story(id: string, signal?: Signal): Promise<Story> {
    return this.#get(`/v1/messages/${encodeURIComponent(id)}`, {}, signal);
  }

  disconnects(query: Query, signal?: Signal): Promise<DisconnectList> {
    return this.#get("/v1/disconnects", query, signal);
  }

  configuration(signal?: Signal): Promise<{ config: Configuration }> {
    return this.#get("/v1/config", {}, signal);
  }

  #get<Answer>(path: string, query: Query, signal: Signal): Promise<Answer> {
    return this.#requester.json({ path, query, signal });
  }

  #post<Answer>(path: string, query: Query, body: unknown): Promise<Answer> {
    return this.#requester.json({ method: "POST", path, query, body });
  }

  async #do(wanted: Wanted): Promise<void> {
    await this.#requester.answer(wanted);
  }
}
