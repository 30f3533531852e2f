/**
 * A page of what was said before. History reads forward, so a page that ends at a place is found by
 * starting a page's length before it.
 */

import type { History, HistoryOptions, Message, Position } from "@tidings/client";

/** Reads history of one topic. */
export type ReadHistory = (options: HistoryOptions) => Promise<History>;

export interface Page {
  /** By offset, all of them before the place that was asked for. */
  readonly messages: readonly Message[];
  /** Everything from this offset on is in the page. */
  readonly start: number;
  /** Whether nothing was said before it. */
  readonly complete: boolean;
}

/** Messages in a page. */
export const PAGE_MESSAGES = 50;

/**
 * Reads the messages before `end.offset`, about a page of them. Fewer, if offsets are missing there;
 * but none only if there are none.
 */
export async function pageBefore(
  read: ReadHistory,
  end: Position,
  about = PAGE_MESSAGES,
): Promise<Page> {
  let length = about;
  let before = end.offset;
  for (;;) {
    const start = Math.max(1, before - length);
    const { messages, first } = await partOf(read, end.epoch, start, before);
    const complete = start <= first;
    if (complete || messages.length > 0) {
      return { messages, start, complete };
    }
    // A stretch without messages. Twice as far back each time finds the next one in few steps.
    before = start;
    length *= 2;
  }
}

/** All messages from `start` to before `end`, in as many reads as it takes. */
async function partOf(
  read: ReadHistory,
  epoch: string,
  start: number,
  end: number,
): Promise<{ messages: readonly Message[]; first: number }> {
  const messages: Message[] = [];
  let after = start - 1;
  for (;;) {
    const limit = Math.min(500, Math.max(1, end - after - 1));
    const page = await read({ after: { epoch, offset: after }, limit });
    messages.push(...page.messages.filter((message) => message.offset < end));
    const last = page.messages.at(-1);
    if (!page.more || last === undefined || last.offset + 1 >= end) {
      return { messages, first: page.first };
    }
    after = last.offset;
  }
}
