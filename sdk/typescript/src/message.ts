/** Messages as the application gets them. */

import type { MessageBody } from "./frames.ts";
import { REASON_BYTES_MAX } from "./limits.ts";
import type { Held } from "./place.ts";
import type { Delivery, Json, Message, Position } from "./types.ts";

/** A message of a history. */
export function messageOf(body: MessageBody): Message {
  const { topic, offset, id, data, content_type, headers, from, at, attempt, order_key } = body;
  return {
    topic,
    offset,
    id,
    data,
    headers: headers ?? {},
    at,
    attempt: attempt ?? 1,
    ...(content_type === undefined ? {} : { contentType: content_type }),
    ...(from === undefined ? {} : { from }),
    ...(order_key === undefined ? {} : { orderKey: order_key }),
  };
}

/** The application's answer to a delivery. */
export type Verdict =
  | { readonly kind: "acked" }
  /** Acked because the application went on: on live subscriptions this moves the kept place. */
  | { readonly kind: "finished" }
  | {
      readonly kind: "nacked";
      readonly delayMs: number | undefined;
      readonly reason: string | undefined;
    }
  | { readonly kind: "givenUp"; readonly reason: string | undefined }
  | { readonly kind: "extended"; readonly byMs: number };

/** A text of at most so many bytes as a reason of a nack may have. */
function shortened(reason: string | undefined): string | undefined {
  if (reason === undefined) {
    return reason;
  }
  const bytes = new TextEncoder().encode(reason);
  // What a cut leaves of the last character is not kept.
  return bytes.length <= REASON_BYTES_MAX
    ? reason
    : new TextDecoder().decode(bytes.slice(0, REASON_BYTES_MAX), { stream: true });
}

/** A message in the application's hands. It answers once; what is said after that does nothing. */
export class HandedDelivery implements Delivery {
  declare readonly topic: string;
  declare readonly offset: number;
  declare readonly id: string;
  declare readonly data: Json | Uint8Array;
  declare readonly headers: Readonly<Record<string, string>>;
  declare readonly at: number;
  declare readonly attempt: number;
  declare readonly contentType?: string;
  declare readonly from?: string;
  declare readonly orderKey?: string;
  declare readonly position?: Position;
  readonly #held: Held;
  readonly #answer: (held: Held, verdict: Verdict) => void;
  #isAnswered = false;

  constructor(
    body: MessageBody,
    epoch: string | undefined,
    answer: (held: Held, verdict: Verdict) => void,
  ) {
    const { topic, offset, id } = body;
    Object.assign(this, messageOf(body), epoch && { position: { epoch, offset } });
    this.#held = { topic, offset, id, epoch };
    this.#answer = answer;
  }

  /** Whether the application has answered. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  ack(): void {
    this.#settle({ kind: "acked" });
  }

  nack({ delayMs, reason }: { readonly delayMs?: number; readonly reason?: string } = {}): void {
    this.#settle({ kind: "nacked", delayMs, reason: shortened(reason) });
  }

  giveUp(reason?: string): void {
    this.#settle({ kind: "givenUp", reason: shortened(reason) });
  }

  extend(byMs: number): void {
    if (!this.#isAnswered) {
      this.#answer(this.#held, { kind: "extended", byMs });
    }
  }

  /** The application went on to the next one. */
  finish(): void {
    this.#settle({ kind: "finished" });
  }

  #settle(verdict: Verdict): void {
    if (!this.#isAnswered) {
      this.#isAnswered = true;
      this.#answer(this.#held, verdict);
    }
  }
}
