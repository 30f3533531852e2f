/** What a shared subscription has received, and what the application has done with it. */

import type { MessageBody, ResetBody, SubscribeBody, SubscribedBody } from "./frames.ts";
import { DONE_REMEMBERED_MAX } from "./limits.ts";
import { dropOldest } from "./oldest.ts";
import { type Acks, acksOf, type Held, keepsTheLog, type Place, type Target } from "./place.ts";

interface Item {
  holding: "held" | "givenUp";
  /** Absent once the delivery that brought it is no longer this member's to answer. */
  target: Target | undefined;
}

/**
 * The members of a group hold scattered offsets of many topics, whose epochs nobody tells them. So
 * messages are known by their ids, acks are given singly, and an answer goes to the server only
 * over the connection that brought the message: anywhere else the same offset may be another one.
 */
export class SharedLedger implements Place {
  readonly canResume = true;
  readonly #from: "new" | "first" | "last";
  readonly #items = new Map<string, Item>();
  /** What was acked, in that order: the server may not have heard of the last ones. */
  readonly #done = new Set<string>();
  readonly #acks = new Map<string, Set<number>>();
  #epoch: string | undefined;

  constructor(from: "new" | "first" | "last") {
    this.#from = from;
  }

  get epoch(): string | undefined {
    return this.#epoch;
  }

  start(): Pick<SubscribeBody, "after" | "from"> {
    return { from: this.#from };
  }

  subscribed({ epoch }: SubscribedBody): void {
    this.#epoch = epoch;
  }

  reset({ topic, epoch, reason }: ResetBody): void {
    if (this.#epoch !== undefined) {
      this.#epoch = epoch;
    }
    if (!keepsTheLog(reason)) {
      this.#acks.delete(topic);
      this.#forgetTargets((target) => target.topic === topic);
    }
  }

  disconnected(): void {
    this.#acks.clear();
    this.#forgetTargets(() => true);
  }

  #forgetTargets(isGone: (target: Target) => boolean): void {
    for (const [id, item] of this.#items) {
      if (item.target !== undefined && isGone(item.target)) {
        item.target = undefined;
        // Whether the server heard of a giving up is not known; it tells by sending again.
        if (item.holding === "givenUp") {
          this.#items.delete(id);
        }
      }
    }
  }

  received({ id, topic, offset }: MessageBody): boolean {
    const item = this.#items.get(id);
    if (item !== undefined) {
      item.target = { topic, offset };
      return false;
    }
    if (this.#done.has(id)) {
      this.#ack({ topic, offset });
      return false;
    }
    this.#items.set(id, { holding: "held", target: { topic, offset } });
    return true;
  }

  missed(): void {}

  lastOffset(): undefined {
    return undefined;
  }

  acked({ id }: Held): void {
    const item = this.#take(id);
    if (item === undefined) {
      return;
    }
    this.#done.add(id);
    dropOldest(this.#done, DONE_REMEMBERED_MAX);
    if (item.target !== undefined) {
      this.#ack(item.target);
    }
  }

  released({ id }: Held): Target | undefined {
    return this.#take(id)?.target;
  }

  givenUp({ id }: Held): Target | undefined {
    const target = this.#take(id)?.target;
    if (target !== undefined) {
      this.#items.set(id, { holding: "givenUp", target });
    }
    return target;
  }

  giveUpAnswered({ id }: Held): void {
    if (this.#items.get(id)?.holding === "givenUp") {
      this.#items.delete(id);
    }
  }

  target({ id }: Held): Target | undefined {
    const item = this.#items.get(id);
    return item?.holding === "held" ? item.target : undefined;
  }

  takeAcks(): Acks[] {
    const acks: Acks[] = [];
    for (const [topic, offsets] of this.#acks) {
      acks.push(...acksOf(topic, [...offsets]));
    }
    this.#acks.clear();
    return acks;
  }

  #ack({ topic, offset }: Target): void {
    const offsets = this.#acks.get(topic) ?? new Set();
    this.#acks.set(topic, offsets.add(offset));
  }

  /** Takes what the application holds. */
  #take(id: string): Item | undefined {
    const item = this.#items.get(id);
    if (item?.holding !== "held") {
      return undefined;
    }
    this.#items.delete(id);
    return item;
  }
}
