/**
 * The places that somebody is in, on all devices alike: a log of joining and leaving on a topic of
 * their own, read from its start. And the directory of rooms that there are.
 */

import type { Client, Delivery, Subscription } from "@tidings/client";
import { Observed } from "./observed.ts";
import { listData, newKey, parseListChange, parseRoom, roomData } from "./payload.ts";
import { DIRECTORY_TOPIC, listTopicOf, type Place, parsePlace, placeId } from "./place.ts";
import { EMPTY_LIST, idsOf, PLACES_MAX, type PlaceList, withTold, withWish } from "./place-list.ts";
import type { Session } from "./session.ts";
import { Talk } from "./talk.ts";

/** The room in which everybody begins. */
const FIRST_ROOM = { kind: "room", name: "general" } as const;

/** Rooms that the directory shows at most. */
const DIRECTORY_MAX = 1_000;

export class Places {
  /** The places that I am in, by their ids. */
  readonly talks = new Observed<ReadonlyMap<string, Talk>>(new Map());
  /** Names of rooms that I could join. */
  readonly directory = new Observed<readonly string[]>([FIRST_ROOM.name]);
  /** Unread messages everywhere. */
  readonly unread = new Observed(0);

  readonly #session: Session;
  readonly #client: Client;
  readonly #keptList: Pick<Storage, "getItem" | "setItem">;
  readonly #stopListening: () => void;
  readonly #subscriptions: readonly Subscription[];
  /** Those who have been told on this page that I write to them. */
  readonly #invited = new Set<string>();
  #list: PlaceList = EMPTY_LIST;
  /** What is to be shown; a place that is being left is shown again only when that is done. */
  #wanted: readonly string[] = [];
  readonly #ending = new Set<string>();
  /** How many changes of the past are still to come; until then the list is the one kept here. */
  #toCome: number | undefined;

  /** `kept` is where the list stays over a reload. */
  constructor(session: Session, kept: Pick<Storage, "getItem" | "setItem"> = localStorage) {
    this.#session = session;
    this.#keptList = kept;
    this.#client = session.client;
    this.#show(this.#kept());
    this.#stopListening = this.#client.on("waiting", () => this.#wishAgain());
    this.#subscriptions = [this.#followList(), this.#followDirectory()];
  }

  /** Whether there is no room for another place. */
  get isFull(): boolean {
    return this.talks.value.size >= PLACES_MAX;
  }

  /** Joins a place, at once and also without a network. */
  join(place: Place): void {
    this.#wish(place, "joined");
  }

  leave(place: Place): void {
    this.#wish(place, "left");
  }

  /** Joins a room that there may not be yet. */
  createRoom(name: string): void {
    if (!this.directory.value.includes(name)) {
      this.#client.publish(DIRECTORY_TOPIC, roomData(name), { key: `room-${name}` }).catch(() => {
        // It is a room without an entry then: whoever knows its name can join.
      });
    }
    this.join({ kind: "room", name });
  }

  /** Says something in a place; the other of a conversation of two is told that there is one. */
  say(talk: Talk, text: string): void {
    const { place } = talk;
    if (place.kind === "direct" && !this.#invited.has(place.other)) {
      this.#invited.add(place.other);
      this.#client
        .publish(listTopicOf(place.other), listData({ change: "invited", place }))
        .catch(() => this.#invited.delete(place.other));
    }
    talk.say(text);
  }

  stop(): void {
    this.#stopListening();
    this.#wanted = [];
    for (const subscription of this.#subscriptions) {
      subscription.unsubscribe().catch(() => undefined);
    }
    for (const talk of this.talks.value.values()) {
      talk.stop();
    }
    this.talks.value = new Map();
  }

  #followList(): Subscription {
    const subscription = this.#client.subscribe(listTopicOf(this.#session.user), {
      from: "first",
      remember: false,
      onDelivery: (delivery) => this.#told(delivery),
    });
    subscription.on("subscribed", ({ pending }) => {
      if (this.#toCome === undefined) {
        this.#toCome = pending;
        this.#arrived();
      }
    });
    subscription.on("reset", ({ first, offset }) => {
      this.#list = { ...this.#list, told: new Map() };
      this.#toCome = Math.max(0, offset - first + 1);
      this.#arrived();
    });
    subscription.ready.catch(() => undefined);
    return subscription;
  }

  #followDirectory(): Subscription {
    const subscription = this.#client.subscribe(DIRECTORY_TOPIC, {
      from: "first",
      remember: false,
      onDelivery: ({ data }) => {
        const name = parseRoom(data);
        const known = this.directory.value;
        if (name !== undefined && !known.includes(name) && known.length < DIRECTORY_MAX) {
          this.directory.value = [...known, name].sort((a, b) => a.localeCompare(b));
        }
      },
    });
    subscription.ready.catch(() => undefined);
    return subscription;
  }

  #told({ data, from }: Delivery): void {
    const change = parseListChange(data, from, this.#session.user);
    if (change !== undefined) {
      this.#list = withTold(this.#list, change);
    }
    this.#toCome = Math.max(0, (this.#toCome ?? 0) - 1);
    this.#arrived();
  }

  /** Shows the list once all of its past is here: in between, places that were left would come back. */
  #arrived(): void {
    if (this.#toCome !== 0) {
      return;
    }
    if (this.#list.told.size === 0 && this.#list.wished.size === 0) {
      this.join(FIRST_ROOM);
      return;
    }
    this.#show(idsOf(this.#list));
  }

  /**
   * What was wished for before a reload counts as well, from when the SDK has found it: once it has been
   * sent, and the log has not told of it yet, nothing else would say so.
   */
  #wishAgain(): void {
    const { user } = this.#session;
    for (const { topic, data } of this.#client.outbox) {
      const change = topic === listTopicOf(user) ? parseListChange(data, user, user) : undefined;
      if (change !== undefined) {
        this.#list = withWish(this.#list, change);
      }
    }
  }

  #wish(place: Place, change: "joined" | "left"): void {
    const id = placeId(place);
    const isIn = change === "joined";
    if (this.#wanted.includes(id) === isIn || (isIn && this.isFull)) {
      return;
    }
    const wish = { change, place, key: newKey() };
    this.#list = withWish(this.#list, wish);
    this.#show(isIn ? [...this.#wanted, id] : this.#wanted.filter((other) => other !== id));
    this.#client
      .publish(listTopicOf(this.#session.user), listData(wish), { key: wish.key })
      .catch(() => undefined);
  }

  /** Begins the talks that are new and ends those that are gone. */
  #show(ids: readonly string[]): void {
    this.#wanted = ids;
    const before = this.talks.value;
    const talks = new Map<string, Talk>();
    for (const id of ids.filter((id) => !this.#ending.has(id))) {
      const place = parsePlace(id);
      const talk = before.get(id) ?? (place === undefined ? undefined : this.#begin(place));
      if (talk !== undefined) {
        talks.set(id, talk);
      }
    }
    for (const [id, talk] of before) {
      if (!talks.has(id)) {
        this.#end(id, talk);
      }
    }
    this.talks.value = talks;
    this.#keptList.setItem(this.#keptName(), JSON.stringify(ids));
    this.#count();
  }

  async #end(id: string, talk: Talk): Promise<void> {
    this.#ending.add(id);
    await talk.stop();
    this.#ending.delete(id);
    if (this.#wanted.includes(id)) {
      this.#show(this.#wanted);
    }
  }

  #begin(place: Place): Talk {
    const talk = new Talk(this.#session, place);
    talk.unread.onChange(() => this.#count());
    return talk;
  }

  #count(): void {
    let unread = 0;
    for (const talk of this.talks.value.values()) {
      unread += talk.unread.value;
    }
    this.unread.value = unread;
  }

  /** The list as it was last, so that there is something to see before the server answers. */
  #kept(): readonly string[] {
    try {
      const kept: unknown = JSON.parse(this.#keptList.getItem(this.#keptName()) ?? "[]");
      const ids = Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : [];
      return ids;
    } catch {
      return [];
    }
  }

  #keptName(): string {
    return `chat/${this.#session.user}/places`;
  }
}
