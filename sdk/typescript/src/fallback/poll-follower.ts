/** Follows topics by long polls of `/v1/history`, where something holds streams back. */

import type { HistoryBody, WirePosition } from "../frames.ts";
import { historyOf } from "./bodies.ts";
import type { FollowedTopic } from "./followed-topic.ts";
import type { Follower, FollowerEvents } from "./follower.ts";
import { pause } from "./pause.ts";
import type { Outcome, Parameters } from "./requests.ts";
import { judge } from "./verdict.ts";

/** Requests at once: browsers open six connections to a server, and others need some. */
const POLLS_MAX = 2;
/** How long the server waits for a message: shorter than proxies wait for an answer. */
const WAIT_MS = 25_000;
/** The same once something in between did not wait that long. */
const SHORT_WAIT_MS = 5000;
/** The same where topics take turns. */
const TURN_MS = 500;
/** As many as the server gives at once: a topic that lags waits for few turns. */
const PAGE_MESSAGES = 500;
/** A page that has a reason why it is not what was asked for, by the code it is refused with. */
const resetReasons: Readonly<Record<string, string>> = {
  epoch_changed: "epoch_changed",
  offset_ahead: "ahead_of_head",
  trimmed: "trimmed",
};

/** A page of history, and where the next one begins. */
type Page = HistoryBody & { readonly cursor?: string };

export class PollFollower implements Follower {
  readonly #events: FollowerEvents;
  /** In the order of their turns. */
  readonly #topics = new Map<string, FollowedTopic>();
  readonly #inHand = new Set<string>();
  readonly #cursors = new Map<string, string>();
  #round = new AbortController();
  #isClosed = false;
  #failures = 0;
  #waitMs = WAIT_MS;

  constructor(events: FollowerEvents) {
    this.#events = events;
  }

  add(topic: FollowedTopic): void {
    this.#topics.set(topic.topic, topic);
    this.#restart();
  }

  remove(topic: string): void {
    if (this.#topics.delete(topic)) {
      this.#cursors.delete(topic);
      this.#restart();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#topics.clear();
    this.#round.abort();
  }

  /** A poll that waits would keep a topic that has just come waiting. */
  #restart(): void {
    this.#round.abort();
    this.#round = new AbortController();
    this.#inHand.clear();
    for (let count = 0; count < POLLS_MAX; count++) {
      void this.#work(this.#round.signal);
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    // Changes that come together restart once.
    await Promise.resolve();
    while (!signal.aborted && !this.#isClosed) {
      const topic = [...this.#topics.values()].find((one) => !this.#inHand.has(one.topic));
      if (topic === undefined) {
        return;
      }
      this.#inHand.add(topic.topic);
      const token = this.#events.requests.token;
      const outcome = await this.#poll(topic, signal);
      if (signal.aborted) {
        return;
      }
      this.#inHand.delete(topic.topic);
      if (this.#topics.delete(topic.topic)) {
        this.#topics.set(topic.topic, topic);
      }
      if (outcome.kind === "answered") {
        this.#failures = 0;
      } else if (!(await this.#goOn(topic, outcome, token, signal))) {
        return;
      }
    }
  }

  /** Whether to go on after a failure. */
  async #goOn(
    topic: FollowedTopic,
    outcome: Outcome & { kind: "refused" | "unreachable" },
    token: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const hasFresherToken = token !== this.#events.requests.token;
    const failures = this.#failures++;
    if (outcome.kind === "unreachable") {
      this.#waitMs = SHORT_WAIT_MS;
    }
    const verdict = judge(outcome, { failures, hasFresherToken, random: Math.random() });
    if (verdict.kind === "lost") {
      this.#events.lost(verdict.lost);
      return false;
    }
    if (verdict.kind === "refused") {
      this.#topics.delete(topic.topic);
      this.#events.refused(topic, verdict.error);
      return true;
    }
    await pause(verdict.kind === "again" ? verdict.afterMs : 0, signal);
    return true;
  }

  async #poll(topic: FollowedTopic, signal: AbortSignal): Promise<Outcome> {
    const { after, from } = topic.start;
    if (after === undefined) {
      return this.#begin(topic, from ?? "new", undefined, signal);
    }
    const hasBegun = topic.place !== undefined;
    const wait = this.#topics.size > POLLS_MAX ? TURN_MS : this.#waitMs;
    const cursor = this.#cursors.get(topic.topic);
    const outcome = await this.#page(topic.topic, signal, {
      ...(cursor === undefined ? { after: `${after.epoch}:${after.offset}` } : { cursor }),
      limit: PAGE_MESSAGES,
      wait_ms: hasBegun ? wait : undefined,
    });
    if (outcome.kind === "refused") {
      const reason = resetReasons[outcome.error.code];
      return reason === undefined ? outcome : this.#begin(topic, "first", reason, signal);
    }
    if (outcome.kind === "answered" && !signal.aborted) {
      this.#tell(topic, pageOf(outcome.body), after);
    }
    return outcome;
  }

  /** Begins where the topic stands now, not after a place that was shown. */
  async #begin(
    topic: FollowedTopic,
    from: "new" | "first" | "last",
    reason: string | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    this.#cursors.delete(topic.topic);
    const outcome = await this.#page(topic.topic, signal, { limit: 1 });
    if (outcome.kind === "answered" && !signal.aborted) {
      const { epoch, offset, first } = pageOf(outcome.body);
      const kept = Math.max(offset - first + 1, 0);
      const pending = from === "new" ? 0 : from === "first" ? kept : Math.min(kept, 1);
      this.#events.say(topic.began({ epoch, offset, first, pending }, reason));
    }
    return outcome;
  }

  #page(topic: string, signal: AbortSignal, parameters: Parameters): Promise<Outcome> {
    const timeoutMs = WAIT_MS + 15_000;
    const ask = { path: "history", parameters: { topic, ...parameters }, signal, timeoutMs };
    return this.#events.requests.ask(ask);
  }

  #tell(topic: FollowedTopic, page: Page, after: WirePosition): void {
    const { epoch, offset, first, recovered, messages } = page;
    const isTrimmed = !recovered && after.offset + 1 < first;
    const reason = recovered ? undefined : isTrimmed ? "trimmed" : "damaged";
    const next = isTrimmed ? first : (messages[0]?.offset ?? offset + 1);
    const place = reason === undefined ? after.offset : next - 1;
    if (topic.place === undefined || reason !== undefined) {
      const pending = Math.max(offset - place, 0);
      this.#events.say(topic.began({ epoch, offset, first, pending }, reason));
    }
    for (const message of messages) {
      this.#events.say(topic.took(message));
    }
    if (page.cursor !== undefined) {
      this.#cursors.set(topic.topic, page.cursor);
    }
  }
}

function pageOf(body: unknown): Page {
  // The body is that of the protocol's version that the address names.
  const page = body as Page;
  return { ...historyOf(page), ...(page.cursor === undefined ? {} : { cursor: page.cursor }) };
}
