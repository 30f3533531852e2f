/** What an earlier page has left: its name, its session, its places, and what it did not get sent. */

import { browserStorage } from "./browser-storage.ts";
import { TidingsError } from "./errors.ts";
import { Keep } from "./keep.ts";
import { PLACES_MAX, STORAGE_PATIENCE_MS } from "./limits.ts";
import { memoryStorage } from "./memory-storage.ts";
import type { Entry } from "./outbox.ts";
import { hasLocks, type Release, tryLock, whenFree } from "./platform.ts";
import { OUTBOX_PREFIX } from "./publishing.ts";
import { randomName } from "./random.ts";
import type { Storage } from "./storage.ts";
import { type KeptPlace, PLACE_PREFIX } from "./subscriptions.ts";
import { within } from "./token.ts";
import type { ClientOptions } from "./types.ts";

const CLIENT_NAME = "client";
const SESSION_NAME = "session";

/** What is kept, and who of several pages may use it. */
export interface Kept {
  readonly keep: Keep;
  /** The name of this device or process. */
  readonly client: string;
  /** The session to take up again. */
  readonly session: string | undefined;
  readonly places: ReadonlyMap<string, KeptPlace>;
  keepSession(session: string | undefined): void;
  /** What clients that are no more have left to be sent; each is given to one client. */
  orphans(): Promise<Entry[]>;
  /** Writes what is not written, and lets go of everything. */
  close(): Promise<void>;
}

function isShared(options: ClientOptions): boolean {
  const browser = typeof indexedDB === "object" ? "browser" : "memory";
  return (options.storage ?? browser) !== "memory";
}

async function openStorage(
  options: ClientOptions,
  name: string,
  problem: (error: TidingsError) => void,
): Promise<Storage> {
  if (!isShared(options)) {
    return memoryStorage();
  }
  if (typeof options.storage === "object") {
    return options.storage;
  }
  const late = () =>
    new TidingsError(
      "storage_failed",
      "the browser's storage does not open: another page blocks it",
    );
  try {
    return await within(STORAGE_PATIENCE_MS, browserStorage(name), late);
  } catch (cause) {
    problem(
      cause instanceof TidingsError
        ? cause
        : new TidingsError("storage_failed", `the browser's storage does not open: ${cause}`, {
            cause,
          }),
    );
    return memoryStorage();
  }
}

/** The places kept, without those that were not used for longest where there are too many. */
function placesOf(
  entries: ReadonlyArray<readonly [string, unknown]>,
  keep: Keep,
): Map<string, KeptPlace> {
  const places = entries
    // Nobody else writes under this prefix.
    .map(([name, value]) => [name.slice(PLACE_PREFIX.length), value as KeptPlace] as const)
    .sort(([, a], [, b]) => b.at - a.at);
  for (const [topic] of places.slice(PLACES_MAX)) {
    keep.remove(PLACE_PREFIX + topic);
  }
  // The quietest first, as they are from now on.
  return new Map(places.slice(0, PLACES_MAX).reverse());
}

/** Locks of this client: one says that it lives, others what of earlier clients it has taken over. */
class Claims {
  readonly #prefix: string | undefined;
  readonly #held = new Map<string, Release>();
  readonly #watched = new Set<string>();

  /** Without a prefix nobody else can have anything. */
  constructor(prefix: string | undefined) {
    this.#prefix = prefix;
  }

  /** Whether it is this client's from now on. */
  async take(name: string): Promise<boolean> {
    if (this.#prefix === undefined || this.#held.has(name)) {
      return true;
    }
    const release = await tryLock(`${this.#prefix}/${name}`);
    if (release === undefined) {
      return false;
    }
    this.#held.set(name, release);
    return true;
  }

  /** Calls `freed` once whoever has it is gone. */
  watch(name: string, freed: () => void): void {
    if (this.#watched.has(name)) {
      return;
    }
    this.#watched.add(name);
    void whenFree(`${this.#prefix}/${name}`).then(() => {
      this.#watched.delete(name);
      freed();
    });
  }

  releaseAll(): void {
    for (const release of this.#held.values()) {
      release();
    }
    this.#held.clear();
  }
}

/**
 * Opens what is kept under the name in the options. `left` is called when another client is gone that
 * had something to be sent: a page that is reloaded may begin before the one before it has ended.
 */
export async function openKept(
  options: ClientOptions,
  instance: string,
  left: () => void,
  problem: (error: TidingsError) => void,
): Promise<Kept> {
  const storageName = options.storageName ?? "tidings";
  const storage = await openStorage(options, storageName, problem);
  const keep = new Keep(storage, (cause) =>
    problem(new TidingsError("storage_failed", `storage refuses a change: ${cause}`, { cause })),
  );
  const claims = new Claims(isShared(options) && hasLocks() ? `tidings/${storageName}` : undefined);
  await claims.take(`client/${instance}`);
  const [names, places] = await Promise.all([storage.list("c"), storage.list(PLACE_PREFIX)]);
  const sessions = await storage.list(SESSION_NAME);
  const kept = names.find(([name]) => name === CLIENT_NAME)?.[1];
  const client = options.client ?? (typeof kept === "string" ? kept : `js-${randomName()}`);
  if (options.client === undefined && kept !== client) {
    keep.put(CLIENT_NAME, client);
  }
  // A session has one connection, so of several pages one may have the kept one. Without locks
  // nobody knows whether there are several, but in a program of its own.
  const mayShare = isShared(options) && !hasLocks() && options.storage !== storage;
  const ownsSession = !mayShare && (await claims.take(SESSION_NAME));
  const session = sessions.find(([name]) => name === SESSION_NAME)?.[1];
  return {
    keep,
    client,
    session: ownsSession && typeof session === "string" ? session : undefined,
    places: placesOf(places, keep),
    keepSession(value) {
      if (ownsSession && value !== undefined) {
        keep.put(SESSION_NAME, value);
      } else if (ownsSession) {
        keep.remove(SESSION_NAME);
      }
    },
    async orphans() {
      const entries: Entry[] = [];
      // What was sent a moment ago is no orphan.
      await keep.flush();
      for (const [, value] of await storage.list(OUTBOX_PREFIX)) {
        // Nobody else writes under this prefix.
        const entry = value as Entry;
        const owner = `client/${entry.instance}`;
        if (entry.instance === instance) {
          continue;
        }
        if (await claims.take(owner)) {
          entries.push(entry);
        } else {
          claims.watch(owner, left);
        }
      }
      return entries;
    },
    async close() {
      await keep.flush();
      claims.releaseAll();
      storage.close();
    },
  };
}
