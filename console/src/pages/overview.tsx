/** The last five minutes of the server, second by second. */

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { bytes, duration, short, whole } from "../format.ts";
import { type ErrorCount, errorCounts } from "../metrics/error-counts.ts";
import { type FeedView, POINTS_MAX } from "../metrics/feed.ts";
import type { Point } from "../metrics/point.ts";
import { total } from "../metrics/reading.ts";
import { Chart, type Line } from "../parts/chart.tsx";
import { Empty, Failure } from "../parts/notices.tsx";
import { Badge, Head, Section } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { hrefOf } from "../route.ts";
import { useShared } from "../state/shared.ts";

/** A chart of the overview: lines of one unit. */
interface Graph {
  readonly title: string;
  readonly format: (value: number) => string;
  readonly of?: "bytes";
  readonly lines: ReadonlyArray<{
    readonly name: string;
    readonly of: (point: Point) => number | undefined;
  }>;
}

const perSecond = (value: number): string => `${short(value)}/s`;
const bytesPerSecond = (value: number): string => `${bytes(value)}/s`;
const errorsOf = (point: Point): number => [...point.errors.values()].reduce((a, b) => a + b, 0);

const GRAPHS: readonly Graph[] = [
  {
    title: "Messages",
    format: perSecond,
    lines: [
      { name: "delivered", of: (point) => point.delivered },
      { name: "published", of: (point) => point.published },
    ],
  },
  {
    title: "Publish latency",
    format: duration,
    lines: [
      { name: "p99", of: (point) => point.publishP99Ms },
      { name: "p50", of: (point) => point.publishP50Ms },
    ],
  },
  {
    title: "Connections",
    format: short,
    lines: [{ name: "open", of: (point) => point.connections }],
  },
  {
    title: "Lag of groups",
    format: short,
    lines: [
      { name: "not settled", of: (point) => point.groupsLag },
      { name: "unacked", of: (point) => point.groupsUnacked },
    ],
  },
  {
    title: "WebSocket traffic",
    format: bytesPerSecond,
    of: "bytes",
    lines: [
      { name: "out", of: (point) => point.sentBytes },
      { name: "in", of: (point) => point.receivedBytes },
    ],
  },
  {
    title: "Errors told to clients",
    format: perSecond,
    lines: [{ name: "all codes", of: errorsOf }],
  },
];

/** The overview. */
export function OverviewPage(): VNode {
  const { feed } = useShared();
  const [view, setView] = useState<FeedView>(feed.view);
  const [isPaused, setPaused] = useState(false);
  useEffect(() => (isPaused ? undefined : feed.listen(setView)), [feed, isPaused]);
  return (
    <>
      <Head title="Overview" about="The last five minutes, second by second.">
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Go on" : "Pause"}
        </button>
      </Head>
      {view.trouble !== undefined && <Failure error={view.trouble} />}
      <Tiles view={view} />
      <div class="charts">
        {GRAPHS.map((graph) => (
          <Chart
            key={graph.title}
            title={graph.title}
            lines={linesOf(graph, view.points)}
            times={view.points.map((point) => point.at)}
            room={roomFor(view.points.length)}
            of={graph.of ?? "numbers"}
            format={graph.format}
          />
        ))}
      </div>
      <Errors view={view} />
      <Values points={view.points} />
    </>
  );
}

/** A minute at first; more as there is more to show, so that lines are not squeezed into a corner. */
function roomFor(count: number): number {
  return Math.min(POINTS_MAX, Math.max(60, count));
}

function linesOf(graph: Graph, points: readonly Point[]): Line[] {
  return graph.lines.map((line) => ({ name: line.name, values: points.map(line.of) }));
}

function Tiles(props: { readonly view: FeedView }): VNode {
  const { latest } = props.view;
  const of = (name: string): number | undefined =>
    latest === undefined ? undefined : total(latest, name);
  const isWritable = of("tidings_store_writable");
  const tiles: ReadonlyArray<readonly [title: string, value: string, href: string]> = [
    ["Connections", whole(of("tidings_connections")), hrefOf("users")],
    ["Topics", whole(of("tidings_store_topics")), hrefOf("topics")],
    ["Messages kept", whole(of("tidings_store_messages")), hrefOf("topics")],
    ["Dead letters", whole(of("tidings_dead_letters_kept")), hrefOf("dead-letters")],
    ["Scheduled", whole(of("tidings_scheduled")), hrefOf("scheduled")],
    ["Disk", bytes(of("tidings_store_disk_bytes")), hrefOf("node")],
  ];
  return (
    <>
      {isWritable === 0 && (
        <p class="notice bad">
          <Badge kind="bad">not writable</Badge> The store takes no messages.{" "}
          <a href={hrefOf("node")}>The node's page says why.</a>
        </p>
      )}
      <ul class="tiles">
        {tiles.map(([title, value, href]) => (
          <li key={title}>
            <a href={href}>
              <span class="quiet">{title}</span>
              <b>{value}</b>
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}

function Errors(props: { readonly view: FeedView }): VNode {
  const { latest, errorsRisen } = props.view;
  return (
    <Section title="Errors by code">
      {latest === undefined ? (
        <p class="quiet">The server has not answered yet.</p>
      ) : (
        <ErrorTable
          counts={errorCounts(latest, errorsRisen)}
          now={props.view.points.at(-1)?.errors}
        />
      )}
      <p class="quiet">
        Requests that were refused are counted here only. Who sent them is not kept.
      </p>
    </Section>
  );
}

function ErrorTable(props: {
  readonly counts: readonly ErrorCount[];
  readonly now: ReadonlyMap<string, number> | undefined;
}): VNode {
  const { counts, now } = props;
  if (counts.length === 0) {
    return <Empty>No error was told to a client since the server started.</Empty>;
  }
  const risen = (count: ErrorCount): string => (count.risen > 0 ? `+${whole(count.risen)}` : "0");
  return (
    <Table
      caption="Errors told to clients, by code"
      rows={counts}
      keyOf={(count) => count.code}
      columns={[
        {
          title: "Code",
          of: (count) => <a href={hrefOf("errors", count.code)}>{count.code}</a>,
        },
        { title: "Since the server started", kind: "number", of: (count) => whole(count.told) },
        { title: "Since you opened the console", kind: "number", of: risen },
        { title: "Now", kind: "number", of: (count) => perSecond(now?.get(count.code) ?? 0) },
      ]}
    />
  );
}

interface Value {
  readonly name: string;
  readonly format: (value: number) => string;
  readonly now: number | undefined;
  readonly least: number | undefined;
  readonly most: number | undefined;
}

/** What the charts show, for those who do not look at charts. */
function Values(props: { readonly points: readonly Point[] }): VNode {
  const written = (value: Value, part: "now" | "least" | "most"): string => {
    const number = value[part];
    return number === undefined ? "–" : value.format(number);
  };
  return (
    <details class="card">
      <summary>The values of the charts as a table</summary>
      <Table
        caption="Values of the charts in the last five minutes"
        rows={GRAPHS.flatMap((graph) => valuesOf(graph, props.points))}
        keyOf={(value) => value.name}
        columns={[
          { title: "Value", of: (value) => value.name },
          { title: "Now", kind: "number", of: (value) => written(value, "now") },
          { title: "Least", kind: "number", of: (value) => written(value, "least") },
          { title: "Most", kind: "number", of: (value) => written(value, "most") },
        ]}
      />
    </details>
  );
}

function valuesOf(graph: Graph, points: readonly Point[]): Value[] {
  return graph.lines.map((line) => {
    const values = points.map(line.of);
    const known = values.filter((value) => value !== undefined);
    return {
      name: `${graph.title}: ${line.name}`,
      format: graph.format,
      now: values.at(-1),
      least: known.length === 0 ? undefined : Math.min(...known),
      most: known.length === 0 ? undefined : Math.max(...known),
    };
  });
}
