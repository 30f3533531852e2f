/** A button that copies a text. */

import type { VNode } from "preact";
import { useShared } from "../state/shared.ts";

/** Copies `text`, and says so; `what` it is, in words. */
export function Copy(props: { readonly text: string; readonly what: string }): VNode {
  const { announce } = useShared();
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(props.text);
      announce(`Copied ${props.what}.`);
    } catch {
      // Browsers have no clipboard for pages that came over plain HTTP from another machine.
      announce("This browser does not let the page copy: mark the text instead.");
    }
  };
  return (
    <button type="button" class="small" onClick={() => void copy()}>
      Copy<span class="unseen"> {props.what}</span>
    </button>
  );
}
