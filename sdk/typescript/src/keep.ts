/** Writes to storage: changes gather while one is being written, and none overtakes another. */

import type { Storage } from "./storage.ts";

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

  /** Puts it soon, or removes it where the value is `undefined`: with the next write, which begins at once unless `delayMs` is given. */
  put(name: string, value: unknown, delayMs?: number): void {
    this.#changes.set(name, value);
    if (delayMs === undefined) {
      void this.flush();
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => void this.flush(), delayMs);
    }
  }

  /** Resolves when everything so far is written, or could not be. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#write();
    return this.#writing;
  }

  async #write(): Promise<void> {
    // What is said in one turn is written together.
    await Promise.resolve();
    while (this.#changes.size > 0) {
      const changes = [...this.#changes];
      this.#changes = new Map();
      const puts = changes.filter(([, value]) => value !== undefined);
      const removes = changes.filter(([, value]) => value === undefined).map(([name]) => name);
      try {
        await this.#storage.change(puts, removes);
      } catch (cause) {
        this.#failed(cause);
        await this.#removeAlone(removes);
      }
    }
    // In the turn that has seen nothing to write: a change in between would wait for the next one.
    this.#writing = undefined;
  }

  /** There may be no room for what was put; what is done with goes all the same. */
  async #removeAlone(removes: string[]): Promise<void> {
    try {
      await this.#storage.change([], removes);
    } catch {
      // It was told with the whole change.
    }
  }
}
