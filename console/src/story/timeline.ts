/** The story of a message as entries in time, and as lanes to draw: one for the log, one for each reader. */

import type { Story, StoryEvent } from "../api/types.ts";
import { countedReasons, shortReasons } from "../reasons.ts";
import { readerOf } from "./reader.ts";
import { reasonsOf } from "./reasons.ts";

/** What kind of thing happened, which chooses how it is drawn. */
export type EntryKind = "log" | "sent" | "acked" | "failed" | "returned" | "givenUp";

/** One thing that happened. */
export interface Entry {
  readonly at: number;
  readonly kind: EntryKind;
  /** Who it happened to; nothing for what happened in the log. */
  readonly reader: string | undefined;
  readonly attempt: number | undefined;
  readonly client: string | undefined;
  readonly text: string;
  /** What a reader said of a delivery that it did not take. */
  readonly reason: string | undefined;
}

/** A mark on a lane, or a stretch if it took a while: shares of the lane's length, from 0 to 1. */
export interface Mark {
  readonly from: number;
  readonly to: number;
  readonly kind: EntryKind;
  readonly text: string;
}

export interface Lane {
  readonly name: string;
  readonly marks: readonly Mark[];
  /** What the reader said of deliveries that failed, each reason once; nothing if nothing was said. */
  readonly reasons: string | undefined;
}

/** Lanes over one stretch of time. */
export interface Timeline {
  readonly begins: number;
  readonly ends: number;
  readonly lanes: readonly Lane[];
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  sent: "sent",
  acked: "acked",
  nacked: "failed",
  refused: "failed",
  timed_out: "failed",
  connection_ended: "failed",
  returned: "returned",
  given_up: "givenUp",
};

/** Everything that a story tells, the earliest first. */
export function entriesOf(story: Story): Entry[] {
  const reasonOf = reasonsOf(story);
  const events = (story.events ?? []).map((event) => eventEntry(event, reasonOf(event)));
  const entries = [...logEntries(story), ...events];
  return entries
    .map((entry, index) => ({ entry, index }))
    .sort((a, b) => a.entry.at - b.entry.at || a.index - b.index)
    .map(({ entry }) => entry);
}

/** Entries as lanes. Nothing if there is nothing to draw. */
export function timelineOf(entries: readonly Entry[]): Timeline | undefined {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const begins = first.at;
  // What happened within one millisecond still needs a length to be drawn on.
  const ends = Math.max(last.at, begins + 1);
  const lanes = new Map<string, Entry[]>([["log", []]]);
  for (const entry of entries) {
    const name = entry.reader ?? "log";
    const lane = lanes.get(name);
    if (lane === undefined) lanes.set(name, [entry]);
    else lane.push(entry);
  }
  const share = scaleOf(entries, begins, ends);
  const drawn = [...lanes].map(([name, ofLane]) => ({
    name,
    marks: marksOf(ofLane, share),
    reasons: countedReasons(ofLane.flatMap((entry) => entry.reason ?? [])),
  }));
  return { begins, ends, lanes: drawn };
}

/**
 * Where a time is drawn: half by the clock, half by its rank among all times, so that what came close
 * together can be told apart even if much later something else happened.
 */
function scaleOf(entries: readonly Entry[], begins: number, ends: number): (at: number) => number {
  const times = [...new Set(entries.map((entry) => entry.at))];
  const ranks = new Map(times.map((at, index) => [at, index / Math.max(1, times.length - 1)]));
  return (at) => ((at - begins) / (ends - begins) + (ranks.get(at) ?? 0)) / 2;
}

/** A delivery is a stretch from when it was sent until it ended; what has no beginning is a mark. */
function marksOf(entries: readonly Entry[], share: (at: number) => number): Mark[] {
  const open = new Map<string, { readonly index: number; readonly at: number }>();
  const marks: Mark[] = [];
  for (const entry of entries) {
    // What ended a delivery does not always say which attempt it was; a client has one at a time.
    const key = entry.client ?? "";
    const to = share(entry.at);
    if (entry.kind === "sent") {
      open.set(key, { index: marks.length, at: entry.at });
      marks.push({ from: to, to, kind: "sent", text: entry.text });
      continue;
    }
    const begun = open.get(key);
    open.delete(key);
    if (begun === undefined) {
      marks.push({ from: to, to, kind: entry.kind, text: entry.text });
    } else {
      // The stretch takes the place of the mark with which it began.
      marks[begun.index] = { from: share(begun.at), to, kind: entry.kind, text: entry.text };
    }
  }
  return marks;
}

function logEntries(story: Story): Entry[] {
  const entries: Entry[] = [];
  const add = (at: number | null | undefined, text: string, kind: EntryKind = "log"): void => {
    if (at === null || at === undefined) return;
    const ofNobody = { reader: undefined, attempt: undefined, client: undefined };
    entries.push({ at, kind, ...ofNobody, text, reason: undefined });
  };
  const { published, scheduled } = story;
  if (published !== null && published !== undefined) {
    add(published.at, `Published to ${published.topic}${by(published.from)}`);
  }
  if (scheduled !== null && scheduled !== undefined) {
    add(scheduled.at, `Accepted for later, to ${scheduled.topic}${by(scheduled.from)}`);
    add(scheduled.deliver_at, "Due");
  }
  for (const place of story.places ?? []) {
    if (place.replay_of === undefined) continue;
    add(place.at, `Published again to ${place.topic}, from dead letter ${place.replay_of}`);
  }
  for (const letter of story.dead_letters ?? []) {
    const reasons = shortReasons(letter.reasons);
    const why = reasons === undefined ? letter.gave_up : `${letter.gave_up}, ${reasons}`;
    add(letter.at, `Became dead letter ${letter.offset}: ${why}`, "givenUp");
  }
  return entries;
}

function eventEntry(event: StoryEvent, reason: string | undefined): Entry {
  const kind = KINDS[event.what] ?? "failed";
  const attempt = event.attempt === undefined ? "" : `, attempt ${event.attempt}`;
  const client = event.client === undefined ? "" : `, ${event.client}`;
  const member = event.group === undefined || event.user === undefined ? "" : ` by ${event.user}`;
  const said = reason === undefined ? "" : `: ${reason}`;
  return {
    at: event.at,
    kind,
    reader: readerOf(event),
    attempt: event.attempt,
    client: event.client,
    text: `${event.what.replaceAll("_", " ")}${member}${client}${attempt}${said}`,
    reason,
  };
}

function by(user: string | undefined): string {
  return user === undefined ? "" : ` by ${user}`;
}
