/** Publishes: takes messages in, keeps them, sends them, and tells how it went. */

import { Alarm } from "./alarm.ts";
import { jsonBytes, snapshot } from "./data.ts";
import { aborted, serverError, TidingsError, unexpected } from "./errors.ts";
import type { PublishBody, ServerFrame, WireLimits } from "./frames.ts";
import type { Keep } from "./keep.ts";
import { MESSAGE_OVERHEAD_BYTES, UNSENT_BYTES_MAX, UNSENT_LOOK_MS } from "./limits.ts";
import type { Line } from "./line.ts";
import { type Entry, Outbox, type OutboxBounds } from "./outbox.ts";
import { randomName } from "./random.ts";
import type {
  ClientEvents,
  Json,
  Publication,
  Published,
  PublishOptions,
  Scheduled,
  Waiting,
} from "./types.ts";

/** Where entries are kept: by client, and in their order. */
export const OUTBOX_PREFIX = "outbox/";

/** The name of what is kept of an entry. */
export function nameOf({ instance, sequence }: Entry): string {
  return `${OUTBOX_PREFIX}${instance}/${String(sequence).padStart(17, "0")}`;
}

/** What publishing tells. */
export interface PublishingEvents {
  /** More or fewer wait. */
  changed(): void;
  /** One that an earlier client left. */
  published(event: ClientEvents["published"]): void;
  refused(event: ClientEvents["refused"]): void;
}

/** Who waits for an answer. */
interface Ticket {
  readonly resolve: (result: Published | Scheduled) => void;
  readonly reject: (error: TidingsError) => void;
}

/** Everything about publishing, from `publish` to its answer. */
export class Publishing {
  readonly #outbox: Outbox;
  readonly #instance: string;
  readonly #events: PublishingEvents;
  readonly #tickets = new Map<Entry, Ticket>();
  readonly #alarm = new Alarm();
  readonly #drained = new Set<() => void>();
  #keep: Keep | undefined;
  #line: Line | undefined;

  constructor(bounds: OutboxBounds, instance: string, events: PublishingEvents) {
    this.#outbox = new Outbox(bounds);
    this.#instance = instance;
    this.#events = events;
  }

  get size(): number {
    return this.#outbox.size;
  }

  list(): Waiting[] {
    return this.#outbox.list().map(({ body: { key, topic, data }, since }) => ({
      key,
      topic,
      data,
      since,
    }));
  }

  publish(topic: string, data: Json | Uint8Array, options: PublishOptions): Publication {
    const { key = randomName(), signal } = options;
    let entry: Entry | undefined;
    const promise = this.#promise(key, topic, (ticket) => {
      entry = this.#entry(key, topic, data, options);
      this.#add(entry, ticket);
      this.#keep?.put(nameOf(entry), entry);
    });
    const abort = () => entry && this.#abort(entry, signal);
    signal?.addEventListener("abort", abort);
    const deafen = () => signal?.removeEventListener("abort", abort);
    promise.then(deafen, deafen);
    return Object.assign(promise, { key });
  }

  #promise(key: string, topic: string, begin: (ticket: Ticket) => void) {
    const promise = new Promise<Published | Scheduled>((resolve, reject) =>
      begin({ resolve, reject }),
    );
    // The event tells who does not wait for it, so a rejection is no unhandled one.
    promise.catch((error: TidingsError) => {
      if (error.code !== "aborted" && error.code !== "closed") {
        this.#events.refused({ key, topic, error });
      }
    });
    return promise;
  }

  /** Throws what is wrong with it. */
  #entry(key: string, topic: string, data: Json | Uint8Array, options: PublishOptions): Entry {
    if (options.signal?.aborted === true) {
      throw aborted(options.signal);
    }
    const { headers, contentType, orderKey, ttlMs, deliverAt } = options;
    const deliver_at = deliverAt === undefined ? undefined : Number(deliverAt);
    mustBeWhole("ttlMs", ttlMs);
    mustBeWhole("deliverAt", deliver_at);
    const copy = snapshot(data);
    const body: PublishBody & { readonly key: string } = {
      topic,
      data: copy.data,
      key,
      headers: headers && { ...headers },
      content_type: contentType,
      order_key: orderKey,
      ttl_ms: ttlMs,
      deliver_at,
    };
    const bytes = copy.frameBytes + jsonBytes({ ...body, data: null }) + MESSAGE_OVERHEAD_BYTES;
    const refusal = this.#outbox.refusal(bytes);
    if (refusal !== undefined) {
      throw refusal;
    }
    const now = Date.now();
    const sequence = this.#outbox.nextSequence(now);
    return { sequence, instance: this.#instance, body, bytes, dataBytes: copy.bytes, since: now };
  }

  /** Takes over what an earlier client left. */
  adopt(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { key, topic } = entry.body;
      this.#promise(key, topic, (ticket) => this.#add(entry, ticket)).then(
        (result) => this.#events.published({ key, topic, result }),
        () => {},
      );
    }
  }

  /** From now on what waits is kept. */
  attach(keep: Keep): void {
    this.#keep = keep;
    for (const entry of this.#outbox.list()) {
      keep.put(nameOf(entry), entry);
    }
  }

  connected(line: Line): void {
    this.#line = line;
    this.#send();
  }

  /** Nothing new leaves on this connection. Answers may still come. */
  goingAway(): void {
    this.#line = undefined;
  }

  disconnected(): void {
    this.#line = undefined;
    this.#alarm.clear();
    this.#outbox.disconnected();
  }

  /** Resolves when nothing waits. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.size === 0) {
        resolve();
      } else {
        this.#drained.add(resolve);
      }
    });
  }

  /** The end: whoever waits hears it. What is kept stays for the next client. */
  close(): void {
    this.disconnected();
    const tickets = [...this.#tickets.values()];
    this.#tickets.clear();
    for (const { reject } of tickets) {
      const words = "the client was closed before the server answered; the message may be kept";
      reject(new TidingsError("closed", words, { temporary: true }));
    }
  }

  #add(entry: Entry, ticket: Ticket): void {
    this.#tickets.set(entry, ticket);
    this.#outbox.add(entry);
    this.#send();
    this.#events.changed();
  }

  #abort(entry: Entry, signal: AbortSignal | undefined): void {
    const ticket = this.#tickets.get(entry);
    this.#tickets.delete(entry);
    if (this.#outbox.takeBack(entry)) {
      this.#gone(entry);
    }
    ticket?.reject(aborted(signal));
  }

  #send(): void {
    const line = this.#line;
    const limits = line?.limits;
    if (line === undefined || limits === undefined) {
      return;
    }
    const now = Date.now();
    let next = this.#outbox.next(now, limits.publishes_in_flight);
    while (next !== undefined && line.unsentBytes < UNSENT_BYTES_MAX) {
      const entry = next;
      const error = tooLarge(entry, limits);
      if (error === undefined) {
        this.#outbox.sent(entry);
        line.ask(
          { kind: "publish", body: entry.body },
          (reply) => this.#answered(entry, reply),
          entry.bytes,
        );
      } else {
        this.#settled(entry)?.reject(error);
      }
      next = this.#outbox.next(now, limits.publishes_in_flight);
    }
    const at = next === undefined ? this.#outbox.deadline(now) : now + UNSENT_LOOK_MS;
    if (at !== undefined && !this.#alarm.isSet) {
      this.#alarm.set(at, () => this.#send());
    }
  }

  #answered(entry: Entry, reply: ServerFrame | undefined): void {
    if (reply === undefined) {
      // The connection is gone: it is sent again on the next one.
      return;
    }
    switch (reply.kind) {
      case "published":
        this.#settled(entry)?.resolve(reply.body);
        break;
      case "scheduled": {
        const { id, deliver_at, duplicate } = reply.body;
        this.#settled(entry)?.resolve({ id, deliverAt: deliver_at, duplicate });
        break;
      }
      case "error": {
        const error = serverError(reply.body);
        if (error.temporary) {
          this.#outbox.retry(entry, Date.now(), error.retryAfterMs, Math.random());
        } else {
          this.#settled(entry)?.reject(error);
        }
        break;
      }
      default:
        this.#settled(entry)?.reject(unexpected(reply));
    }
    this.#send();
  }

  /** It is done with: whoever waits, unless the application has aborted it. */
  #settled(entry: Entry): Ticket | undefined {
    this.#outbox.settled(entry);
    const ticket = this.#tickets.get(entry);
    this.#tickets.delete(entry);
    this.#gone(entry);
    return ticket;
  }

  #gone(entry: Entry): void {
    this.#keep?.put(nameOf(entry), undefined);
    this.#events.changed();
    if (this.size === 0) {
      for (const drained of this.#drained) {
        drained();
      }
      this.#drained.clear();
    }
  }
}

/** Sent all the same, an oversized frame would cost the connection, and again after each reconnect. */
function tooLarge({ dataBytes, bytes }: Entry, limits: WireLimits): TidingsError | undefined {
  const [has, most] =
    dataBytes > limits.message_bytes
      ? [dataBytes, limits.message_bytes]
      : [bytes, limits.frame_bytes];
  const words = `the message has ${has} bytes, and the server takes at most ${most}: publish a link to it`;
  return has > most ? new TidingsError("too_large", words) : undefined;
}

/** A date that is none would leave as nothing at all, and the message at once. */
function mustBeWhole(name: string, value: number | undefined): void {
  if (value !== undefined && (!Number.isSafeInteger(value) || value < 0)) {
    throw new TidingsError("bad_option", `\`${name}\` is ${value}: give whole milliseconds`);
  }
}
