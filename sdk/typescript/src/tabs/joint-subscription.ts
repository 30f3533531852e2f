/**
 * A subscription that guests have together. The server sees one; each guest sees its own, from
 * where it asked for. A guest that wants what has gone by already has the server start again there,
 * and the others are spared what they have had.
 */

import { hasWildcards } from "../filter.ts";
import type {
  AckBody,
  ClientBodies,
  MessageBody,
  ResetBody,
  ServerFrame,
  SubscribeBody,
  SubscribedBody,
  WirePosition,
} from "../frames.ts";
import { type Guest, habitOf, refuse } from "./guest.ts";
import { headOf, joiningOf } from "./joining.ts";
import { Membership } from "./membership.ts";

/** Asks the server. */
export type Ask = <Kind extends keyof ClientBodies>(
  kind: Kind,
  body: ClientBodies[Kind],
  answer: (reply: ServerFrame) => void,
) => void;

/** Most offsets in one ack. */
const ACK_OFFSETS_MAX = 1024;

export class JointSubscription {
  readonly sub: string;
  readonly #habit: string;
  readonly #ask: Ask;
  readonly #ended: () => void;
  readonly #members = new Map<Guest, Membership>();
  /** Those to be answered, one after the other. */
  #line: Membership[] = [];
  #phase: "idle" | "asking" | "over" = "idle";
  /** What the server said last, while it has the subscription. */
  #standing: SubscribedBody | undefined;
  /** For whom the server was asked how far the log goes. */
  #looked: Membership | undefined;
  /** Live ones: the last message that came. */
  #place: WirePosition | undefined;

  constructor(sub: string, body: SubscribeBody, ask: Ask, ended: () => void) {
    this.sub = sub;
    this.#habit = habitOf(body);
    this.#ask = ask;
    this.#ended = ended;
  }

  get isLive(): boolean {
    return this.#habit === "live";
  }

  get isGroup(): boolean {
    return this.#habit.startsWith("group");
  }

  get #isDurable(): boolean {
    return this.#habit.startsWith("durable");
  }

  has(guest: Guest): boolean {
    return this.#members.has(guest);
  }

  join(guest: Guest, id: number | undefined, body: SubscribeBody): void {
    const habit = habitOf(body);
    if (habit !== this.#habit || this.#members.has(guest)) {
      const words = `\`${this.sub}\` is subscribed already, ${this.#habit}: ask for the same, or wait for its end`;
      refuse(guest, id, "already_subscribed", words);
      return;
    }
    const member = new Membership(guest, id, body);
    this.#members.set(guest, member);
    this.#line.push(member);
    this.#next();
  }

  /** Of a durable one the others have what it had in its hands; of a group another gets it. */
  leave(guest: Guest): void {
    const member = this.#members.get(guest);
    this.#members.delete(guest);
    this.#line = this.#line.filter((one) => one !== member);
    if (member === undefined || this.#phase === "over") {
      return;
    }
    if (this.#members.size === 0) {
      this.#end();
    } else if (this.isGroup) {
      for (const { topic, offset } of member.upThrough(Number.POSITIVE_INFINITY)) {
        this.#ask("nack", { sub: this.sub, topic, offset, delay_ms: 0 }, () => {});
      }
    }
  }

  #end(): void {
    // Behind a subscribe that is on its way: the server reads frames in order.
    if (this.#standing !== undefined || this.#phase === "asking") {
      this.#ask("unsubscribe", { sub: this.sub }, () => {});
    }
    this.#phase = "over";
    this.#ended();
  }

  #next(): void {
    const [member] = this.#line;
    const standing = this.#standing;
    if (member === undefined || this.#phase !== "idle") {
      return;
    }
    if (standing === undefined) {
      this.#start(member, this.#bodyOf(member.body));
    } else if (this.#isDurable) {
      // What the others have in their hands comes for it, too.
      this.#restart(member, {});
    } else if (this.isLive) {
      this.#joinLive(member, standing);
    } else {
      this.#answer(member, { ...standing, pending: 0 });
    }
  }

  #joinLive(member: Membership, standing: SubscribedBody): void {
    const place = this.#place;
    const joining = joiningOf(member.body, standing, place, this.#looked === member);
    this.#looked = undefined;
    if (joining.kind === "look") {
      this.#looked = member;
      this.#restart(undefined, place === undefined ? {} : { after: place });
    } else if (joining.kind === "restart") {
      this.#restart(member, joining.start);
    } else if (this.#addsPresence(member)) {
      this.#restart(member, place === undefined ? {} : { after: place });
    } else {
      const { upTo, pending } = joining;
      member.upTo = upTo;
      const { reason: _reason, ...rest } = standing;
      const at =
        place === undefined ? {} : { ...headOf(standing, place), recovered: true, pending };
      this.#answer(member, { ...rest, ...at });
    }
  }

  /** Answers it without the server. */
  #answer(member: Membership, body: SubscribedBody): void {
    this.#line.shift();
    member.answer({ kind: "subscribed", body });
    this.#next();
  }

  #addsPresence(member: Membership): boolean {
    const others = [...this.#members.values()].filter((one) => one.isIn);
    return member.body.presence === true && !others.some((one) => one.body.presence === true);
  }

  /** What the server is asked for: enough for everybody. */
  #bodyOf(start: Pick<SubscribeBody, "after" | "from">): SubscribeBody {
    const bodies = [...this.#members.values()].map((one) => one.body);
    const [{ after: _after, from: _from, ...rest } = {}] = bodies;
    const windows = bodies.flatMap(({ window }) => (window === undefined ? [] : [window]));
    return {
      ...rest,
      ...(start.after === undefined ? {} : { after: start.after }),
      ...(start.after !== undefined || start.from === undefined ? {} : { from: start.from }),
      ...(windows.length === 0 ? {} : { window: Math.max(...windows) }),
      ...(bodies.some((one) => one.presence === true) ? { presence: true } : {}),
    };
  }

  #restart(member: Membership | undefined, start: Pick<SubscribeBody, "after" | "from">): void {
    this.#ask("unsubscribe", { sub: this.sub }, () => {});
    this.#start(member, this.#bodyOf(start));
  }

  #start(member: Membership | undefined, body: SubscribeBody): void {
    this.#phase = "asking";
    this.#ask("subscribe", body, (reply) => {
      if (this.#phase !== "asking") {
        return;
      }
      this.#phase = "idle";
      if (member !== undefined) {
        this.#line = this.#line.filter((one) => one !== member);
      }
      if (reply.kind === "subscribed") {
        this.#taken(reply.body);
        member?.answer(reply);
      } else {
        this.#refused(member, reply);
      }
      this.#next();
    });
  }

  #taken(body: SubscribedBody): void {
    this.#standing = body;
    const { epoch, offset = 0, first = 1, pending = 0, reason = "epoch_changed" } = body;
    if (epoch === undefined || !this.isLive) {
      return;
    }
    this.#place = { epoch, offset: Math.max(offset - pending, 0) };
    for (const member of this.#members.values()) {
      const { upTo } = member;
      const isWhole = upTo?.epoch === epoch && upTo.offset + 1 >= first;
      if (!member.isIn) {
        member.upTo = this.#place;
      } else if (!isWhole) {
        member.upTo = { epoch, offset: first - 1 };
        const reset = { sub: this.sub, topic: this.sub, reason, epoch, first, offset };
        member.guest.frames([{ kind: "reset", body: reset }]);
      }
    }
  }

  /** The server does not have it (any more): those who had it hear so, and may ask again. */
  #refused(member: Membership | undefined, reply: ServerFrame): void {
    const isTemporary = reply.kind === "error" && reply.body.temporary;
    const others = [...this.#members.values()].filter((one) => one !== member && one.isIn);
    if (member !== undefined) {
      this.#members.delete(member.guest);
      member.answer(reply);
    }
    this.#standing = undefined;
    const body = { sub: this.sub, reason: isTemporary ? "too_far_behind" : "forbidden" };
    for (const one of others) {
      this.#members.delete(one.guest);
      one.guest.frames([{ kind: "unsubscribed", body }]);
    }
    if (this.#members.size === 0) {
      this.#phase = "over";
      this.#ended();
    }
  }

  // What the server says.

  /** Who gets a message. */
  takers(body: MessageBody): Guest[] {
    const members = [...this.#members.values()];
    if (this.isLive) {
      if (hasWildcards(this.sub)) {
        return members.filter((one) => one.isIn).map((one) => one.guest);
      }
      const epoch = this.#place?.epoch ?? "";
      this.#place = { epoch, offset: body.offset };
      return members.filter((one) => one.takes(epoch, body.offset)).map((one) => one.guest);
    }
    const all = members.filter((one) => one.isIn).sort((a, b) => a.load - b.load);
    // A group's message goes to one member, and all guests together are one.
    const takers = this.#isDurable ? all : all.slice(0, 1);
    for (const taker of takers) {
      taker.brought(body);
    }
    return takers.map((one) => one.guest);
  }

  reset(body: ResetBody): void {
    if (this.isLive && !hasWildcards(this.sub)) {
      this.#place = { epoch: body.epoch, offset: body.first - 1 };
    }
    for (const member of this.#members.values()) {
      if (member.isIn) {
        member.upTo = this.#place;
        member.guest.frames([{ kind: "reset", body }]);
      }
    }
  }

  /** Passes on what concerns everybody. */
  tell(frame: ServerFrame): void {
    for (const member of this.#members.values()) {
      if (member.isIn) {
        member.guest.frames([frame]);
      }
    }
  }

  /** The server ended it. */
  endedByServer(frame: ServerFrame): void {
    this.tell(frame);
    this.#phase = "over";
    this.#ended();
  }

  // What guests answer.

  /**
   * The acks to say for one of a guest. A guest knows what it has had itself and no more, so what it
   * acks is named one by one: "all up to here" would settle what another has given back.
   */
  acks(guest: Guest, body: AckBody): AckBody[] {
    const member = this.#members.get(guest);
    if (member === undefined) {
      return [];
    }
    const { sub, topic, offset, offsets = [] } = body;
    const all = offset === undefined ? offsets : member.upThrough(offset).map((one) => one.offset);
    for (const one of all) {
      for (const other of this.#members.values()) {
        other.settled({ topic: topic ?? sub, offset: one });
      }
    }
    const named = topic === undefined ? { sub } : { sub, topic };
    const parts: AckBody[] = [];
    for (let at = 0; at < all.length; at += ACK_OFFSETS_MAX) {
      parts.push({ ...named, offsets: all.slice(at, at + ACK_OFFSETS_MAX) });
    }
    return parts;
  }

  /** A guest gives a message back: no ack of its covers it from here on. */
  nacked(guest: Guest, topic: string | undefined, offset: number): void {
    this.#members.get(guest)?.settled({ topic: topic ?? this.sub, offset });
  }
}
