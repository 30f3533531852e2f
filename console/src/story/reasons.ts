/**
 * Which reason belongs to which event of a story. Events have none; the attempts do that the server
 * remembers of subscriptions and keeps in dead letters.
 */

import type { Attempt, Story, StoryEvent } from "../api/types.ts";
import { readerOf } from "./reader.ts";

/** An event and its attempt are noted a few milliseconds apart, more under load. */
const APART_MS_MAX = 1000;

/** Finds what was said of a delivery with the event that ended it. */
export function reasonsOf(story: Story): (event: StoryEvent) => string | undefined {
  const attempts = new Map<string, Attempt[]>();
  const add = (reader: string, more: readonly Attempt[] | undefined): void => {
    const told = (more ?? []).filter(({ reason }) => reason !== undefined && reason !== "");
    attempts.set(reader, [...(attempts.get(reader) ?? []), ...told]);
  };
  for (const subscription of story.subscriptions ?? []) {
    add(readerOf(subscription), subscription.failed);
  }
  for (const letter of story.dead_letters ?? []) add(readerOf(letter), letter.history);
  return (event) => {
    // A message that was published again has attempts of the same numbers: the time tells them apart.
    const [nearest] = (attempts.get(readerOf(event)) ?? [])
      .filter((attempt) => isOf(attempt, event))
      .sort((a, b) => Math.abs(a.ended_at - event.at) - Math.abs(b.ended_at - event.at));
    return nearest?.reason;
  };
}

function isOf(attempt: Attempt, event: StoryEvent): boolean {
  return (
    attempt.ended === event.what &&
    (event.attempt === undefined || attempt.attempt === event.attempt) &&
    (event.client === undefined ||
      attempt.client === undefined ||
      attempt.client === event.client) &&
    Math.abs(attempt.ended_at - event.at) <= APART_MS_MAX
  );
}
