/** Draws the story of a message: lanes over time. The list below it says the same in words. */

import type { VNode } from "preact";
import { duration, local } from "../format.ts";
import type { Mark, Timeline } from "../story/timeline.ts";

/** The drawing; for eyes alone. */
export function TimelineDrawing(props: { readonly timeline: Timeline }): VNode {
  const { begins, ends, lanes } = props.timeline;
  return (
    <div class="timeline" aria-hidden="true">
      {lanes.map((lane) => (
        <div key={lane.name} class="lane">
          <span class="lane-name">{lane.name}</span>
          <div class="track">
            {lane.marks.map((mark) => (
              <Drawn key={`${mark.from} ${mark.to} ${mark.text}`} mark={mark} />
            ))}
          </div>
          {lane.reasons !== undefined && <span class="lane-reasons">{lane.reasons}</span>}
        </div>
      ))}
      <div class="lane">
        <span class="lane-name" />
        <div class="ticks quiet">
          <span>{local(begins, "milliseconds").slice(11)}</span>
          <span>not to scale</span>
          <span>+{duration(ends - begins)}</span>
        </div>
      </div>
    </div>
  );
}

function Drawn(props: { readonly mark: Mark }): VNode {
  const { mark } = props;
  const left = `${mark.from * 100}%`;
  const width = `${(mark.to - mark.from) * 100}%`;
  return (
    <>
      {mark.to > mark.from && <span class={`stretch ${mark.kind}`} style={{ left, width }} />}
      <span class={`mark ${mark.kind}`} style={{ left: `${mark.to * 100}%` }} title={mark.text} />
    </>
  );
}
