/** A field for a name of a room or a person, with a button. */

import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";
import { NAME_RULE, parseName } from "../place.ts";

interface NameFormProps {
  readonly id: string;
  readonly label: string;
  readonly action: string;
  /** The name that was meant, or nothing if it can be none. */
  readonly parse?: (typed: string) => string | undefined;
  /** Says which name was meant, if another one was typed. */
  readonly tell?: (name: string) => string;
  /** Says why this name cannot be, if so. */
  readonly refuse: (name: string) => string | undefined;
  readonly onName: (name: string) => void;
}

export function NameForm(props: NameFormProps) {
  const { id, label, action, parse = parseName, tell, refuse, onName } = props;
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState("");

  const name = parse(typed);
  const isOther = name !== undefined && name !== typed.trim();

  function submit(event: TargetedEvent<HTMLFormElement>): void {
    event.preventDefault();
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
        aria-describedby={`${id}-meant ${id}-problem`}
      />
      <button type="submit">{action}</button>
      <p id={`${id}-meant`} class="meant" role="status">
        {isOther ? tell?.(name) : ""}
      </p>
      <p id={`${id}-problem`} class="problem" role="alert">
        {problem}
      </p>
    </form>
  );
}
