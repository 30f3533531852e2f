/** The Web Locks of one process, for a runtime that has none: exclusive, in turn, with `steal` and `ifAvailable`. */

import type { Locks } from "../../src/tabs/election.ts";

/** Somebody who has a lock, or waits for it. */
interface Request {
  grant(): void;
  /** Loses it, or the hope of it. */
  lose(): void;
}

class OneLock {
  holder: Request | undefined;
  readonly waiting: Request[] = [];

  next(): void {
    this.holder = this.waiting.shift();
    this.holder?.grant();
  }
}

/** Locks that all tabs of a test have together. */
export function locksOfOneProcess(): Locks {
  const all = new Map<string, OneLock>();
  const request = async (
    name: string,
    ...rest: [LockGrantedCallback<unknown>] | [LockOptions, LockGrantedCallback<unknown>]
  ): Promise<unknown> => {
    const [options, callback] = rest.length === 1 ? [{}, rest[0]] : rest;
    const lock = all.get(name) ?? new OneLock();
    all.set(name, lock);
    options.signal?.throwIfAborted();
    if (options.ifAvailable === true && lock.holder !== undefined) {
      return callback(null);
    }
    let lost: (reason: unknown) => void = () => {};
    const losing = new Promise<never>((_, reject) => {
      lost = reject;
    });
    losing.catch(() => {});
    const granted = new Promise<void>((resolve) => {
      const mine: Request = {
        grant: resolve,
        lose: () => lost(new DOMException("the lock was lost", "AbortError")),
      };
      options.signal?.addEventListener("abort", () => {
        const at = lock.waiting.indexOf(mine);
        if (at >= 0) {
          lock.waiting.splice(at, 1);
          mine.lose();
        }
      });
      if (options.steal === true) {
        lock.holder?.lose();
        lock.holder = mine;
        resolve();
      } else if (lock.holder === undefined) {
        lock.holder = mine;
        resolve();
      } else {
        lock.waiting.push(mine);
      }
    });
    await Promise.race([granted, losing]);
    const { holder } = lock;
    try {
      return await Promise.race([callback({ mode: "exclusive", name }), losing]);
    } finally {
      if (lock.holder === holder) {
        lock.next();
      }
    }
  };
  // The overloads of the platform are these two.
  return { request } as Locks;
}
