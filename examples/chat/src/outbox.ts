/** What of the SDK's outbox people wrote. Read positions and signs of typing wait there as well. */

import type { Client, Published, Scheduled } from "@tidings/client";
import { parseSaid } from "./payload.ts";

/** A message that waits to be sent. */
export interface WaitingMessage {
  readonly topic: string;
  readonly key: string;
  readonly text: string;
  readonly since: number;
}

export function outboxMessages(client: Client): readonly WaitingMessage[] {
  return client.outbox.flatMap(({ topic, data, since }) => {
    const said = topic.endsWith("/messages") ? parseSaid(data) : undefined;
    return said === undefined ? [] : [{ topic, key: said.key, text: said.text, since }];
  });
}

/** What is told of the messages to one topic. */
interface OutboxEvents {
  /** These wait: once now, and after each change. */
  waiting(messages: readonly WaitingMessage[]): void;
  /** One that this page did not publish itself has been sent. */
  published(key: string, result: Published | Scheduled): void;
  /** One that this page did not publish itself was refused. */
  refused(key: string, error: unknown): void;
}

/** Follows what waits for one topic, until the functions that it returns are called. */
export function followOutbox(
  client: Client,
  topic: string,
  events: OutboxEvents,
): readonly (() => void)[] {
  const show = () => {
    events.waiting(outboxMessages(client).filter((message) => message.topic === topic));
  };
  show();
  return [
    client.on("waiting", show),
    client.on("published", (event) => {
      if (event.topic === topic) {
        events.published(event.key, event.result);
      }
    }),
    client.on("refused", (event) => {
      if (event.topic === topic) {
        events.refused(event.key, event.error);
      }
    }),
  ];
}
