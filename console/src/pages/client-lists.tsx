/** What the client in the page has heard, and the frames behind it. */

import type { VNode } from "preact";
import { iso, local, short, whole } from "../format.ts";
import { Empty } from "../parts/notices.tsx";
import type { FrameRow, HeardRow } from "../state/trial.ts";
import type { TailView } from "../stream/tail.ts";

/** Messages, the newest first. */
export function HeardList(props: { readonly heard: TailView<HeardRow> }): VNode {
  const { heard } = props;
  if (heard.rows.length === 0) {
    return <Empty>Nothing yet. Subscribe to a topic, then publish to it.</Empty>;
  }
  return (
    <>
      <Figures view={heard} what="messages" />
      <ol class="messages plain" aria-label="Messages, the newest first">
        {heard.rows.map((row) => (
          <li key={row.key}>
            <Clock at={row.at} />
            <span class="from">{row.topic}</span>
            <code>{row.text}</code>
          </li>
        ))}
      </ol>
    </>
  );
}

/** Frames, the newest first. */
export function FrameList(props: { readonly frames: TailView<FrameRow> }): VNode {
  const { frames } = props;
  if (frames.rows.length === 0) return <Empty>No frame was sent or received yet.</Empty>;
  return (
    <>
      <Figures view={frames} what="frames" />
      <ol class="messages plain" aria-label="Frames, the newest first">
        {frames.rows.map((row) => (
          <li key={row.key}>
            <Clock at={row.at} />
            <span class="from">{row.way === "sent" ? "→ sent" : "← received"}</span>
            <code>{row.text}</code>
          </li>
        ))}
      </ol>
    </>
  );
}

function Figures(props: { readonly view: TailView<unknown>; readonly what: string }): VNode {
  const { view, what } = props;
  return (
    <p class="quiet figures">
      <span>
        {short(view.perSecond)} {what}/s
      </span>
      <span>{whole(view.seen)} in all</span>
      {view.leftOut > 0 && <span>{whole(view.leftOut)} not shown, because they come too fast</span>}
    </p>
  );
}

function Clock(props: { readonly at: number }): VNode {
  return (
    <time dateTime={iso(props.at)} title={iso(props.at)}>
      {local(props.at, "milliseconds").slice(11)}
    </time>
  );
}
