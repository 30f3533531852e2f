/** What a timeline shows, line by line: days, where the unread ones begin, and messages. */

import type { Conversation, Sent, Unsent } from "./conversation.ts";

/** A message as the page shows it. */
export interface MessageRow {
  readonly row: "message";
  readonly key: string;
  readonly from: string;
  readonly mine: boolean;
  readonly text: string;
  readonly at: number;
  /** Whether it begins a run of messages of one person. */
  readonly begins: boolean;
  readonly progress: Progress;
}

/** How far a message has come. That of others is always there. */
export type Progress =
  | { readonly state: "pending" }
  | { readonly state: "refused"; readonly reason: string }
  | { readonly state: "sent" }
  | { readonly state: "read"; readonly readers: readonly string[] };

export type Row =
  | MessageRow
  | { readonly row: "day"; readonly key: string; readonly at: number }
  | { readonly row: "unread"; readonly key: string };

/** Messages of one person within this time stand together. */
const RUN_MS = 5 * 60_000;

interface Shown {
  /** Who has read the message at this offset, besides the reader of this page. */
  readersOf(offset: number): readonly string[];
  /** Where the unread ones begin: behind this offset. */
  readonly unreadAfter: number | undefined;
}

/** The rows of a conversation. */
export function rowsOf(conversation: Conversation, shown: Shown): readonly Row[] {
  const rows: Row[] = [];
  let before: MessageRow | undefined;
  let marked = shown.unreadAfter === undefined;
  const append = (message: Omit<MessageRow, "row" | "begins">, isFirstUnread: boolean) => {
    const isNewDay = before === undefined || dayOf(before.at) !== dayOf(message.at);
    if (isNewDay) {
      rows.push({ row: "day", key: `day-${message.key}`, at: message.at });
    }
    if (isFirstUnread) {
      rows.push({ row: "unread", key: "unread" });
    }
    const begins =
      isFirstUnread || isNewDay || before?.from !== message.from || message.at - before.at > RUN_MS;
    before = { row: "message", ...message, begins };
    rows.push(before);
  };
  for (const message of conversation.sent) {
    const isUnread = message.offset > (shown.unreadAfter ?? 0) && message.from !== conversation.me;
    append(sentRow(message, conversation.me, shown), isUnread && !marked);
    marked ||= isUnread;
  }
  for (const message of conversation.unsent) {
    append(unsentRow(message, conversation.me), false);
  }
  return rows;
}

function sentRow(message: Sent, me: string, shown: Shown): Omit<MessageRow, "row" | "begins"> {
  const { from, text, at } = message;
  const mine = from === me;
  const readers = mine ? shown.readersOf(message.offset) : [];
  // A message keeps its key when it is sent, so that the page does not draw it anew.
  const key = mine ? `mine-${message.key}` : `offset-${message.offset}`;
  const progress: Progress = readers.length > 0 ? { state: "read", readers } : { state: "sent" };
  return { key, from, mine, text, at, progress };
}

function unsentRow(message: Unsent, me: string): Omit<MessageRow, "row" | "begins"> {
  const progress: Progress =
    message.state === "refused"
      ? { state: "refused", reason: message.reason }
      : { state: "pending" };
  const { key, text, since } = message;
  return { key: `mine-${key}`, from: me, mine: true, text, at: since, progress };
}

function dayOf(at: number): string {
  return new Date(at).toDateString();
}
