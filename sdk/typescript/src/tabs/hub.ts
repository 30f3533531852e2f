/**
 * One link to the server that guests have together: gives requests ids of its own, brings each
 * reply to who asked, and each message to who subscribed. It decides nothing about delivery.
 */

import { claimsOf } from "../fallback/token.ts";
import { matches } from "../filter.ts";
import type {
  ClientBodies,
  ClientFrame,
  ConnectedBody,
  MessageBody,
  ServerBodies,
  ServerFrame,
} from "../frames.ts";
import type { Link, LinkEvents, Transport } from "../transport.ts";
import { type Guest, refuse, withId } from "./guest.ts";
import { JointSubscription } from "./joint-subscription.ts";

/** Links at once: more tabs than anybody has open. */
const GUESTS_MAX = 200;

/** Opens the link to the server. */
export type OpenReal = (events: LinkEvents) => { readonly link: Link; via: () => Transport["via"] };

/** A guest that waits for the answer to its `connect`. */
interface Waiting {
  readonly guest: Guest;
  readonly id: number | undefined;
  readonly token: string | undefined;
}

/** Who the link is connected as. */
type Greeting =
  | { readonly kind: "none" }
  | { readonly kind: "asked"; readonly waiting: Waiting[] }
  | {
      readonly kind: "connected";
      readonly token: string | undefined;
      readonly body: ConnectedBody;
    };

/** A subscription that the server started by itself. */
interface Announced {
  readonly body: ServerBodies["subscribed"];
  /** Who does not want it. */
  readonly declined: Set<Guest>;
}

/** The link to the server, and what is known of it. */
interface Real {
  readonly link: Link;
  readonly via: () => Transport["via"];
  isOpen: boolean;
  greeting: Greeting;
  readonly answers: Map<number, (reply: ServerFrame) => void>;
  readonly subscriptions: Map<string, JointSubscription>;
  readonly announced: Map<string, Announced>;
}

export class Hub {
  readonly #open: OpenReal;
  readonly #guests = new Set<Guest>();
  #real: Real | undefined;
  #lastId = 0;

  constructor(open: OpenReal) {
    this.#open = open;
  }

  /** A guest wants a link; the first one has the server's opened. */
  enter(guest: Guest): void {
    if (this.#guests.size >= GUESTS_MAX) {
      guest.closed(4403, "overloaded");
      return;
    }
    this.#guests.add(guest);
    if (this.#real === undefined) {
      this.#begin();
    } else if (this.#real.isOpen) {
      guest.opened(this.#real.via());
    }
  }

  leave(guest: Guest): void {
    if (!this.#guests.delete(guest) || this.#real === undefined) {
      return;
    }
    for (const subscription of [...this.#real.subscriptions.values()]) {
      subscription.leave(guest);
    }
    if (this.#guests.size === 0) {
      const { link } = this.#real;
      this.#real = undefined;
      link.close(1000);
      return;
    }
    for (const sub of [...this.#real.announced.keys()]) {
      this.#decline(this.#real, sub);
    }
  }

  /** Sends everybody away, to come back at once. */
  shut(): void {
    const link = this.#real?.link;
    this.#tellAll({ kind: "goaway", body: { reason: "draining", retry_after_ms: 0 } });
    this.#over(4402, "draining");
    link?.close(1000);
  }

  #begin(): void {
    let real: Real | undefined;
    const isCurrent = () => real !== undefined && this.#real === real;
    const events: LinkEvents = {
      opened: () => {
        if (real !== undefined && isCurrent()) {
          real.isOpen = true;
          for (const guest of [...this.#guests]) {
            guest.opened(real.via());
          }
        }
      },
      frames: (frames) => {
        for (const frame of frames) {
          if (real !== undefined && isCurrent()) {
            this.#hear(real, frame);
          }
        }
      },
      closed: (code, reason) => {
        if (isCurrent()) {
          this.#over(code, reason);
        }
      },
    };
    try {
      real = {
        ...this.#open(events),
        isOpen: false,
        greeting: { kind: "none" },
        answers: new Map(),
        subscriptions: new Map(),
        announced: new Map(),
      };
      this.#real = real;
    } catch (error) {
      this.#over(1006, String(error));
    }
  }

  #over(code: number, reason: string): void {
    const guests = [...this.#guests];
    this.#guests.clear();
    this.#real = undefined;
    for (const guest of guests) {
      guest.closed(code, reason);
    }
  }

  #tellAll(frame: ServerFrame): void {
    for (const guest of [...this.#guests]) {
      guest.frames([frame]);
    }
  }

  #ask<Kind extends keyof ClientBodies>(
    real: Real,
    kind: Kind,
    body: ClientBodies[Kind],
    answer: (reply: ServerFrame) => void,
  ): void {
    this.#lastId = (this.#lastId % 0xffffffff) + 1;
    real.answers.set(this.#lastId, answer);
    // The kind and the body fit together: the signature says so.
    real.link.send([{ kind, id: this.#lastId, body } as ClientFrame]);
  }

  // What guests say.

  hear(guest: Guest, frames: readonly ClientFrame[]): void {
    const sent: ClientFrame[] = [];
    for (const frame of frames) {
      if (this.#real === undefined || !this.#guests.has(guest)) {
        return;
      }
      this.#take(this.#real, guest, frame, sent);
    }
    if (sent.length > 0) {
      this.#real?.link.send(sent);
    }
  }

  #take(real: Real, guest: Guest, frame: ClientFrame, sent: ClientFrame[]): void {
    switch (frame.kind) {
      case "connect":
        this.#connect(real, guest, frame.id, frame.body);
        return;
      case "pong":
        return;
      case "subscribe":
        this.#flush(real, sent);
        this.#subscribe(real, guest, frame.id, frame.body);
        return;
      case "unsubscribe":
        this.#flush(real, sent);
        this.#unsubscribe(real, guest, frame.id, frame.body.sub);
        return;
      case "ack": {
        const acks = real.subscriptions.get(frame.body.sub)?.acks(guest, frame.body) ?? [];
        for (const [index, body] of acks.entries()) {
          const isLast = index === acks.length - 1;
          sent.push(this.#pass(real, guest, { ...frame, id: isLast ? frame.id : undefined, body }));
        }
        if (acks.length === 0 && frame.id !== undefined) {
          guest.frames([{ kind: "settled", id: frame.id, body: { count: 0 } }]);
        }
        return;
      }
      case "nack": {
        const { sub, topic, offset } = frame.body;
        real.subscriptions.get(sub)?.nacked(guest, topic, offset);
        sent.push(this.#pass(real, guest, frame));
        return;
      }
      default:
        sent.push(this.#pass(real, guest, frame));
    }
  }

  /** What was said before goes first. */
  #flush(real: Real, sent: ClientFrame[]): void {
    if (sent.length > 0) {
      real.link.send(sent.splice(0));
    }
  }

  /** The frame under an id of the hub's, whose reply goes to the guest under its own. */
  #pass(real: Real, guest: Guest, frame: ClientFrame): ClientFrame {
    const { id } = frame;
    if (id === undefined) {
      return frame;
    }
    this.#lastId = (this.#lastId % 0xffffffff) + 1;
    real.answers.set(this.#lastId, (reply) => {
      if (reply.kind === "refreshed" && real.greeting.kind === "connected") {
        const body = { ...real.greeting.body, ...reply.body };
        real.greeting = { ...real.greeting, body };
      }
      this.#say(guest, withId(reply, id));
    });
    return { ...frame, id: this.#lastId };
  }

  #say(guest: Guest, frame: ServerFrame): void {
    if (this.#guests.has(guest)) {
      guest.frames([frame]);
    }
  }

  #connect(real: Real, guest: Guest, id: number | undefined, body: ClientBodies["connect"]): void {
    const waiting = { guest, id, token: body.token };
    switch (real.greeting.kind) {
      case "connected":
        this.#greet(real, real.greeting, waiting);
        return;
      case "asked":
        real.greeting.waiting.push(waiting);
        return;
      case "none":
        real.greeting = { kind: "asked", waiting: [waiting] };
        this.#ask(real, "connect", body, (reply) => this.#greeted(real, body.token, reply));
    }
  }

  #greeted(real: Real, token: string | undefined, reply: ServerFrame): void {
    const waiting = real.greeting.kind === "asked" ? real.greeting.waiting : [];
    if (reply.kind !== "connected") {
      // The server closes behind it, and everybody hears with which code.
      for (const { guest, id } of waiting) {
        this.#say(guest, withId(reply, id));
      }
      return;
    }
    const greeting = { kind: "connected", token, body: reply.body } as const;
    real.greeting = greeting;
    for (const one of waiting) {
      this.#greet(real, greeting, one);
    }
  }

  #greet(real: Real, greeting: Greeting & { kind: "connected" }, waiting: Waiting): void {
    const { guest, id, token } = waiting;
    if (claimsOf(token).user !== claimsOf(greeting.token).user) {
      const words =
        "another user is signed in in another tab: give each user a `storageName` of their own";
      refuse(guest, id, "permission_denied", words);
      return;
    }
    this.#say(guest, { kind: "connected", id, body: greeting.body });
    for (const { body } of real.announced.values()) {
      this.#say(guest, { kind: "subscribed", body });
    }
  }

  #subscribe(
    real: Real,
    guest: Guest,
    id: number | undefined,
    body: ClientBodies["subscribe"],
  ): void {
    const sub = body.topic ?? body.filter ?? "";
    const other = overlapping(real.subscriptions.values(), sub, body);
    if (other !== undefined) {
      const words = `"${sub}" overlaps with "${other}" in another tab, and one of them is durable: use a second client`;
      refuse(guest, id, "overlaps", words);
      return;
    }
    let joint = real.subscriptions.get(sub);
    if (joint === undefined) {
      const created = new JointSubscription(
        sub,
        body,
        (kind, asked, answer) => this.#ask(real, kind, asked, answer),
        () => real.subscriptions.get(sub) === created && real.subscriptions.delete(sub),
      );
      joint = created;
      real.subscriptions.set(sub, joint);
    }
    joint.join(guest, id, body);
  }

  #unsubscribe(real: Real, guest: Guest, id: number | undefined, sub: string): void {
    const joint = real.subscriptions.get(sub);
    const announced = real.announced.get(sub);
    if (joint?.has(guest) === true) {
      joint.leave(guest);
    } else if (announced !== undefined) {
      announced.declined.add(guest);
      this.#decline(real, sub);
    } else {
      refuse(guest, id, "not_subscribed", `\`${sub}\` is not subscribed`);
      return;
    }
    this.#say(guest, { kind: "unsubscribed", id, body: { sub } });
  }

  /** A subscription of the server's ends once nobody wants it. */
  #decline(real: Real, sub: string): void {
    const announced = real.announced.get(sub);
    const isWanted = [...this.#guests].some((guest) => announced?.declined.has(guest) === false);
    if (announced !== undefined && !isWanted && !real.subscriptions.has(sub)) {
      real.announced.delete(sub);
      this.#ask(real, "unsubscribe", { sub }, () => {});
    }
  }

  // What the server says.

  #hear(real: Real, frame: ServerFrame): void {
    const answer = frame.id === undefined ? undefined : real.answers.get(frame.id);
    if (frame.id !== undefined && answer !== undefined) {
      real.answers.delete(frame.id);
      answer(frame);
      return;
    }
    switch (frame.kind) {
      case "ping":
        real.link.send([{ kind: "pong", body: {} }]);
        break;
      case "message":
        this.#message(real, frame.body);
        break;
      case "reset":
        real.subscriptions.get(frame.body.sub)?.reset(frame.body);
        break;
      case "presence":
        real.subscriptions.get(frame.body.topic)?.tell(frame);
        break;
      case "unsubscribed":
        real.subscriptions.get(frame.body.sub)?.endedByServer(frame);
        break;
      case "subscribed":
        real.announced.set(frame.body.sub, { body: frame.body, declined: new Set() });
        this.#tellAll(frame);
        break;
      case "goaway":
      case "error":
        this.#tellAll(frame);
        break;
      default:
      // A reply that nobody waits for any more.
    }
  }

  #message(real: Real, body: MessageBody): void {
    const takers = new Set<Guest>();
    for (const [sub, joint] of real.subscriptions) {
      const isMeant =
        body.sub === undefined ? !joint.isGroup && matches(sub, body.topic) : body.sub === sub;
      for (const guest of isMeant ? joint.takers(body) : []) {
        takers.add(guest);
      }
    }
    for (const guest of takers) {
      guest.frames([{ kind: "message", body }]);
    }
  }
}

/** What a live and a durable subscription must not do: nothing in a message says which of them it is for. */
function overlapping(
  all: Iterable<JointSubscription>,
  sub: string,
  { durable, group }: ClientBodies["subscribe"],
): string | undefined {
  const isLive = durable === undefined;
  const other = [...all].find(
    (one) =>
      group === undefined &&
      !one.isGroup &&
      one.isLive !== isLive &&
      one.sub !== sub &&
      (matches(one.sub, sub) || matches(sub, one.sub)),
  );
  return other?.sub;
}
