/** What the kinds of subscriptions have in common: each remembers where it is. */

import type { MessageBody, ResetBody, SubscribeBody, SubscribedBody } from "./frames.ts";
import { ACK_OFFSETS_MAX } from "./limits.ts";

/** A message in the application's hands, as its place knows it. */
export interface Held {
  readonly topic: string;
  readonly offset: number;
  readonly id: string;
  /** The life of the log it came from, where the server has told it. */
  readonly epoch: string | undefined;
}

/** Where the server takes an answer. */
export interface Target {
  readonly topic: string;
  readonly offset: number;
}

/** Acks of one topic: up to `offset`, or exactly `offsets`. */
export type Acks =
  | { readonly topic: string; readonly offset: number }
  | { readonly topic: string; readonly offsets: readonly number[] };

/** Remembers where a subscription is, and takes the application's answers. */
export interface Place {
  /** The life of the log, if there is one and the server has told it. */
  readonly epoch: string | undefined;
  /** Whether it can be left and taken up again with nothing missing. */
  readonly canResume: boolean;
  /** Where the next subscribe starts. */
  start(): Pick<SubscribeBody, "after" | "from">;
  /** The server has told where it stands. */
  subscribed(body: SubscribedBody): void;
  /** The server has told that messages are missing. */
  reset(body: ResetBody): void;
  disconnected(): void;
  /** A message came: whether the application gets it. It does not get what it has or is done with. */
  received(message: MessageBody): boolean;
  /** A message came that cannot be kept: it has to come again, if it can. */
  missed(message: MessageBody): void;
  /** The last offset received of this topic, where those that follow show whether some are missing. */
  lastOffset(topic: string): number | undefined;
  /** The application is done with it. */
  acked(held: Held): void;
  /** The application gave it back. Where to tell the server, if it takes an answer. */
  released(held: Held): Target | undefined;
  /** The application will never take it. Where to tell the server. */
  givenUp(held: Held): Target | undefined;
  /** The server's answer to that: taken, or the message will come again. */
  giveUpAnswered(held: Held, taken: boolean): void;
  /** Where the server takes an answer to something in the application's hands. */
  target(held: Held): Target | undefined;
  /** The acks that are due. */
  takeAcks(): Acks[];
}

/** Acks of exactly these, as many at a time as a frame may have. */
export function acksOf(topic: string, offsets: readonly number[]): Acks[] {
  const acks: Acks[] = [];
  for (let at = 0; at < offsets.length; at += ACK_OFFSETS_MAX) {
    acks.push({ topic, offsets: offsets.slice(at, at + ACK_OFFSETS_MAX) });
  }
  return acks;
}

/** Whether offsets mean after such a reset what they meant before. */
export function keepsTheLog(reason: string | undefined): boolean {
  return reason === "trimmed" || reason === "skipped" || reason === "damaged";
}
