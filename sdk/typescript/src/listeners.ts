/** Who listens to what. */

import type { On } from "./types.ts";

/** Listeners by the name of the event. */
export class Listeners<Events> {
  readonly #byName = new Map<keyof Events, Set<(event: never) => void>>();

  readonly on: On<Events> = (name, listener) => {
    const all = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, all.add(listener));
    return () => void all.delete(listener);
  };

  /** Tells it to all. One that throws does not keep it from the others, and is reported as uncaught. */
  tell<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#byName.get(name) ?? [])]) {
      try {
        // `on` lets only listeners of this event in under its name.
        (listener as (event: Events[Name]) => void)(event);
      } catch (cause) {
        queueMicrotask(() => {
          throw cause;
        });
      }
    }
  }
}
