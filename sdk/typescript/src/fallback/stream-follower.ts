/** Follows topics by event streams: few merged ones, and one for each topic that catches up. */

import { CatchUps } from "./catch-up.ts";
import type { FollowedTopic } from "./followed-topic.ts";
import type { Follower, FollowerEvents } from "./follower.ts";
import { MergedStream, STREAM_TOPICS_MAX } from "./merged-stream.ts";
import type { Patience } from "./stream.ts";

/** Merged streams: with those that catch up four of the six connections that browsers open. */
const STREAMS_MAX = 2;

/** Most topics that are followed at once. */
export const TOPICS_MAX = STREAMS_MAX * STREAM_TOPICS_MAX;

export class StreamFollower implements Follower {
  readonly #catchUps: CatchUps;
  readonly #streams: readonly MergedStream[];

  constructor(events: FollowerEvents, patience: Patience) {
    this.#catchUps = new CatchUps(events, patience, (topic) => this.#began(topic));
    const beside = this.#catchUps;
    this.#streams = Array.from(
      { length: STREAMS_MAX },
      () => new MergedStream(events, patience, beside),
    );
  }

  add(topic: FollowedTopic): void {
    this.#catchUps.add(topic);
  }

  remove(topic: string): void {
    this.#catchUps.remove(topic);
    for (const stream of this.#streams) {
      stream.remove(topic);
    }
  }

  close(): void {
    this.#catchUps.close();
    for (const stream of this.#streams) {
      stream.close();
    }
  }

  /** The server has taken the topic: the stream beside may have it, too. */
  #began(topic: FollowedTopic): void {
    if (!this.#streams.some((stream) => stream.has(topic.topic))) {
      this.#streams.find((stream) => stream.hasRoom)?.add(topic);
    }
  }
}
