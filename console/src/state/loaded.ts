/** Answers of the server in the life of a page: asked for, there, asked for again, gone wrong. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError, isAborted } from "../api/request.ts";

/** An answer that a page waits for or has. */
export type Loaded<Value> =
  | { readonly phase: "loading" }
  /** `trouble` is what went wrong when it was asked for again; the value is the one of before. */
  | { readonly phase: "there"; readonly value: Value; readonly trouble?: ApiError }
  | { readonly phase: "failed"; readonly error: ApiError };

/** An answer, and a way to ask again. */
export interface Loading<Value> {
  readonly state: Loaded<Value>;
  readonly reload: () => void;
}

/**
 * Asks when the page is shown and when one of `about` changes, and again every `everyMs` while the
 * page can be seen. A question that is no longer of interest is given up.
 */
export function useLoaded<Value>(
  ask: (signal: AbortSignal) => Promise<Value>,
  about: readonly unknown[],
  everyMs?: number,
): Loading<Value> {
  const [state, setState] = useState<Loaded<Value>>({ phase: "loading" });
  const [asked, setAsked] = useState(0);
  const asking = useRef(ask);
  asking.current = ask;
  const subject = JSON.stringify(about);

  // Another subject starts over.
  useEffect(() => setState({ phase: "loading" }), [subject]);

  // `subject` and `asked` say when to ask.
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = (): void => {
      if (everyMs !== undefined && !stop.signal.aborted) timer = setTimeout(once, everyMs);
    };
    const once = async (): Promise<void> => {
      // What is asked for again and again can wait until somebody looks.
      if (document.hidden && everyMs !== undefined) return later();
      try {
        const value = await asking.current(stop.signal);
        if (!stop.signal.aborted) setState({ phase: "there", value });
      } catch (error) {
        if (stop.signal.aborted || isAborted(error)) return;
        setState((before) => withTrouble(before, asApiError(error)));
      }
      later();
    };
    void once();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [subject, asked, everyMs]);

  const reload = useCallback(() => setAsked((count) => count + 1), []);
  return { state, reload };
}

function withTrouble<Value>(before: Loaded<Value>, error: ApiError): Loaded<Value> {
  return before.phase === "there"
    ? { phase: "there", value: before.value, trouble: error }
    : { phase: "failed", error };
}
