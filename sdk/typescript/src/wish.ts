/** What an application asks for when it subscribes, with everything that it left open filled in. */

import { TidingsError } from "./errors.ts";
import { hasWildcards } from "./filter.ts";
import type { SubscribeBody } from "./frames.ts";
import { Ledger } from "./ledger.ts";
import { QUEUE_DEFAULT, SHARED_WINDOW_DEFAULT, WINDOW_DEFAULT, WINDOW_MAX } from "./limits.ts";
import { TopicPlace, WildcardPlace } from "./live-place.ts";
import type { Place } from "./place.ts";
import { SharedLedger } from "./shared-ledger.ts";
import type { Delivery, Position, SubscribeOptions } from "./types.ts";

/** A subscription as it is asked for. */
export interface Wish {
  readonly sub: string;
  readonly kind: "live" | "durable" | "shared";
  readonly hasWildcards: boolean;
  /** The frame, without where to start. */
  readonly body: SubscribeBody;
  readonly from: "new" | "first" | "last";
  readonly after: Position | undefined;
  /** Most messages that wait for the application. */
  readonly queue: number;
  /** Most unacked messages. */
  readonly window: number;
  /** Whether going on to the next message acks the one before. */
  readonly isAcked: boolean;
  /** Whether the place is kept over reloads. */
  readonly isKept: boolean;
  readonly onDelivery: ((delivery: Delivery) => void | Promise<void>) | undefined;
}

function atLeastOne(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) {
    return fallback;
  }
  if (!Number.isInteger(value) || value < 1) {
    throw new TidingsError("bad_option", `${name} is ${value}: give a whole number from 1`);
  }
  return value;
}

/** Fills in what was left open; throws what cannot be. */
export function wishOf(sub: string, options: SubscribeOptions): Wish {
  const isWild = hasWildcards(sub);
  const queue = atLeastOne("queue", options.queue, QUEUE_DEFAULT);
  const named = {
    ...(isWild ? { filter: sub } : { topic: sub }),
    ...("presence" in options && options.presence === true ? { presence: true } : {}),
  };
  const open = { sub, hasWildcards: isWild, onDelivery: options.onDelivery };
  if ("durable" in options || "group" in options) {
    const isAcked = options.ack !== "manual";
    const usual = isAcked && "group" in options ? SHARED_WINDOW_DEFAULT : WINDOW_DEFAULT;
    const asked = atLeastOne("window", options.window, usual);
    // The window is the bound of the queue.
    const window = Math.min(asked, queue, WINDOW_MAX);
    const how = "durable" in options ? { durable: options.durable } : { group: options.group };
    return {
      ...open,
      kind: "durable" in options ? "durable" : "shared",
      body: { ...named, ...how, window },
      from: options.from ?? "first",
      after: undefined,
      // Where it shares messages with others of this connection, more than a window may come.
      queue: Math.max(queue, 2 * window),
      window,
      isAcked,
      isKept: false,
    };
  }
  return {
    ...open,
    kind: "live",
    body: named,
    from: options.from ?? "new",
    after: options.after,
    queue,
    window: queue,
    isAcked: true,
    isKept: !isWild && options.remember !== false,
  };
}

/** The place of such a subscription. */
export function placeOf(wish: Wish): Place {
  switch (wish.kind) {
    case "durable":
      return new Ledger(wish.sub, wish.from);
    case "shared":
      return new SharedLedger(wish.from);
    case "live":
      return wish.hasWildcards ? new WildcardPlace() : new TopicPlace(wish.from, wish.after);
  }
}
