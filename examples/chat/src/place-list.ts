/**
 * The places that somebody is in: what the log of joining and leaving says, and what was just wished
 * for and is not in the log yet.
 */

import type { ListChange } from "./payload.ts";
import { placeId } from "./place.ts";

/** Whether one is in a place, and which change said so last; an invitation has no key. */
interface Standing {
  readonly isIn: boolean;
  readonly key: string | undefined;
}

export interface PlaceList {
  readonly told: ReadonlyMap<string, Standing>;
  readonly wished: ReadonlyMap<string, Standing>;
}

/** Each place takes two subscriptions, and a connection has 256. */
export const PLACES_MAX = 100;

export const EMPTY_LIST: PlaceList = { told: new Map(), wished: new Map() };

function standingOf(change: ListChange): Standing {
  return {
    isIn: change.change !== "left",
    key: change.change === "invited" ? undefined : change.key,
  };
}

/** The log tells of a change. A wish is fulfilled by itself alone, not by an earlier one like it. */
export function withTold(list: PlaceList, change: ListChange): PlaceList {
  const id = placeId(change.place);
  const standing = standingOf(change);
  const wished = new Map(list.wished);
  if (standing.key !== undefined && wished.get(id)?.key === standing.key) {
    wished.delete(id);
  }
  return { told: new Map(list.told).set(id, standing), wished };
}

/** A change has been asked for and counts at once, whether or not the network is there. */
export function withWish(list: PlaceList, change: ListChange): PlaceList {
  const id = placeId(change.place);
  const standing = standingOf(change);
  const isFulfilled = standing.key !== undefined && list.told.get(id)?.key === standing.key;
  return isFulfilled ? list : { ...list, wished: new Map(list.wished).set(id, standing) };
}

/** The places, rooms first, each kind by name. */
export function idsOf(list: PlaceList): readonly string[] {
  const all = new Map([...list.told, ...list.wished]);
  return [...all]
    .filter(([, { isIn }]) => isIn)
    .map(([id]) => id)
    .sort((a, b) => kindOf(a) - kindOf(b) || a.localeCompare(b))
    .slice(0, PLACES_MAX);
}

function kindOf(id: string): number {
  return id.startsWith("room/") ? 0 : 1;
}
