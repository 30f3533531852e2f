/**
 * What the messages of the chat's topics say. Anybody with a token may publish anything, so all of it
 * is parsed, and what does not fit is left out.
 */

import type { Json } from "@tidings/client";
import { type Place, parseName, parsePlace, placeId } from "./place.ts";

/** A message that somebody wrote. `key` lets its writer know it again. */
export interface Said {
  readonly text: string;
  readonly key: string;
}

/** Somebody has read everything up to this offset. */
export interface ReadUpTo {
  readonly epoch: string;
  readonly offset: number;
}

/** A change of somebody's list of places. */
export type ListChange =
  | {
      readonly change: "joined" | "left";
      readonly place: Place;
      /** Lets whoever wished for it know it again. */
      readonly key: string;
    }
  | { readonly change: "invited"; readonly place: Place };

/** Letters of a key: 128 bits of chance in hexadecimal. */
const KEY_LETTERS = 32;

/** A key that nobody has used before. */
export function newKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(KEY_LETTERS / 2));
  return [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Most bytes of one message's data: `limits.message_bytes` of a server that is not configured. */
export const DATA_BYTES_MAX = 65_536;

export function saidData(said: Said): Json {
  return { text: said.text, key: said.key };
}

/** How many bytes a text takes as a message. */
export function bytesOf(text: string): number {
  // The keys that this page makes are all as long as this one.
  const data = saidData({ text, key: "0".repeat(KEY_LETTERS) });
  return new TextEncoder().encode(JSON.stringify(data)).length;
}

export function parseSaid(data: Json | Uint8Array): Said | undefined {
  const text = fieldOf(data, "text");
  const key = fieldOf(data, "key");
  return typeof text === "string" && typeof key === "string" ? { text, key } : undefined;
}

export function readData(read: ReadUpTo): Json {
  return { epoch: read.epoch, offset: read.offset };
}

export function parseRead(data: Json | Uint8Array): ReadUpTo | undefined {
  const epoch = fieldOf(data, "epoch");
  const offset = fieldOf(data, "offset");
  return typeof epoch === "string" && typeof offset === "number" && Number.isSafeInteger(offset)
    ? { epoch, offset }
    : undefined;
}

export function roomData(name: string): Json {
  return { room: name };
}

export function parseRoom(data: Json | Uint8Array): string | undefined {
  const room = fieldOf(data, "room");
  return typeof room === "string" ? parseName(room) : undefined;
}

export function listData(change: ListChange): Json {
  switch (change.change) {
    case "joined":
    case "left":
      return { change: change.change, place: placeId(change.place), key: change.key };
    case "invited":
      // Whom to talk to is not said: it is whoever published this.
      return { change: "invited" };
  }
}

/** Reads a change of the list of `owner`, published by `from`. Others may only invite to themselves. */
export function parseListChange(
  data: Json | Uint8Array,
  from: string | undefined,
  owner: string,
): ListChange | undefined {
  const change = fieldOf(data, "change");
  if (change === "invited") {
    const other = from === undefined ? undefined : parseName(from);
    return other === undefined || other === owner
      ? undefined
      : { change, place: { kind: "direct", other } };
  }
  const id = fieldOf(data, "place");
  const place = typeof id === "string" ? parsePlace(id) : undefined;
  const key = fieldOf(data, "key");
  if (from !== owner || place === undefined || typeof key !== "string") {
    return undefined;
  }
  return change === "joined" || change === "left" ? { change, place, key } : undefined;
}

function fieldOf(data: Json | Uint8Array, name: string): unknown {
  if (data instanceof Uint8Array || typeof data !== "object" || data === null) {
    return undefined;
  }
  return Object.getOwnPropertyDescriptor(data, name)?.value;
}
