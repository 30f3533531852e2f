/** Which dead letters an address chooses. */

import type { Query } from "../api/request.ts";

const TEXTS = ["topic", "id", "user", "durable", "group", "reason"] as const;
const TIMES = ["since", "until"] as const;

/** The filters of an address, as the server wants them. What cannot be read is left out. */
export function chosenFilters(query: Readonly<Record<string, string>>): Query {
  const filters: Record<string, string | number> = {};
  for (const name of TEXTS) {
    const value = query[name];
    if (value !== undefined && value !== "") filters[name] = value;
  }
  for (const name of TIMES) {
    // What a form gives is a time of the reader's own zone.
    const at = Date.parse(query[name] ?? "");
    if (!Number.isNaN(at)) filters[name] = at;
  }
  return filters;
}

/** The filters in words, for a question about all that they choose. */
export function filtersInWords(filters: Query): string {
  const words = Object.entries(filters).map(([name, value]) => {
    const isTime = typeof value === "number";
    return `${name} ${isTime ? new Date(value).toISOString() : String(value)}`;
  });
  return words.length === 0
    ? "every dead letter there is"
    : `dead letters with ${words.join(", ")}`;
}
