/** Moments: in the reader's zone, and in UTC where the pointer rests on them. */

import type { VNode } from "preact";
import { ago, iso, local, NOTHING } from "../format.ts";

/** A moment. */
export function Time(props: {
  readonly at: number | null | undefined;
  readonly precision?: "seconds" | "milliseconds";
}): VNode {
  if (props.at === null || props.at === undefined) return <span>{NOTHING}</span>;
  return (
    <time dateTime={iso(props.at)} title={iso(props.at)}>
      {local(props.at, props.precision ?? "seconds")}
    </time>
  );
}

/** How long ago a moment was, when the page was drawn. */
export function Ago(props: { readonly at: number | null | undefined }): VNode {
  if (props.at === null || props.at === undefined) return <span>{NOTHING}</span>;
  return (
    <time dateTime={iso(props.at)} title={`${local(props.at)} · ${iso(props.at)}`}>
      {ago(props.at, Date.now())}
    </time>
  );
}
