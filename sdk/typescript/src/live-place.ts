/** Where a live subscription is: the client remembers, so that the server need not. */

import type { MessageBody, ResetBody, SubscribeBody, SubscribedBody } from "./frames.ts";
import { WILDCARD_TOPICS_MAX } from "./limits.ts";
import { dropOldest } from "./oldest.ts";
import type { Acks, Held, Place, Target } from "./place.ts";
import type { Position } from "./types.ts";

/** What live subscriptions of either kind do not do. */
abstract class Unanswered {
  released(): Target | undefined {
    return undefined;
  }
  givenUp(): Target | undefined {
    return undefined;
  }
  giveUpAnswered(): void {}
  target(): Target | undefined {
    return undefined;
  }
  takeAcks(): Acks[] {
    return [];
  }
}

/** A position without what else an application's object may have: the server refuses unknown fields. */
export function bare({ epoch, offset }: Position): Position {
  return { epoch, offset };
}

/** The place in one topic. */
export class TopicPlace extends Unanswered implements Place {
  readonly canResume = true;
  /** The last position received: where a new connection goes on. */
  #last: Position | undefined;
  /** The last position that the application is done with: where a new page goes on. */
  #done: Position | undefined;
  readonly #from: "new" | "first" | "last";

  constructor(from: "new" | "first" | "last", after: Position | undefined) {
    super();
    this.#from = from;
    this.#last = after && bare(after);
  }

  get epoch(): string | undefined {
    return this.#last?.epoch;
  }

  /** Where an earlier page was; counts if nothing else was asked for. */
  goOnFrom(kept: Position): void {
    this.#last ??= bare(kept);
    this.#done ??= this.#last;
  }

  /** What to keep. */
  get done(): Position | undefined {
    return this.#done;
  }

  start(): Pick<SubscribeBody, "after" | "from"> {
    return this.#last === undefined ? { from: this.#from } : { after: this.#last };
  }

  subscribed(body: SubscribedBody): void {
    const { epoch, offset = 0, first = 1, recovered } = body;
    if (epoch === undefined) {
      return;
    }
    let at = first - 1;
    if (this.#last !== undefined) {
      at = recovered === true ? this.#last.offset : at;
    } else if (this.#from === "new") {
      at = offset;
    } else if (this.#from === "last") {
      at = Math.max(offset, first) - 1;
    }
    this.#moveTo({ epoch, offset: at });
  }

  reset(body: ResetBody): void {
    this.#moveTo({ epoch: body.epoch, offset: body.first - 1 });
  }

  disconnected(): void {}

  received({ offset }: MessageBody): boolean {
    // Offset 0 has no place in a log: always new.
    if (offset === 0 || this.#last === undefined) {
      return true;
    }
    const isNew = offset > this.#last.offset;
    if (isNew) {
      this.#last = { epoch: this.#last.epoch, offset };
    }
    return isNew;
  }

  missed(): void {}

  lastOffset(): number | undefined {
    return this.#last?.offset;
  }

  acked({ epoch, offset }: Held): void {
    if (this.#done !== undefined && epoch === this.#done.epoch && offset > this.#done.offset) {
      this.#done = { epoch, offset };
    }
  }

  #moveTo(position: Position): void {
    this.#last = position;
    if (this.#done?.epoch !== position.epoch) {
      this.#done = position;
    }
  }
}

/**
 * The places in the topics of a filter with wildcards: enough to recognise what another
 * subscription of the same connection brings again, and no more. Offsets of an earlier connection
 * say nothing, since messages do not show the life of their log.
 */
export class WildcardPlace extends Unanswered implements Place {
  readonly canResume = false;
  readonly epoch = undefined;
  readonly #seen = new Map<string, number>();

  start(): Pick<SubscribeBody, "after" | "from"> {
    return { from: "new" };
  }

  subscribed(): void {}

  reset({ topic }: ResetBody): void {
    this.#seen.delete(topic);
  }

  disconnected(): void {
    this.#seen.clear();
  }

  received({ topic, offset }: MessageBody): boolean {
    const last = this.#seen.get(topic);
    if (offset > 0 && last !== undefined && offset <= last) {
      return false;
    }
    this.#saw(topic, offset);
    return true;
  }

  missed({ topic, offset }: MessageBody): void {
    if (!this.#seen.has(topic)) {
      this.#saw(topic, offset - 1);
    }
  }

  lastOffset(topic: string): number | undefined {
    return this.#seen.get(topic);
  }

  acked(): void {}

  #saw(topic: string, offset: number): void {
    // Moved to the end, so that the topic that was quiet for longest goes when there are too many.
    this.#seen.delete(topic);
    this.#seen.set(topic, offset);
    dropOldest(this.#seen, WILDCARD_TOPICS_MAX);
  }
}
