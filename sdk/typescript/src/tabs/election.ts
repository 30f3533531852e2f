/** Which tab leads: the one that has the lock. The platform gives it on when a tab is gone. */

/** What of the Web Locks API is used. */
export type Locks = Pick<LockManager, "request">;

/** Who is told of being the leader. */
export interface ElectionEvents {
  leads(): void;
  /** Another tab has taken the lead, since this one did not answer. */
  deposed(): void;
}

export class Election {
  readonly #locks: Locks;
  readonly #name: string;
  readonly #events: ElectionEvents;
  readonly #over = new AbortController();
  #release: (() => void) | undefined;

  constructor(locks: Locks, name: string, events: ElectionEvents) {
    this.#locks = locks;
    this.#name = name;
    this.#events = events;
    void this.#stand({ signal: this.#over.signal });
  }

  /** Takes the lead from a tab that does not answer. */
  takeOver(): void {
    if (this.#release === undefined && !this.#over.signal.aborted) {
      void this.#stand({ steal: true });
    }
  }

  stop(): void {
    this.#over.abort();
    this.#release?.();
    this.#release = undefined;
  }

  /** Waits for the lock, leads while it has it, and waits anew if it was taken. */
  async #stand(options: LockOptions): Promise<void> {
    try {
      await this.#locks.request(this.#name, options, () => this.#lead());
    } catch {
      // Stopped while it waited, or taken over while it led.
      this.#release = undefined;
      if (!this.#over.signal.aborted) {
        this.#events.deposed();
        void this.#stand({ signal: this.#over.signal });
      }
    }
  }

  #lead(): Promise<void> | undefined {
    if (this.#over.signal.aborted || this.#release !== undefined) {
      return undefined;
    }
    return new Promise((release) => {
      this.#release = release;
      this.#events.leads();
    });
  }
}
