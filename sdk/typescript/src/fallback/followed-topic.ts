/** One topic that is followed, and what the core is told of it, whichever way its messages come. */

import type { MessageBody, ResetBody, ServerFrame, WirePosition } from "../frames.ts";

/** Where to start. */
export interface Start {
  readonly after?: WirePosition | undefined;
  readonly from?: "new" | "first" | "last" | undefined;
}

/** Where a topic stands, as the server says when a stream begins. */
export interface Standing extends WirePosition {
  readonly first: number;
  /** Messages from where the stream begins to the last one. */
  readonly pending: number;
}

/** A topic with its place: what was told up to there is not told again. */
export class FollowedTopic {
  readonly topic: string;
  /** The request to answer once it has begun. */
  readonly id: number | undefined;
  readonly #start: Start;
  #place: WirePosition | undefined;

  constructor(topic: string, id: number | undefined, start: Start) {
    this.topic = topic;
    this.id = id;
    this.#start = start;
  }

  /** After the last message that was told; nothing before it has begun. */
  get place(): WirePosition | undefined {
    return this.#place;
  }

  /** Where to go on from. */
  get start(): Start {
    return this.#place === undefined ? this.#start : { after: this.#place };
  }

  /** It begins, or begins anew after an interruption. `reason` says why messages are missing. */
  began(at: Standing, reason: string | undefined): ServerFrame[] {
    const { epoch, offset, first, pending } = at;
    const isFirst = this.#place === undefined;
    this.#place = { epoch, offset: offset - pending };
    const sub = this.topic;
    if (isFirst) {
      const recovered = reason === undefined;
      const why = recovered ? {} : { reason };
      const body = { sub, epoch, offset, first, recovered, ...why, pending };
      return [{ kind: "subscribed", id: this.id, body }];
    }
    if (reason === undefined) {
      return [];
    }
    const next = this.#place.offset + 1;
    return [{ kind: "reset", body: { sub, topic: sub, reason, epoch, first: next, offset } }];
  }

  /** A message came. Those that were told before are left out. */
  took(message: MessageBody): ServerFrame[] {
    if (this.#place === undefined || message.offset <= this.#place.offset) {
      return [];
    }
    this.#place = { epoch: this.#place.epoch, offset: message.offset };
    return [{ kind: "message", body: message }];
  }

  /** Messages are missing; it goes on with the first that is left. */
  wasReset(reset: ResetBody): ServerFrame[] {
    this.#place = { epoch: reset.epoch, offset: reset.first - 1 };
    return [{ kind: "reset", body: reset }];
  }

  /** Whether everything up to a place was told. */
  hasReached(target: WirePosition): boolean {
    const place = this.#place;
    return place?.epoch === target.epoch && place.offset >= target.offset;
  }
}
