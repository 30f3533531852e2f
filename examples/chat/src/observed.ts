/** A value that a page shows, and that tells when it has changed. */

import { useEffect, useReducer } from "preact/hooks";

export class Observed<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set value(value: T) {
    if (Object.is(value, this.#value)) {
      return;
    }
    this.#value = value;
    // A listener may add and remove others.
    for (const listener of [...this.#listeners]) {
      listener();
    }
  }

  /** Calls the listener after each change until the function that it returns is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** The value, now and after each change, in a part of the page. */
export function useObserved<T>(observed: Observed<T>): T {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    // It may have changed between drawing and listening.
    redraw(undefined);
    return observed.onChange(() => redraw(undefined));
  }, [observed]);
  return observed.value;
}

/** The time, to the given step, as long as it matters. */
export function useNow(stepMs: number, matters: boolean): number {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (!matters) {
      return;
    }
    const timer = setInterval(() => redraw(undefined), stepMs);
    return () => clearInterval(timer);
  }, [stepMs, matters]);
  return Date.now();
}
