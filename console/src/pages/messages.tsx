/** What became of one message. */

import type { VNode } from "preact";
import type { Story, StorySubscription } from "../api/types.ts";
import { bytes, duration, whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import {
  Badge,
  type Fact,
  Facts,
  Head,
  Section,
  TopicLink,
  UserLink,
  Whose,
} from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { TimelineDrawing } from "../parts/timeline.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";
import { type Entry, entriesOf, timelineOf } from "../story/timeline.ts";

/** Asks for an id, and tells the story of its message. */
export function MessagesPage(props: PageProps): VNode {
  const id = props.route.subject;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const wanted = new FormData(event.currentTarget).get("id");
    if (typeof wanted === "string") location.hash = hrefOf("messages", wanted.trim());
  };
  return (
    <>
      <Head
        title="Story of a message"
        about="Where it is, who got it when, and how each delivery ended."
      />
      <search>
        <form class="search" onSubmit={submit}>
          <label class="wide">
            <span>Id of the message</span>
            <input
              key={id}
              name="id"
              required
              defaultValue={id ?? ""}
              placeholder="01JD0M2Q8G00Z0000000000003"
              spellcheck={false}
              autocomplete="off"
            />
          </label>
          <button type="submit">Tell</button>
        </form>
      </search>
      {id === undefined ? (
        <Empty command="tidings pub room/42 hello">
          A publish answers with the id of its message, and every list of messages links here.
          Publish one:
        </Empty>
      ) : (
        <OneStory id={id} />
      )}
    </>
  );
}

function OneStory(props: { readonly id: string }): VNode {
  const { api } = useShared();
  const { state, reload } = useLoaded((signal) => api.story(props.id, signal), [props.id]);
  return (
    <Answer state={state} reload={reload}>
      {(story) => (
        <>
          <Section
            title="Message"
            actions={
              <button type="button" onClick={reload}>
                Refresh
              </button>
            }
          >
            <Facts facts={factsOf(story)} />
          </Section>
          <Happened story={story} />
          <Section title="Subscriptions">
            <Subscriptions story={story} />
          </Section>
        </>
      )}
    </Answer>
  );
}

function factsOf(story: Story): Fact[] {
  const told = story.published ?? story.scheduled ?? undefined;
  const places = (story.places ?? []).map((place) => (
    <div key={place.offset}>
      <TopicLink topic={place.topic} /> at offset {place.offset}
      {place.replay_of !== undefined && ` (again, from dead letter ${place.replay_of})`}
      {!place.kept && " (trimmed)"}
    </div>
  ));
  if (told === undefined) return [["Places", places]];
  return [
    [
      story.published ? "Published" : "Accepted",
      <Time key="at" at={told.at} precision="milliseconds" />,
    ],
    ["Topic", <TopicLink key="topic" topic={told.topic} />],
    ["From", <UserLink key="from" user={told.from} />],
    ["Size", bytes(told.bytes)],
    ["Headers", whole(told.headers)],
    ...(told.deliver_at === undefined
      ? []
      : [["Due", <Time key="due" at={told.deliver_at} />] as const]),
    ...(told.order_key === undefined ? [] : [["Order key", told.order_key] as const]),
    ...(told.content_type === undefined ? [] : [["Content type", told.content_type] as const]),
    ...(told.traceparent === undefined
      ? []
      : [["Trace", <code key="t">{told.traceparent}</code>] as const]),
    ...(told.ttl_ms === undefined
      ? []
      : [
          [
            "Time to live",
            `${duration(told.ttl_ms)}${told.expired === true ? ", expired" : ""}`,
          ] as const,
        ]),
    ...(places.length === 0 ? [] : [["Places", places] as const]),
  ];
}

function Happened(props: { readonly story: Story }): VNode {
  const { story } = props;
  const entries = entriesOf(story);
  const timeline = timelineOf(entries);
  const begins = entries[0]?.at ?? 0;
  const since = story.record_from;
  return (
    <Section title="What happened">
      {timeline !== undefined && <TimelineDrawing timeline={timeline} />}
      <ol class="entries">
        {entries.map((entry, index) => (
          // Two things may happen in one millisecond and read the same.
          // A story is drawn whole, never in part, so that its place in the list can name an entry.
          <Told key={index} entry={entry} begins={begins} />
        ))}
      </ol>
      <p class="quiet">
        {since === null || since === undefined ? (
          "This server remembers no deliveries (trace.events = 0)."
        ) : (
          <>
            Deliveries of durable and shared subscriptions are remembered from <Time at={since} />{" "}
            on. Who got it live is not recorded.
          </>
        )}
      </p>
    </Section>
  );
}

function Told(props: { readonly entry: Entry; readonly begins: number }): VNode {
  const { entry } = props;
  return (
    <li class={entry.kind}>
      <span class="offset">+{duration(entry.at - props.begins)}</span>
      <span>
        {entry.reader !== undefined && <b>{entry.reader}: </b>}
        {entry.text}
      </span>
      <span class="quiet">
        <Time at={entry.at} precision="milliseconds" />
      </span>
    </li>
  );
}

const STATE_KINDS: Readonly<Record<string, "good" | "warn" | "plain">> = {
  settled: "good",
  pending: "warn",
};

function Subscriptions(props: { readonly story: Story }): VNode {
  const rows = props.story.subscriptions ?? [];
  if (rows.length === 0)
    return <p class="quiet">No durable or shared subscription has to do with it.</p>;
  const waits = (row: StorySubscription): string =>
    row.waiting === undefined
      ? "–"
      : `attempt ${row.waiting.attempt}, with ${row.client ?? "a client"}`;
  return (
    <>
      <Table
        caption="How it stands with durable and shared subscriptions"
        rows={rows.map((row, index) => ({ ...row, index }))}
        keyOf={(row) => row.index}
        columns={[
          { title: "Whose", kind: "long", of: (row) => <Whose {...row} /> },
          {
            title: "State",
            of: (row) => <Badge kind={STATE_KINDS[row.state] ?? "plain"}>{row.state}</Badge>,
          },
          { title: "Offset", kind: "number", of: (row) => whole(row.offset) },
          {
            title: "Attempts failed",
            kind: "number",
            of: (row) => whole(row.attempts_failed ?? 0),
          },
          { title: "Waits for an answer", kind: "long", of: waits },
        ]}
      />
      {props.story.subscriptions_complete === false && (
        <p class="quiet">There are more than 1 000 subscriptions; these are some of them.</p>
      )}
    </>
  );
}
