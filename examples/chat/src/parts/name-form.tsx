/** A field for a name of a room or a person, with a button. */

import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";
import { NAME_RULE, parseName } from "../place.ts";

interface NameFormProps {
  readonly id: string;
  readonly label: string;
  readonly action: string;
  /** Says why this name cannot be, if so. */
  readonly refuse: (name: string) => string | undefined;
  readonly onName: (name: string) => void;
}

export function NameForm({ id, label, action, refuse, onName }: NameFormProps) {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState("");

  function submit(event: TargetedEvent<HTMLFormElement>): void {
    event.preventDefault();
    const name = parseName(typed);
    const reason = name === undefined ? NAME_RULE : refuse(name);
    setProblem(reason ?? "");
    if (name !== undefined && reason === undefined) {
      setTyped("");
      onName(name);
    }
  }

  return (
    <form class="name-form" onSubmit={submit}>
      <label class="unseen" for={id}>
        {label}
      </label>
      <input
        id={id}
        data-testid={id}
        placeholder={label}
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
        autocomplete="off"
        autocapitalize="none"
        maxLength={64}
        required
        aria-invalid={problem !== ""}
        aria-describedby={`${id}-problem`}
      />
      <button type="submit">{action}</button>
      <p id={`${id}-problem`} class="problem" role="alert">
        {problem}
      </p>
    </form>
  );
}
