/** What ways to follow topics have in common. */

import type { ErrorBody, ServerFrame } from "../frames.ts";
import type { FollowedTopic } from "./followed-topic.ts";
import type { Requests } from "./requests.ts";
import type { Lost } from "./verdict.ts";

/** Follows topics in one way, until it is closed. */
export interface Follower {
  add(topic: FollowedTopic): void;
  remove(topic: string): void;
  close(): void;
}

/** What a follower tells, and asks with. */
export interface FollowerEvents {
  readonly requests: Requests;
  say(frames: readonly ServerFrame[]): void;
  /** The server does not let this topic be followed (any more). */
  refused(topic: FollowedTopic, error: ErrorBody): void;
  lost(lost: Lost): void;
  /** Streams do not come through. */
  heldBack(): void;
}
