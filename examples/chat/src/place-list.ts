/**
 * The places that somebody is in: what the log of joining and leaving says, and what was just wished
 * for and is not in the log yet.
 */

import type { ListChange } from "./payload.ts";
import { placeId } from "./place.ts";

export interface PlaceList {
  readonly told: ReadonlyMap<string, boolean>;
  readonly wished: ReadonlyMap<string, boolean>;
}

/** Each place takes two subscriptions, and a connection has 256. */
export const PLACES_MAX = 100;

export const EMPTY_LIST: PlaceList = { told: new Map(), wished: new Map() };

/** The log tells of a change. */
export function withTold(list: PlaceList, { change, place }: ListChange): PlaceList {
  const id = placeId(place);
  const isIn = change !== "left";
  const wished = new Map(list.wished);
  if (wished.get(id) === isIn) {
    wished.delete(id);
  }
  return { told: new Map(list.told).set(id, isIn), wished };
}

/** A change has been asked for and counts at once, whether or not the network is there. */
export function withWish(list: PlaceList, id: string, isIn: boolean): PlaceList {
  return { ...list, wished: new Map(list.wished).set(id, isIn) };
}

/** The places, rooms first, each kind by name. */
export function idsOf(list: PlaceList): readonly string[] {
  const all = new Map([...list.told, ...list.wished]);
  return [...all]
    .filter(([, isIn]) => isIn)
    .map(([id]) => id)
    .sort((a, b) => kindOf(a) - kindOf(b) || a.localeCompare(b))
    .slice(0, PLACES_MAX);
}

function kindOf(id: string): number {
  return id.startsWith("room/") ? 0 : 1;
}
