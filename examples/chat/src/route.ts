/** Which place the page shows: the address says so, so that Back and reload do what people expect. */

import { Observed } from "./observed.ts";
import { type Place, parsePlace, placeId } from "./place.ts";

function current(): Place | undefined {
  try {
    return parsePlace(decodeURIComponent(location.hash.replace(/^#\//, "")));
  } catch {
    // The address has an escape that is none.
    return undefined;
  }
}

/** The place that is shown; none is the list of places, for narrow screens. */
export const route = new Observed<Place | undefined>(current());

addEventListener("hashchange", () => {
  route.value = current();
});

export function addressOf(place: Place): string {
  return `#/${placeId(place).split("/").map(encodeURIComponent).join("/")}`;
}

/** Whether the address names a place, also if the page has not been told yet. */
export function isSomewhere(): boolean {
  return current() !== undefined;
}

export function goTo(place: Place | undefined): void {
  location.hash = place === undefined ? "" : addressOf(place);
}
