/** Asks for the operator key. */

import type { VNode } from "preact";
import { Mark } from "../parts/mark.tsx";

const WORDS = {
  noKey: "This server wants to know that you are its operator.",
  keyRefused:
    "The server does not take this key. Keys change when the file or the configuration does.",
  left: "You are signed out. The key is forgotten in this tab.",
} as const;

/** The page of somebody who is not signed in. */
export function SignIn(props: {
  readonly why: keyof typeof WORDS;
  readonly enter: (key: string) => void;
}): VNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const key = new FormData(event.currentTarget).get("key");
    if (typeof key === "string" && key.trim() !== "") props.enter(key.trim());
  };
  return (
    <main class="alone">
      <h1>
        <Mark /> Tidings console
      </h1>
      <p role={props.why === "keyRefused" ? "alert" : undefined}>{WORDS[props.why]}</p>
      <form class="card stack" onSubmit={submit}>
        {/* Password stores keep a key better when it has a name. */}
        <input
          class="unseen"
          name="username"
          autocomplete="username"
          value="operator"
          readOnly
          tabIndex={-1}
          aria-hidden="true"
        />
        <label>
          <span>Operator key</span>
          <input type="password" name="key" required autocomplete="current-password" />
        </label>
        <button type="submit" class="main">
          Sign in
        </button>
      </form>
      <div class="quiet prose">
        <p>
          It is <code>auth.operator_key</code> of the configuration. Without one the server made a
          key at its first start, in the file <code>operator-key</code> of its data directory:
        </p>
        <p class="command">
          <code>cat tidings-data/operator-key</code>
        </p>
        <p>
          <code>tidings dev</code> prints an address that has it already.
        </p>
      </div>
    </main>
  );
}
