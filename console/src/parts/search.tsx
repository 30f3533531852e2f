/** Forms that choose what a list shows. What was chosen stands in the address. */

import type { ComponentChildren, VNode } from "preact";
import { useState } from "preact/hooks";
import { hrefOf } from "../route.ts";
import { useNarrow } from "../state/narrow.ts";

/** More fields than this leave a narrow screen no room for what they choose. */
const FIELDS_OPEN_MAX = 3;

/** A field of such a form. */
export interface SearchField {
  readonly name: string;
  readonly label: string;
  readonly placeholder?: string;
  /** Where only some values are possible: each with its words, the first one meaning any. */
  readonly choices?: ReadonlyArray<readonly [value: string, words: string]>;
  readonly type?: "search" | "number" | "datetime-local";
}

/** A form whose fields are the parameters of a page's address. */
export function Search(props: {
  readonly page: string;
  readonly subject?: string | undefined;
  readonly query: Readonly<Record<string, string>>;
  readonly fields: readonly SearchField[];
  /** Parameters that stay whatever is chosen. */
  readonly kept?: Readonly<Record<string, string | undefined>>;
}): VNode {
  const isLong = props.fields.length > FIELDS_OPEN_MAX;
  const [isOpen, setOpen] = useState(false);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const chosen: Record<string, string | undefined> = { ...props.kept };
    for (const [name, value] of new FormData(event.currentTarget)) {
      if (typeof value === "string") chosen[name] = value.trim();
    }
    location.hash = hrefOf(props.page, props.subject, chosen);
    setOpen(false);
  };
  const form = (
    <form class="search" onSubmit={submit}>
      {props.fields.map((field) => (
        <label key={field.name} for={idOf(field)}>
          <span>{field.label}</span>
          <Input field={field} value={props.query[field.name] ?? ""} />
        </label>
      ))}
      <button type="submit">Show</button>
    </form>
  );
  if (!isLong) return <search>{form}</search>;
  const chosen = props.fields.filter((field) => isChosen(field, props.query[field.name])).length;
  return (
    <search>
      <Folded title={chosen === 0 ? "Filters" : `Filters: ${chosen} set`} {...{ isOpen, setOpen }}>
        {form}
      </Folded>
    </search>
  );
}

function isChosen(field: SearchField, value: string | undefined): boolean {
  const any = field.choices?.[0]?.[0] ?? "";
  return value !== undefined && value !== "" && value !== any;
}

/** On a narrow screen behind a line that opens it; elsewhere as it is. */
function Folded(props: {
  readonly title: string;
  readonly isOpen: boolean;
  readonly setOpen: (isOpen: boolean) => void;
  readonly children: ComponentChildren;
}): VNode {
  const isNarrow = useNarrow();
  // The same elements at every width, so that turning a phone loses nothing that was typed.
  return (
    <details
      class={isNarrow ? "folded" : "unfolded"}
      open={!isNarrow || props.isOpen}
      onToggle={(event) => {
        if (isNarrow) props.setOpen(event.currentTarget.open);
      }}
    >
      <summary>{props.title}</summary>
      {props.children}
    </details>
  );
}

function idOf(field: SearchField): string {
  return `search-${field.name}`;
}

function Input(props: { readonly field: SearchField; readonly value: string }): VNode {
  const { field, value } = props;
  const { choices } = field;
  if (choices === undefined) {
    const shared = {
      id: idOf(field),
      name: field.name,
      defaultValue: value,
      placeholder: field.placeholder,
    };
    if (field.type === "datetime-local") {
      return <input key={value} type="datetime-local" step={1} {...shared} />;
    }
    if (field.type === "number") return <input key={value} type="number" min={0} {...shared} />;
    return <input key={value} type="search" autocomplete="off" spellcheck={false} {...shared} />;
  }
  return (
    <select key={value} id={idOf(field)} name={field.name}>
      {choices.map(([choice, words]) => (
        <option key={choice} value={choice} selected={choice === value}>
          {words}
        </option>
      ))}
    </select>
  );
}
