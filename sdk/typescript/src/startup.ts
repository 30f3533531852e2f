/** What an earlier page has left: its name, its session, its places, and what it did not get sent. */

import { browserStorage } from "./browser-storage.ts";
import { storageFailed, type TidingsError } from "./errors.ts";
import { Keep } from "./keep.ts";
import { ORPHAN_AGE_MS, PLACES_MAX, STORAGE_PATIENCE_MS } from "./limits.ts";
import { memoryStorage } from "./memory-storage.ts";
import type { Entry } from "./outbox.ts";
import { hasLocks, type Release, tryLock } from "./platform.ts";
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
  /**
   * What clients that are no more have left to be sent, the same until it is removed; each is given to
   * one client. In pages without locks nobody knows who is no more: then it is what others had before
   * this client began, once it is old. A repeat does no harm, since it has the same key.
   */
  orphans(): Promise<Entry[]>;
  /** Writes what is not written, and lets go of everything. */
  close(): Promise<void>;
}

/** What storage comes to, if it does so in time. */
export function inTime<Value>(promise: Promise<Value>): Promise<Value> {
  return within(STORAGE_PATIENCE_MS, promise, () => storageFailed("it does not answer"));
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
    keep.put(PLACE_PREFIX + topic, undefined);
  }
  // The quietest first, as they are from now on.
  return new Map(places.slice(0, PLACES_MAX).reverse());
}

/** Locks of this client: one says that it lives, others what of earlier clients it has taken over. */
class Claims {
  readonly #prefix: string | undefined;
  readonly #held = new Map<string, Release>();
  #isOver = false;

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
    if (this.#isOver) {
      // Nobody would let go of it later.
      release?.();
    } else if (release !== undefined) {
      this.#held.set(name, release);
    }
    return this.#held.has(name);
  }

  releaseAll(): void {
    this.#isOver = true;
    for (const release of this.#held.values()) {
      release();
    }
    this.#held.clear();
  }
}

/** Clients and tables of this program that are in use: without locks nothing else is known. */
const living = /* @__PURE__ */ new Set<string>();
const inUse = /* @__PURE__ */ new WeakSet<Storage>();

/** Opens what is kept under the name in the options. */
export async function openKept(
  options: ClientOptions,
  instance: string,
  problem: (error: TidingsError) => void,
): Promise<Kept> {
  const storageName = options.storageName ?? "tidings";
  const knowsOthers = hasLocks();
  const asked = options.storage ?? (typeof indexedDB === "object" ? "browser" : "memory");
  const isOwn = asked === "memory";
  const opened = asked === "browser" ? await browserStorage(storageName) : asked;
  const storage = opened === "memory" ? memoryStorage() : opened;
  const keep = new Keep(storage, (cause) => problem(storageFailed(cause)));
  const claims = new Claims(knowsOthers && !isOwn ? `tidings/${storageName}` : undefined);
  living.add(instance);
  await claims.take(`client/${instance}`);
  const only = async (wanted: string) =>
    (await storage.list(wanted)).find(([name]) => name === wanted)?.[1];
  const places = await storage.list(PLACE_PREFIX);
  const session = await only(SESSION_NAME);
  const kept = await only(CLIENT_NAME);
  const client = options.client ?? (typeof kept === "string" ? kept : `js-${randomName()}`);
  if (options.client === undefined && kept !== client) {
    keep.put(CLIENT_NAME, client);
  }
  // A session has one connection, so of several pages one may have the kept one. Without locks
  // nobody knows whether there are several, but in a program of its own.
  const mayShare = asked === "browser" && !knowsOthers;
  const isFirst = !inUse.has(storage);
  inUse.add(storage);
  const ownsSession = isFirst && !mayShare && (await claims.take(SESSION_NAME));
  /** Who had something to be sent when this client began. */
  let before: Set<string> | undefined;
  return {
    keep,
    client,
    session: ownsSession && typeof session === "string" ? session : undefined,
    places: placesOf(places, keep),
    keepSession(value) {
      if (ownsSession) {
        keep.put(SESSION_NAME, value);
      }
    },
    async orphans() {
      // What was sent a moment ago is no orphan.
      await keep.flush();
      // Nobody else writes under this prefix.
      const all = (await storage.list(OUTBOX_PREFIX)).map(([, value]) => value as Entry);
      before ??= new Set(all.map((entry) => entry.instance));
      const entries: Entry[] = [];
      for (const entry of all) {
        const { instance: owner, since } = entry;
        const isOld = before.has(owner) && since < Date.now() - ORPHAN_AGE_MS;
        const mayBeGone = !living.has(owner) && (isOld || !mayShare);
        if (mayBeGone && (await claims.take(`client/${owner}`))) {
          entries.push(entry);
        }
      }
      return entries;
    },
    async close() {
      // A write that never ends keeps nobody from the rest.
      await inTime(keep.flush()).catch(() => {});
      claims.releaseAll();
      living.delete(instance);
      if (isFirst) {
        inUse.delete(storage);
      }
      storage.close();
    },
  };
}
