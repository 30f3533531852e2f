/**
 * A chart of the last minutes: lines over time, drawn as SVG so that the style sheet colours them. Its
 * values are also text, above it and in the table of the overview.
 */

import type { VNode } from "preact";
import { useRef, useState } from "preact/hooks";
import { duration, local } from "../format.ts";
import { ceilingOf, linePath } from "../metrics/line.ts";

/** One line of a chart. */
export interface Line {
  readonly name: string;
  readonly values: ReadonlyArray<number | undefined>;
}

const WIDTH = 300;
const HEIGHT = 100;

/** A chart of one to three lines that share a unit. */
export function Chart(props: {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly times: readonly number[];
  /** How many values the whole width has room for. */
  readonly room: number;
  readonly of: "numbers" | "bytes";
  readonly format: (value: number) => string;
}): VNode {
  const { lines, times, room, format } = props;
  const [pointed, setPointed] = useState<number>();
  const plot = useRef<HTMLDivElement>(null);
  const values = lines.flatMap((line) => line.values);
  const ceiling = ceilingOf(values, props.of);
  const shown = pointed === undefined ? undefined : Math.min(pointed, times.length - 1);
  const at = shown === undefined || shown < 0 ? times.length - 1 : shown;
  const time = times[at];

  const point = (event: PointerEvent): void => {
    const box = plot.current?.getBoundingClientRect();
    if (box === undefined || times.length === 0) return;
    const place = Math.round(((event.clientX - box.left) / box.width) * (room - 1));
    setPointed(Math.max(0, place - (room - times.length)));
  };
  return (
    <figure class="chart" aria-label={props.title}>
      <figcaption>
        <h2>{props.title}</h2>
        <span class="quiet when">
          {shown === undefined || time === undefined ? "" : local(time).slice(11)}
        </span>
      </figcaption>
      <ul class="legend">
        {lines.map((line, index) => {
          const value = line.values[at];
          return (
            <li key={line.name} class={`line-${index}`}>
              <span class="swatch" aria-hidden="true" />
              <span class="quiet">{line.name}</span>{" "}
              <b>{value === undefined ? "–" : format(value)}</b>
            </li>
          );
        })}
      </ul>
      <div
        ref={plot}
        class="plot"
        aria-hidden="true"
        onPointerMove={point}
        onPointerLeave={() => setPointed(undefined)}
      >
        <span class="ceiling">{format(ceiling)}</span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="presentation">
          <path
            class="grid"
            d={`M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}`}
          />
          {lines.map((line, index) => (
            <path
              key={line.name}
              class={`line line-${index}`}
              d={linePath(line.values, { room, ceiling, width: WIDTH, height: HEIGHT })}
            />
          ))}
          {shown !== undefined && <Pointer place={(room - times.length + at) / (room - 1)} />}
        </svg>
      </div>
      <div class="span quiet" aria-hidden="true">
        <span>{duration(room * 1000)} ago</span>
        <span>now</span>
      </div>
    </figure>
  );
}

function Pointer(props: { readonly place: number }): VNode {
  const x = (props.place * WIDTH).toFixed(1);
  return <path class="pointer" d={`M${x} 0V${HEIGHT}`} />;
}
