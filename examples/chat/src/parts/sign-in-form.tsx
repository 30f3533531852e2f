/** Asks who one is. There is no password. */

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { NAME_RULE, parseName } from "../place.ts";
import { signInAs } from "../session.ts";

type Attempt =
  | { readonly phase: "typing" }
  | { readonly phase: "asking" }
  | { readonly phase: "refused"; readonly reason: string };

export function SignInForm({ suggested }: { readonly suggested: string }) {
  const [typed, setTyped] = useState(suggested);
  const [attempt, setAttempt] = useState<Attempt>({ phase: "typing" });

  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  async function submit(event: TargetedEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const user = parseName(typed);
    if (user === undefined) {
      setAttempt({ phase: "refused", reason: NAME_RULE });
      return;
    }
    setAttempt({ phase: "asking" });
    try {
      await signInAs(user);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      setAttempt({ phase: "refused", reason });
    }
  }

  const isRefused = attempt.phase === "refused";
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <img src="icon.svg" alt="" width="48" height="48" />
        <h1>Tidings chat</h1>
        <p class="quiet">
          A demo: choose a name, and you are that person. There is no password, so say nothing
          secret.
        </p>
        <label for="name">Your name</label>
        <input
          ref={field}
          id="name"
          data-testid="sign-in-name"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
          autocomplete="username"
          autocapitalize="none"
          spellcheck={false}
          maxLength={64}
          required
          aria-invalid={isRefused}
          aria-describedby="name-problem"
        />
        <p id="name-problem" class="problem" role="alert">
          {isRefused ? attempt.reason : ""}
        </p>
        <button
          type="submit"
          class="primary"
          data-testid="sign-in-submit"
          disabled={attempt.phase === "asking"}
        >
          {attempt.phase === "asking" ? "Signing in…" : "Sign in"}
        </button>
        <p class="quiet small">
          To try it, open a second window and be somebody else. Each tab remembers who it is.
        </p>
      </form>
    </main>
  );
}
