/** The console: signs somebody in, and gives pages what they share. */

import type { VNode } from "preact";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Api } from "./api/api.ts";
import { ApiError, asApiError, Requester } from "./api/request.ts";
import { MetricsFeed } from "./metrics/feed.ts";
import { SignIn } from "./pages/sign-in.tsx";
import { Failure } from "./parts/notices.tsx";
import { Shell } from "./shell.tsx";
import type { KeyHolder, Session } from "./state/session.ts";
import { type Shared, SharedContext } from "./state/shared.ts";

/** How long a word about what was done stays. */
const SAID_MS = 6000;

/** The whole console. */
export function App(props: { readonly keyHolder: KeyHolder }): VNode {
  const { keyHolder } = props;
  const [session, setSession] = useState<Session>({ phase: "checking" });
  const [said, announce] = useSaid();

  const shared = useMemo((): Shared => {
    const refused = (): void => {
      const why = keyHolder.get() === undefined ? "noKey" : "keyRefused";
      keyHolder.forget();
      // A second refusal of requests that were under way says nothing new.
      setSession((now) => (now.phase === "signedOut" ? now : { phase: "signedOut", why }));
    };
    const api = new Api(new Requester(() => keyHolder.get(), refused));
    return { api, feed: new MetricsFeed(() => api.metrics()), announce };
  }, [keyHolder, announce]);

  const check = useCallback(async (): Promise<void> => {
    setSession({ phase: "checking" });
    try {
      await shared.api.node();
      setSession({ phase: "signedIn" });
    } catch (error) {
      // Who is not let in was told so already.
      if (error instanceof ApiError && error.status === 401) return;
      setSession({ phase: "unreachable", error: asApiError(error) });
    }
  }, [shared]);
  useEffect(() => void check(), [check]);

  const enter = (key: string): void => {
    keyHolder.set(key);
    void check();
  };
  const leave = (): void => {
    keyHolder.forget();
    setSession({ phase: "signedOut", why: "left" });
  };
  return (
    <SharedContext.Provider value={shared}>
      <Inside session={session} enter={enter} leave={leave} again={() => void check()} />
      <div class={said === "" ? "said" : "said shown"} role="status" aria-live="polite">
        {said}
      </div>
    </SharedContext.Provider>
  );
}

function Inside(props: {
  readonly session: Session;
  readonly enter: (key: string) => void;
  readonly leave: () => void;
  readonly again: () => void;
}): VNode {
  const { session } = props;
  switch (session.phase) {
    case "checking":
      return (
        <main class="alone">
          <p class="waiting">Asking the server…</p>
        </main>
      );
    case "unreachable":
      return (
        <main class="alone">
          <h1>The server does not answer as it should</h1>
          <Failure error={session.error} again={props.again} />
        </main>
      );
    case "signedOut":
      return <SignIn why={session.why} enter={props.enter} />;
    case "signedIn":
      return <Shell leave={props.leave} />;
  }
}

/** A text that goes away by itself. */
function useSaid(): [string, (text: string) => void] {
  const [said, setSaid] = useState<{ readonly text: string }>({ text: "" });
  useEffect(() => {
    if (said.text === "") return;
    const timer = setTimeout(() => setSaid({ text: "" }), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const announce = useCallback((text: string) => setSaid({ text }), []);
  return [said.text, announce];
}
