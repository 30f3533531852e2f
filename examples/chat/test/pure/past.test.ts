/** Pages of the past, read from a history that only reads forward. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { History, HistoryOptions, Message } from "@tidings/client";
import { PAGE_MESSAGES, pageBefore, type ReadHistory } from "../../src/past.ts";

function message(offset: number): Message {
  return {
    topic: "t",
    offset,
    id: `id-${offset}`,
    data: null,
    headers: {},
    at: offset,
    attempt: 1,
  };
}

/** A history as docs/protocol.md describes it, with these offsets, and replies of at most `most`. */
function historyOf(offsets: readonly number[], first = 1, most = 500): ReadHistory {
  return async ({ after, limit = 100 }: HistoryOptions): Promise<History> => {
    assert.ok(limit >= 1 && limit <= 500, `limit ${limit}`);
    const rest = offsets.filter((offset) => offset > (after?.offset ?? 0));
    const page = rest.slice(0, Math.min(limit, most));
    return {
      topic: "t",
      position: { epoch: "e", offset: offsets.at(-1) ?? 0 },
      first,
      recovered: (after?.offset ?? 0) + 1 >= first,
      more: page.length < rest.length,
      messages: page.map(message),
    };
  };
}

async function page(read: ReadHistory, before: number) {
  const { messages, start, complete } = await pageBefore(read, { epoch: "e", offset: before });
  return { offsets: messages.map(({ offset }) => offset), start, complete };
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

test("a page is the messages right before the place, and says where it starts", async () => {
  assert.deepEqual(await page(historyOf(range(1, 200)), 201), {
    offsets: range(201 - PAGE_MESSAGES, 200),
    start: 201 - PAGE_MESSAGES,
    complete: false,
  });
});

test("pages follow one another without a hole until nothing is left", async () => {
  const read = historyOf(range(1, 120));
  const seen: number[] = [];
  let before = 121;
  let complete = false;
  while (!complete) {
    const next = await page(read, before);
    seen.unshift(...next.offsets);
    before = next.start;
    complete = next.complete;
  }
  assert.deepEqual(seen, range(1, 120));
});

test("replies that are cut short are read on", async () => {
  const { offsets } = await page(historyOf(range(1, 60), 1, 7), 61);
  assert.deepEqual(offsets, range(11, 60));
});

test("a stretch without messages is passed over", async () => {
  const { offsets, complete } = await page(historyOf([3, 4, 5_000]), 5_000);
  assert.deepEqual(offsets, [3, 4]);
  assert.equal(complete, true);
});

test("what retention has removed ends the past", async () => {
  const { offsets, complete } = await page(historyOf(range(90, 100), 90), 101);
  assert.deepEqual(offsets, range(90, 100));
  assert.equal(complete, true);
});

test("a topic without messages has a complete and empty past", async () => {
  assert.deepEqual(await page(historyOf([]), 1), { offsets: [], start: 1, complete: true });
});
