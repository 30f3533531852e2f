/** How numbers, sizes, durations and times are written, the same on every page. */

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** What stands where there is no value. */
export const NOTHING = "–";

/** A whole number with its thousands apart. */
export function whole(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : WHOLE.format(value);
}

/** A number for a narrow place: `12.4K`. */
export function short(value: number): string {
  if (Math.abs(value) >= 1000) return SHORT.format(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1);
}

/** A size in bytes, in the unit that keeps it under 1024. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return `${size.toFixed(digits)} ${BYTE_UNITS[unit] ?? "B"}`;
}

/** A duration, in its two largest units. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms < 1) return ms <= 0 ? "0 ms" : `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const parts: ReadonlyArray<readonly [number, string]> = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let rest = Math.floor(seconds);
  const written: string[] = [];
  for (const [size, unit] of parts) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) written.push(`${count} ${unit}`);
    // A unit without a count ends the pair too, so that `1 d 3 s` is not written.
    if (written.length === 2 || (written.length === 1 && count === 0)) break;
  }
  return written.slice(0, 2).join(" ");
}

/** How long ago something was, seen from `now`. */
export function ago(at: number, now: number): string {
  // Nobody needs tenths of a second here, and they would only flicker.
  const past = Math.trunc((now - at) / 1000) * 1000;
  if (past === 0) return "now";
  return past > 0 ? `${duration(past)} ago` : `in ${duration(-past)}`;
}

/** A time in the reader's own zone, to the second or the millisecond. */
export function local(at: number, precision: "seconds" | "milliseconds" = "seconds"): string {
  const date = new Date(at);
  const two = (part: number): string => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const rest = precision === "seconds" ? "" : `.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return `${day} ${time}${rest}`;
}

/** A time as ISO 8601 in UTC. A number that is no time is written as it is. */
export function iso(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}

/** At most `max` characters of a text, with a sign that there were more. */
export function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}
