/** Settings of the configuration, written as in its file. */

import type { Json } from "./api/types.ts";

/** A setting's value as the file would have it; nothing if it is not set. */
export function settingText(value: Json): string | undefined {
  if (value === null) return undefined;
  if (typeof value === "string") return tomlText(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map((entry) => settingText(entry) ?? "").join(", ")}]`;
  const entries = Object.entries(value).flatMap(([name, inner]) => {
    const text = settingText(inner);
    return text === undefined ? [] : [`${name} = ${text}`];
  });
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

/** A basic string of TOML, which is one of JSON but for one character. */
function tomlText(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", "\\u007F");
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
