/**
 * Brings topics to where the merged stream is: each by a stream of its own, which is opened at the
 * topic's place, closed once it has told everything that the merged one did not, and tells what the
 * server answers to the subscription.
 */

import type { WirePosition } from "../frames.ts";
import type { FollowedTopic, Start } from "./followed-topic.ts";
import type { FollowerEvents } from "./follower.ts";
import { pause } from "./pause.ts";
import type { Parameters } from "./requests.ts";
import { type Patience, readStream, type Said } from "./stream.ts";
import { judge } from "./verdict.ts";

/** Streams at once: browsers open six connections to a server, and others need some. */
const OPEN_MAX = 2;
/** A stream that has nothing to tell for this long makes room for a topic that waits. */
const TURN_MS = 2000;

/** A topic on its way. */
interface Entry {
  readonly topic: FollowedTopic;
  /** What the merged stream leaves to this one ends here; it does not yet leave anything if absent. */
  target: WirePosition | undefined;
  /** The stream that is open. */
  stop: AbortController | undefined;
  heardAt: number;
  failures: number;
}

export class CatchUps {
  readonly #events: FollowerEvents;
  readonly #patience: Patience;
  readonly #began: (topic: FollowedTopic) => void;
  /** In the order of their turns. */
  readonly #entries = new Map<string, Entry>();
  readonly #closed = new AbortController();
  #isTurnDue = false;

  constructor(events: FollowerEvents, patience: Patience, began: (topic: FollowedTopic) => void) {
    this.#events = events;
    this.#patience = patience;
    this.#began = began;
  }

  add(topic: FollowedTopic, target?: WirePosition): void {
    const entry = { topic, target, stop: undefined, heardAt: Date.now(), failures: 0 };
    this.#entries.set(topic.topic, entry);
    this.#fill();
  }

  has(topic: string): boolean {
    return this.#entries.has(topic);
  }

  remove(topic: string): void {
    const entry = this.#entries.get(topic);
    this.#entries.delete(topic);
    entry?.stop?.abort();
    this.#fill();
  }

  /** The merged stream has the topic, and left out what is up to `target`. */
  aim(topic: string, target: WirePosition): void {
    const entry = this.#entries.get(topic);
    if (entry !== undefined) {
      entry.target = target;
      this.#check(entry);
    }
  }

  close(): void {
    this.#closed.abort();
    for (const topic of [...this.#entries.keys()]) {
      this.remove(topic);
    }
  }

  #check(entry: Entry): void {
    if (entry.target !== undefined && entry.topic.hasReached(entry.target)) {
      this.remove(entry.topic.topic);
    }
  }

  #fill(): void {
    if (this.#closed.signal.aborted) {
      return;
    }
    const all = [...this.#entries.values()];
    const waiting = all.filter((entry) => entry.stop === undefined);
    const room = OPEN_MAX - (all.length - waiting.length);
    for (const entry of waiting.slice(0, Math.max(room, 0))) {
      void this.#run(entry);
    }
    if (waiting.length > room && !this.#isTurnDue) {
      this.#isTurnDue = true;
      void pause(TURN_MS, this.#closed.signal).then(() => this.#takeTurns());
    }
  }

  /** Those that wait for messages that may never come let others go first. */
  #takeTurns(): void {
    this.#isTurnDue = false;
    const isQuiet = (entry: Entry) => Date.now() - entry.heardAt >= TURN_MS;
    for (const entry of [...this.#entries.values()].filter((one) => one.stop && isQuiet(one))) {
      entry.stop?.abort();
      this.#entries.delete(entry.topic.topic);
      this.#entries.set(entry.topic.topic, { ...entry, stop: undefined });
    }
    this.#fill();
  }

  async #run(entry: Entry): Promise<void> {
    const stop = new AbortController();
    entry.stop = stop;
    entry.heardAt = Date.now();
    const { requests } = this.#events;
    const token = requests.token;
    const hear = this.#hearer(entry);
    const ask = {
      topics: [entry.topic.topic],
      parameters: parametersOf(entry.topic.start),
      signal: stop.signal,
      onSaid: hear,
    };
    const end = await readStream(requests, ask, this.#patience);
    const hasFresherToken = token !== requests.token;
    const { failures } = entry;
    const verdict = judge(end, { failures, hasFresherToken, random: Math.random() });
    switch (verdict.kind) {
      case "stopped":
        return;
      case "lost":
        return this.#events.lost(verdict.lost);
      case "heldBack":
        return this.#events.heldBack();
      case "refused":
        this.remove(entry.topic.topic);
        return this.#events.refused(entry.topic, verdict.error);
      case "again":
        entry.failures += 1;
        await pause(verdict.afterMs, stop.signal);
        if (!stop.signal.aborted) {
          await this.#run(entry);
        }
    }
  }

  #hearer(entry: Entry): (said: Said) => void {
    let reason: string | undefined;
    let isReady = false;
    return (said) => {
      entry.heardAt = Date.now();
      if (said.kind === "ready") {
        isReady = true;
        entry.failures = 0;
        const [at] = said.topics;
        if (at !== undefined) {
          this.#events.say(entry.topic.began(at, reason));
          this.#began(entry.topic);
        }
      } else if (said.kind === "message") {
        this.#events.say(entry.topic.took(said.body));
      } else if (isReady) {
        this.#events.say(entry.topic.wasReset(said.body));
      } else {
        reason = said.body.reason;
      }
      this.#check(entry);
    };
  }
}

function parametersOf({ after, from }: Start): Parameters {
  return { after: after && `${after.epoch}:${after.offset}`, from: after ? undefined : from };
}
