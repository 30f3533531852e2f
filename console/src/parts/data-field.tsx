/** The field in which a message's data is written. */

import type { VNode } from "preact";
import type { DataKind } from "../message-data.ts";

const KINDS: ReadonlyArray<readonly [DataKind, string]> = [
  ["json", "JSON"],
  ["text", "Text"],
  ["base64", "Bytes, as base64"],
];

/** Data and how it is written. */
export function DataField(props: {
  readonly kind: DataKind;
  readonly text: string;
  readonly setKind: (kind: DataKind) => void;
  readonly setText: (text: string) => void;
}): VNode {
  return (
    <div class="stack">
      <label>
        <span>Data</span>
        <textarea
          class="code"
          rows={6}
          spellcheck={false}
          value={props.text}
          onInput={(event) => props.setText(event.currentTarget.value)}
        />
      </label>
      <fieldset class="choices">
        <legend>The data is</legend>
        {KINDS.map(([kind, words]) => (
          <label key={kind}>
            <input
              type="radio"
              name="data-kind"
              checked={kind === props.kind}
              onChange={() => props.setKind(kind)}
            />
            <span>{words}</span>
          </label>
        ))}
      </fieldset>
    </div>
  );
}
