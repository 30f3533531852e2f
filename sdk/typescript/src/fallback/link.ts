/**
 * A link that speaks frames to the core and HTTP to the server. The core notices no difference but
 * that durable and shared subscriptions, and filters with wildcards, are refused for now.
 */

import type {
  ClientBodies,
  ClientFrame,
  ErrorBody,
  HistoryBody,
  ServerBodies,
  ServerFrame,
} from "../frames.ts";
import type { Link, LinkEvents } from "../transport.ts";
import { historyOf } from "./bodies.ts";
import { FollowedTopic } from "./followed-topic.ts";
import type { Follower, FollowerEvents } from "./follower.ts";
import { PollFollower } from "./poll-follower.ts";
import { Publishing } from "./publishing.ts";
import type { Outcome, Parameters, Requests } from "./requests.ts";
import type { Patience } from "./stream.ts";
import { StreamFollower, TOPICS_MAX } from "./stream-follower.ts";
import { claimsOf } from "./token.ts";
import { judge, type Lost, lost } from "./verdict.ts";

/** How a link is opened. */
export interface LinkOptions {
  readonly requests: Requests;
  readonly patience: Patience;
  /** Whether streams are held back here, as links before this one found. */
  readonly streams: { areHeldBack: boolean };
  readonly presenceIntervalMs: number;
}

/** What a link over HTTP may do; what a message may have is for the server to say. */
const LIMITS = {
  message_bytes: 4_194_304,
  frame_bytes: 67_108_864,
  subscriptions: TOPICS_MAX,
  window: 1024,
  publishes_in_flight: 1024,
};
/** After so much silence, and ten seconds, the core asks whether anybody is there. */
const PING_MS = 25_000;

export class FallbackLink implements Link, FollowerEvents {
  readonly requests: Requests;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #publishing: Publishing;
  readonly #topics = new Map<string, FollowedTopic>();
  /** Topics of which somebody wants to know who comes and goes. */
  readonly #watched = new Set<string>();
  readonly #stop = new AbortController();
  #follower: Follower | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: LinkOptions, events: LinkEvents) {
    this.requests = options.requests;
    this.#options = options;
    this.#events = events;
    const failed = (outcome: Outcome & { kind: "refused" | "unreachable" }) => this.#fail(outcome);
    const say = (frames: readonly ServerFrame[]) => this.say(frames);
    this.#publishing = new Publishing({ requests: options.requests, say, failed });
    queueMicrotask(() => this.#isOpen() && events.opened());
  }

  get unsentBytes(): number {
    return this.#publishing.unsentBytes;
  }

  send(frames: readonly ClientFrame[]): void {
    for (const frame of frames) {
      if (this.#isOpen()) {
        this.#take(frame);
      }
    }
  }

  /** Nothing is heard of it from here on. What is on its way to the server gets there. */
  close(): void {
    this.#stop.abort();
    this.#follower?.close();
    this.#publishing.close();
    clearInterval(this.#watch);
  }

  say(frames: readonly ServerFrame[]): void {
    if (frames.length > 0 && this.#isOpen()) {
      this.#events.frames(frames);
    }
  }

  lost({ code, reason, goaway }: Lost): void {
    if (!this.#isOpen()) {
      return;
    }
    if (goaway !== undefined) {
      this.say([goaway]);
    }
    this.close();
    this.#events.closed(code, reason);
  }

  refused(topic: FollowedTopic, error: ErrorBody): void {
    this.#forget(topic.topic);
    if (topic.place === undefined) {
      this.say([{ kind: "error", id: topic.id, body: error }]);
    } else {
      this.say([{ kind: "unsubscribed", body: { sub: topic.topic, reason: "forbidden" } }]);
    }
  }

  heldBack(): void {
    this.#options.streams.areHeldBack = true;
    this.#follower?.close();
    this.#follower = new PollFollower(this);
    for (const topic of this.#topics.values()) {
      this.#follower.add(topic);
    }
  }

  #isOpen(): boolean {
    return !this.#stop.signal.aborted;
  }

  #take(frame: ClientFrame): void {
    const { id } = frame;
    switch (frame.kind) {
      case "connect":
        void this.#connect(id, frame.body);
        return;
      case "refresh":
        void this.#refresh(id, frame.body.token);
        return;
      case "publish":
        this.#publishing.add(id, frame.body);
        return;
      case "subscribe":
        this.#subscribe(id, frame.body);
        return;
      case "unsubscribe":
        this.#unsubscribe(id, frame.body.sub);
        return;
      case "history": {
        const { after, ...others } = frame.body;
        const place = after && `${after.epoch}:${after.offset}`;
        void this.#ask(id, "history", { ...others, after: place });
        return;
      }
      case "presence":
        void this.#ask(id, "presence", { topic: frame.body.topic });
        return;
      case "ping":
        void this.#pong(id);
        return;
      case "pong":
        return;
      default:
        // Nothing here is subscribed in a way that takes answers.
        this.#refuse(id, "not_subscribed", `\`${frame.body.sub}\` takes no acks over HTTP`);
    }
  }

  async #connect(id: number | undefined, body: ClientBodies["connect"]): Promise<void> {
    this.requests.token = body.token;
    const outcome = await this.#whoAmI(body.token);
    if (outcome.kind === "answered") {
      const { user = "", expiresAt } = claimsOf(body.token);
      const connected = {
        // Nobody takes it up here, and the next WebSocket does.
        session: body.session ?? "",
        user,
        client: body.client ?? "",
        node: "",
        resumed: false,
        ping_ms: PING_MS,
        ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
        limits: LIMITS,
      };
      this.say([{ kind: "connected", id, body: connected }]);
      return;
    }
    if (outcome.kind === "refused") {
      this.say([{ kind: "error", id, body: outcome.error }]);
    }
    this.#fail(outcome);
  }

  async #refresh(id: number | undefined, token: string): Promise<void> {
    const { user, expiresAt } = claimsOf(token);
    if (user !== claimsOf(this.requests.token).user) {
      this.#refuse(id, "unauthenticated", "the fresh token is another user's");
      return;
    }
    const outcome = await this.#whoAmI(token);
    if (outcome.kind === "answered") {
      this.requests.token = token;
      const body = expiresAt === undefined ? {} : { expires_at: expiresAt };
      this.say([{ kind: "refreshed", id, body }]);
    } else if (outcome.kind === "refused") {
      this.say([{ kind: "error", id, body: outcome.error }]);
    } else {
      this.#fail(outcome);
    }
  }

  /** The cheapest request that shows the token: the user's own schedule. */
  #whoAmI(token = this.requests.token): Promise<Outcome> {
    const { signal } = this.#stop;
    return this.requests.ask({ path: "scheduled", parameters: { limit: 1 }, token, signal });
  }

  #subscribe(id: number | undefined, body: ClientBodies["subscribe"]): void {
    const { topic } = body;
    if (topic === undefined || body.durable !== undefined || body.group !== undefined) {
      const what =
        topic === undefined ? "filters with wildcards" : "durable and shared subscriptions";
      const why = `${what} need a WebSocket, which cannot be opened here now`;
      this.#refuse(id, "unsupported", why, true);
    } else if (this.#topics.has(topic)) {
      this.#refuse(id, "already_subscribed", `\`${topic}\` is subscribed already`);
    } else if (this.#topics.size >= TOPICS_MAX) {
      const why = `over HTTP at most ${TOPICS_MAX} topics can be followed: unsubscribe from others`;
      this.#refuse(id, "limit_reached", why, true);
    } else {
      const followed = new FollowedTopic(topic, id, { after: body.after, from: body.from });
      this.#topics.set(topic, followed);
      this.#follower ??= this.#options.streams.areHeldBack
        ? new PollFollower(this)
        : new StreamFollower(this, this.#options.patience);
      this.#follower.add(followed);
      if (body.presence === true) {
        this.#watchPresence(topic);
      }
    }
  }

  /** Streams do not say who comes and goes, so the core is told to ask anew from time to time. */
  #watchPresence(topic: string): void {
    this.#watched.add(topic);
    this.#watch ??= setInterval(() => {
      for (const one of this.#watched) {
        const body = { topic: one, joined: [], left: [], reset: true };
        this.say([{ kind: "presence", body }]);
      }
    }, this.#options.presenceIntervalMs);
  }

  #unsubscribe(id: number | undefined, sub: string): void {
    if (this.#topics.has(sub)) {
      this.#forget(sub);
      this.say([{ kind: "unsubscribed", id, body: { sub } }]);
    } else {
      this.#refuse(id, "not_subscribed", `\`${sub}\` is not subscribed`);
    }
  }

  #forget(topic: string): void {
    this.#topics.delete(topic);
    this.#watched.delete(topic);
    this.#follower?.remove(topic);
  }

  async #ask(id: number | undefined, path: "history" | "presence", parameters: Parameters) {
    const outcome = await this.requests.ask({ path, parameters, signal: this.#stop.signal });
    if (outcome.kind === "refused") {
      this.say([{ kind: "error", id, body: outcome.error }]);
    } else if (outcome.kind === "unreachable") {
      this.#fail(outcome);
    } else if (path === "history") {
      // Both bodies are those of the protocol's version that the address names.
      const body = historyOf(outcome.body as HistoryBody);
      this.say([{ kind: "history", id, body }]);
    } else {
      this.say([{ kind: "present", id, body: outcome.body as ServerBodies["present"] }]);
    }
  }

  async #pong(id: number | undefined): Promise<void> {
    const outcome = await this.#whoAmI();
    if (outcome.kind === "answered") {
      this.say([{ kind: "pong", id, body: {} }]);
    } else {
      this.#fail(outcome);
    }
  }

  #refuse(id: number | undefined, code: string, message: string, temporary = false): void {
    this.say([{ kind: "error", id, body: { code, message, temporary } }]);
  }

  /** A request that is not tried again here: the core comes back, and sends what was not answered. */
  #fail(outcome: Outcome & { kind: "refused" | "unreachable" }): void {
    if (outcome.kind === "unreachable") {
      this.lost({ code: 1006, reason: outcome.why });
      return;
    }
    const circumstances = { failures: Number.MAX_SAFE_INTEGER, hasFresherToken: false, random: 0 };
    const verdict = judge(outcome, circumstances);
    this.lost(verdict.kind === "lost" ? verdict.lost : lost(4000, outcome.error.code).lost);
  }
}
