/** Settings of the configuration as text. */

import type { Json } from "./api/types.ts";
import { whole } from "./format.ts";

/** A setting's value. Durations and sizes have their units already. */
export function settingText(value: Json): string {
  if (value === null) return "not set";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return whole(value);
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    return value.map(settingText).join(", ");
  }
  return JSON.stringify(value);
}

/** A setting with the whole name that the documentation gives it. */
export interface Setting {
  readonly name: string;
  readonly value: Json;
}

/** The settings under a key, with tables inside it opened. */
export function settingsOf(prefix: string, value: Json): Setting[] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    // A list of tables, such as the topics' policies, has its tables one by one.
    if (
      Array.isArray(value) &&
      value.some((entry) => typeof entry === "object" && entry !== null)
    ) {
      return value.flatMap((entry, index) => settingsOf(`${prefix}[${index}]`, entry));
    }
    return [{ name: prefix, value }];
  }
  return Object.entries(value).flatMap(([name, inner]) =>
    settingsOf(prefix === "" ? name : `${prefix}.${name}`, inner),
  );
}
