/**
 * What was said in one place: what the server has, by offset, and behind it what is still on its way.
 *
 * Pure: every function gives a new conversation, and the same message may be put in any number of
 * times, since history, delivery and the answer to a publish all tell of it.
 */

/** A message that the server has. */
export interface Sent {
  readonly offset: number;
  readonly key: string;
  readonly from: string;
  readonly text: string;
  readonly at: number;
}

/** A message that the server does not have yet, or does not want. */
export type Unsent =
  | {
      readonly state: "pending";
      readonly key: string;
      readonly text: string;
      readonly since: number;
    }
  | {
      readonly state: "refused";
      readonly key: string;
      readonly text: string;
      readonly since: number;
      readonly reason: string;
    };

export interface Conversation {
  readonly me: string;
  /** By offset, each offset once. */
  readonly sent: readonly Sent[];
  /** By the time they were written. */
  readonly unsent: readonly Unsent[];
}

/** Messages that are held of one conversation. Of a longer one the oldest are let go: they are history. */
export const SENT_MAX = 2_000;

export function emptyConversation(me: string): Conversation {
  return { me, sent: [], unsent: [] };
}

/** Puts in messages that the server has. What was waiting under the same key has arrived. */
export function withSent(conversation: Conversation, messages: readonly Sent[]): Conversation {
  if (messages.length === 0) {
    return conversation;
  }
  const byOffset = new Map(conversation.sent.map((message) => [message.offset, message]));
  const arrived = new Set<string>();
  for (const message of messages) {
    byOffset.set(message.offset, message);
    if (message.from === conversation.me) {
      arrived.add(message.key);
    }
  }
  return {
    ...conversation,
    sent: [...byOffset.values()].sort((a, b) => a.offset - b.offset),
    unsent: conversation.unsent.filter((message) => !arrived.has(message.key)),
  };
}

/** Lets go of the oldest messages beyond `most`. */
export function withLatest(conversation: Conversation, most: number): Conversation {
  return conversation.sent.length <= most
    ? conversation
    : { ...conversation, sent: conversation.sent.slice(-most) };
}

/** Puts in a message that waits to be sent, unless it has arrived already. */
export function withPending(
  conversation: Conversation,
  message: { readonly key: string; readonly text: string; readonly since: number },
): Conversation {
  const isSent = conversation.sent.some(
    (sent) => sent.from === conversation.me && sent.key === message.key,
  );
  if (isSent) {
    return conversation;
  }
  const others = conversation.unsent.filter((unsent) => unsent.key !== message.key);
  const unsent: Unsent[] = [...others, { state: "pending", ...message }];
  return { ...conversation, unsent: unsent.sort((a, b) => a.since - b.since) };
}

/** The server has the message that waited under this key. */
export function withPublished(
  conversation: Conversation,
  key: string,
  published: { readonly offset: number; readonly at: number },
): Conversation {
  const waiting = conversation.unsent.find((message) => message.key === key);
  if (waiting === undefined) {
    return conversation;
  }
  const { offset, at } = published;
  return withSent(conversation, [{ offset, key, from: conversation.me, text: waiting.text, at }]);
}

/** The server does not want the message that waited under this key. */
export function withRefused(conversation: Conversation, key: string, reason: string): Conversation {
  const unsent = conversation.unsent.map((message): Unsent => {
    const { text, since } = message;
    return message.key === key ? { state: "refused", key, text, since, reason } : message;
  });
  return { ...conversation, unsent };
}

/** Takes out a message that was not sent. */
export function withoutUnsent(conversation: Conversation, key: string): Conversation {
  return {
    ...conversation,
    unsent: conversation.unsent.filter((message) => message.key !== key),
  };
}

/** Forgets what the server had: its log is another one now. What waits to be sent still waits. */
export function restarted(conversation: Conversation): Conversation {
  return { ...conversation, sent: [] };
}

/** The last message that somebody else wrote; reading it is worth telling. */
export function lastOfOthers(conversation: Conversation): Sent | undefined {
  for (let index = conversation.sent.length - 1; index >= 0; index -= 1) {
    const message = conversation.sent[index];
    if (message !== undefined && message.from !== conversation.me) {
      return message;
    }
  }
  return undefined;
}
