/** Somebody who chats in a test: a client on a real server, as a page has one. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Storage } from "@tidings/client";
import { createClient } from "@tidings/client/node";
import { type Server, tokenOf } from "../../../../sdk/typescript/test/server/server.ts";
import type { Observed } from "../../src/observed.ts";
import type { Session } from "../../src/session.ts";

/** The policies that the chat asks for. */
export async function policies(): Promise<string> {
  const file = await readFile(join(import.meta.dirname, "../../tidings.toml"), "utf8");
  return file.slice(file.indexOf("[[topic]]"));
}

/** Signs in on a device, until the test is over. What `storage` keeps outlives the client, as a reload needs it. */
export function signedIn(
  context: TestContext,
  server: Server,
  user: string,
  { device = "web", storage }: { readonly device?: string; readonly storage?: Storage } = {},
): Session {
  const client = createClient({
    url: server.url,
    getToken: () => tokenOf(user),
    client: device,
    storage: storage ?? "memory",
    backoff: { baseMs: 20, maxMs: 100 },
  });
  context.after(() => client.close({ flushMs: 0 }));
  return { user, client, device: { name: device, release: () => undefined } };
}

/** What a browser would keep on its disk. */
export function disk(): Storage {
  const entries = new Map<string, unknown>();
  return {
    list: async (prefix) =>
      [...entries].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
    change: async (puts, removes) => {
      for (const [name, value] of puts) {
        entries.set(name, value);
      }
      for (const name of removes) {
        entries.delete(name);
      }
    },
    close: () => undefined,
  };
}

/** Waits until the value is as wanted; the test fails if it does not become so. */
export function until<T>(observed: Observed<T>, isWanted: (value: T) => boolean): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      stop();
      reject(new Error(`still ${JSON.stringify(observed.value)}`));
    }, 10_000);
    const look = () => {
      if (isWanted(observed.value)) {
        clearTimeout(late);
        stop();
        resolve(observed.value);
      }
    };
    const stop = observed.onChange(look);
    look();
  });
}
