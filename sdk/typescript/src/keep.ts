/** Writes to storage: changes gather while one is being written, and none overtakes another. */

import type { Storage } from "./storage.ts";

/** What stands in the place of a value that is to be removed. */
const GONE = Symbol("gone");

/** Gathers changes by name, so that what is put and removed soon after is never written. */
export class Keep {
  readonly #storage: Storage;
  readonly #failed: (cause: unknown) => void;
  #changes = new Map<string, unknown>();
  #writing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(storage: Storage, failed: (cause: unknown) => void) {
    this.#storage = storage;
    this.#failed = failed;
  }

  /** Puts it soon: with the next write, which begins at once unless `delayMs` is given. */
  put(name: string, value: unknown, delayMs?: number): void {
    this.#changes.set(name, value);
    this.#soon(delayMs);
  }

  remove(name: string): void {
    this.#changes.set(name, GONE);
    this.#soon(undefined);
  }

  /** Resolves when everything so far is written, or could not be. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  #soon(delayMs: number | undefined): void {
    if (delayMs === undefined) {
      void this.flush();
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => void this.flush(), delayMs);
    }
  }

  async #write(): Promise<void> {
    // What is said in one turn is written together.
    await Promise.resolve();
    while (this.#changes.size > 0) {
      const changes = [...this.#changes];
      this.#changes = new Map();
      const puts = changes.filter(([, value]) => value !== GONE);
      const removes = changes.filter(([, value]) => value === GONE).map(([name]) => name);
      try {
        await this.#storage.change(puts, removes);
      } catch (cause) {
        this.#failed(cause);
      }
    }
  }
}
