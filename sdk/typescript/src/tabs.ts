/** `@tidings/client/tabs`: several tabs of an application over one connection. */

import { createClient } from "./client.ts";
import { shareWith } from "./tabs/share.ts";
import type { Client, ClientOptions } from "./types.ts";

/**
 * A client like that of `createClient`, whose connection is shared by all tabs of this origin that
 * have the same `url` and `storageName`. Where the platform lacks Web Locks or BroadcastChannel it
 * has one of its own.
 */
export function shareTabs(options: ClientOptions): Client {
  const locks = typeof navigator === "object" ? navigator.locks : undefined;
  if (locks === undefined || typeof BroadcastChannel !== "function") {
    return createClient(options);
  }
  return shareWith(options, locks);
}
