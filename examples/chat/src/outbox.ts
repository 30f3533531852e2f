/** What of the SDK's outbox people wrote. Read positions and signs of typing wait there as well. */

import type { Client } from "@tidings/client";
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
