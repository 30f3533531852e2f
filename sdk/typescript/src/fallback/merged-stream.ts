/** One stream of up to sixteen topics that have begun. It resumes where it broke off. */

import type { WirePosition } from "../frames.ts";
import type { FollowedTopic } from "./followed-topic.ts";
import type { FollowerEvents } from "./follower.ts";
import { pause } from "./pause.ts";
import { type Patience, readStream, type Said } from "./stream.ts";
import { judge } from "./verdict.ts";

/** Most topics of a stream, as the server has it. */
export const STREAM_TOPICS_MAX = 16;
/** Topics that come and go within this time change the stream once. */
const GATHER_MS = 30;

/** What the stream asks of those who catch up beside it. */
export interface Beside {
  /** Whether a topic is told by another stream; then `aim` hears what this one leaves to it. */
  has(topic: string): boolean;
  aim(topic: string, target: WirePosition): void;
  /** This stream goes on after `target`, if it is open, and the topic's place is another. */
  add(topic: FollowedTopic, target?: WirePosition): void;
}

export class MergedStream {
  readonly #events: FollowerEvents;
  readonly #patience: Patience;
  readonly #beside: Beside;
  readonly #topics = new Map<string, FollowedTopic>();
  /** The life of each topic's log, as the stream that is open has it. */
  readonly #epochs = new Map<string, string>();
  readonly #closed = new AbortController();
  #lastEventId: string | undefined;
  #change: AbortController | undefined;
  #failures = 0;

  constructor(events: FollowerEvents, patience: Patience, beside: Beside) {
    this.#events = events;
    this.#patience = patience;
    this.#beside = beside;
  }

  get hasRoom(): boolean {
    return this.#topics.size < STREAM_TOPICS_MAX;
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  add(topic: FollowedTopic): void {
    this.#topics.set(topic.topic, topic);
    this.#changed();
  }

  remove(topic: string): void {
    if (this.#topics.delete(topic)) {
      this.#changed();
    }
  }

  close(): void {
    this.#topics.clear();
    this.#closed.abort();
    this.#change?.abort();
  }

  #changed(): void {
    // A place in the stream is one in exactly these topics.
    this.#lastEventId = undefined;
    this.#change?.abort();
    const change = new AbortController();
    this.#change = change;
    void pause(GATHER_MS, change.signal).then(() => this.#run(change.signal));
  }

  /** Keeps the stream open until the topics change. */
  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#closed.signal.aborted && this.#topics.size > 0) {
      const { requests } = this.#events;
      const token = requests.token;
      const topics = [...this.#topics.keys()];
      const lastEventId = this.#lastEventId;
      const isFresh = lastEventId === undefined;
      const onSaid = (said: Said, id: string | undefined) => this.#hear(said, id, isFresh);
      const ask = { topics, lastEventId, signal, onSaid };
      const end = await readStream(requests, ask, this.#patience);
      const hasFresherToken = token !== requests.token;
      const random = Math.random();
      const verdict = judge(end, { failures: this.#failures, hasFresherToken, random });
      this.#failures += 1;
      switch (verdict.kind) {
        case "stopped":
          return;
        case "lost":
          return this.#events.lost(verdict.lost);
        case "heldBack":
          return this.#events.heldBack();
        case "refused":
          return this.#giveBack();
        case "again":
          await pause(verdict.afterMs, signal);
      }
    }
  }

  /** Some topic may not be followed any more: each is asked for by itself, which tells which. */
  #giveBack(): void {
    const topics = [...this.#topics.values()];
    this.#topics.clear();
    this.#lastEventId = undefined;
    for (const topic of topics) {
      if (!this.#beside.has(topic.topic)) {
        this.#beside.add(topic);
      }
    }
  }

  #hear(said: Said, id: string | undefined, isFresh: boolean): void {
    this.#lastEventId = id ?? this.#lastEventId;
    if (said.kind === "ready") {
      this.#failures = 0;
      for (const { topic, epoch, offset } of said.topics) {
        this.#epochs.set(topic, epoch);
        if (isFresh) {
          this.#begin(topic, { epoch, offset });
        }
      }
      return;
    }
    const topic = this.#topics.get(said.body.topic);
    if (topic === undefined) {
      return;
    }
    if (said.kind === "reset") {
      const { epoch, first } = said.body;
      this.#epochs.set(topic.topic, epoch);
      if (this.#beside.has(topic.topic)) {
        this.#beside.aim(topic.topic, { epoch, offset: first - 1 });
      } else {
        this.#events.say(topic.wasReset(said.body));
      }
      return;
    }
    const epoch = this.#epochs.get(topic.topic) ?? "";
    if (this.#beside.has(topic.topic)) {
      this.#beside.aim(topic.topic, { epoch, offset: said.body.offset });
    } else {
      this.#events.say(topic.took(said.body));
    }
  }

  #begin(name: string, target: WirePosition): void {
    const topic = this.#topics.get(name);
    const place = topic?.place;
    if (topic === undefined) {
      return;
    }
    if (this.#beside.has(name)) {
      this.#beside.aim(name, target);
    } else if (place?.epoch !== target.epoch || place.offset !== target.offset) {
      // Before it as a rule; behind it only in another log, which the other stream is told.
      this.#beside.add(topic, target);
    }
  }
}
