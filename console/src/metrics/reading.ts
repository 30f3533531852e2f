/**
 * The server's metrics: OpenMetrics text in, samples by name out, and the arithmetic on two readings
 * that lie some time apart (rates, quantiles).
 */

/** One value, with the labels that tell it from its siblings. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Everything that one answer of `/metrics` says. */
export interface Reading {
  /** When it was read, in milliseconds of a clock that only goes forward. */
  readonly at: number;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

/** A name, labels whose values may have braces in them, a value; then perhaps a time and an exemplar. */
const SAMPLE_LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** Reads OpenMetrics text. Lines that are no samples are passed over. */
export function parseMetrics(text: string, at: number): Reading {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = SAMPLE_LINE.exec(line);
    if (match === null) continue;
    const [, name = "", labels = "", written = ""] = match;
    const value = parseValue(written);
    if (value === undefined) continue;
    const ofName = samples.get(name);
    const sample = { labels: parseLabels(labels), value };
    if (ofName === undefined) samples.set(name, [sample]);
    else ofName.push(sample);
  }
  return { at, samples };
}

/** The sum of all samples of a name; 0 if the server does not tell it. */
export function total(reading: Reading, name: string): number {
  return (reading.samples.get(name) ?? []).reduce((sum, sample) => sum + sample.value, 0);
}

/** How much a counter rose per second between two readings. */
export function rate(before: Reading, after: Reading, name: string): number {
  return perSecond(total(before, name), total(after, name), after.at - before.at);
}

/** How much each sibling of a counter rose per second, by the value of one label; only those that rose. */
export function ratesBy(
  before: Reading,
  after: Reading,
  name: string,
  label: string,
): ReadonlyMap<string, number> {
  const elapsedMs = after.at - before.at;
  if (elapsedMs <= 0) return new Map();
  const rises = [...risesBy(before, after, name, label)];
  return new Map(rises.map(([value, rise]) => [value, (rise * 1000) / elapsedMs]));
}

/** How much each sibling of a counter rose between two readings, by the value of one label; only those that rose. */
export function risesBy(
  before: Reading,
  after: Reading,
  name: string,
  label: string,
): ReadonlyMap<string, number> {
  const earlier = sumsBy(before, name, label);
  const rises = new Map<string, number>();
  for (const [value, sum] of sumsBy(after, name, label)) {
    const rise = riseOf(earlier.get(value) ?? 0, sum);
    if (rise > 0) rises.set(value, rise);
  }
  return rises;
}

/** The sums of all samples of a name, by the value of one label. */
export function sumsBy(reading: Reading, name: string, label: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, value } of reading.samples.get(name) ?? []) {
    const key = labels[label];
    if (key !== undefined) sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

/**
 * A quantile of what a histogram observed between two readings, linear within a bucket; nothing if
 * it observed nothing. What lies in the last, open bucket counts as the bound below it.
 */
export function quantile(
  before: Reading,
  after: Reading,
  name: string,
  wanted: number,
): number | undefined {
  const earlier = sumsBy(before, `${name}_bucket`, "le");
  const buckets = [...sumsBy(after, `${name}_bucket`, "le")]
    .map(([bound, count]) => ({
      bound: parseValue(bound) ?? Number.NaN,
      count: count - (earlier.get(bound) ?? 0),
    }))
    .filter((bucket) => !Number.isNaN(bucket.bound))
    .sort((a, b) => a.bound - b.bound);
  const observed = buckets.at(-1)?.count ?? 0;
  if (observed <= 0) return undefined;
  const rank = wanted * observed;
  let lower = { bound: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= rank) {
      if (!Number.isFinite(bucket.bound)) return lower.bound;
      const inside = bucket.count - lower.count;
      const share = inside <= 0 ? 1 : (rank - lower.count) / inside;
      return lower.bound + (bucket.bound - lower.bound) * share;
    }
    lower = bucket;
  }
  return lower.bound;
}

function perSecond(before: number, after: number, elapsedMs: number): number {
  return elapsedMs <= 0 ? 0 : (riseOf(before, after) * 1000) / elapsedMs;
}

/** A counter that fell belongs to a server that was started anew: what it says was all since then. */
function riseOf(before: number, after: number): number {
  return after >= before ? after - before : after;
}

function parseLabels(written: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of written.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}

function parseValue(written: string): number | undefined {
  if (written === "+Inf") return Number.POSITIVE_INFINITY;
  if (written === "-Inf") return Number.NEGATIVE_INFINITY;
  const value = Number(written);
  return Number.isNaN(value) ? undefined : value;
}
