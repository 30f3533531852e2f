/** One topic: what comes, what came, what it is. */

import type { VNode } from "preact";
import type { TopicState } from "../api/types.ts";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer } from "../parts/notices.tsx";
import { PublishForm } from "../parts/publish-form.tsx";
import { Badge, Facts, Head, Section, Views, Whose } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { settingText } from "../setting.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";
import { TopicHistory } from "./topic-history.tsx";
import { TopicTail } from "./topic-tail.tsx";

const VIEWS = [
  ["live", "Live"],
  ["history", "History"],
  ["publish", "Publish"],
  ["about", "Policy and cursors"],
] as const;

/** The page of a topic. */
export function TopicPage(props: PageProps): VNode {
  const { route } = props;
  const topic = route.subject ?? "";
  const view = VIEWS.find(([id]) => id === route.query.view)?.[0] ?? "live";
  return (
    <>
      <Head title={<span class="name">{topic}</span>} about="Topic" />
      <Views
        label="Views of the topic"
        page="topics"
        subject={topic}
        views={VIEWS}
        current={view}
      />
      {view === "live" && <TopicTail topic={topic} />}
      {view === "history" && <TopicHistory topic={topic} query={route.query} />}
      {view === "publish" && (
        <Section title="Publish a message">
          <PublishForm topic={topic} />
        </Section>
      )}
      {view === "about" && <About topic={topic} />}
    </>
  );
}

function About(props: { readonly topic: string }): VNode {
  const { api } = useShared();
  const { state, reload } = useLoaded(
    (signal) => api.topic(props.topic, signal),
    [props.topic],
    5000,
  );
  return (
    <Answer state={state} reload={reload}>
      {(topic) => (
        <>
          <Section title="Where it stands">
            <Facts
              facts={[
                ["Messages kept", whole(topic.messages)],
                ["First offset kept", whole(topic.first)],
                ["Last offset", whole(topic.offset)],
                ["Last message", <Time key="at" at={topic.last_at} />],
                ["Subscriptions here, but of groups", whole(topic.subscribers)],
                ["Epoch", <code key="epoch">{topic.epoch}</code>],
              ]}
            />
          </Section>
          <Section title="Policy">
            <p class="quiet">
              What the configuration says of it: the first matching [[topic]] section.
            </p>
            <Facts
              facts={Object.entries(topic.policy).map(([name, value]) => [
                name,
                settingText(value),
              ])}
            />
          </Section>
          <Section title="Cursors">
            <Cursors topic={topic} />
          </Section>
        </>
      )}
    </Answer>
  );
}

function Cursors(props: { readonly topic: TopicState }): VNode {
  const { cursors, cursors_more } = props.topic;
  if (cursors.length === 0) {
    return <p class="quiet">No durable or shared subscription reads this topic.</p>;
  }
  return (
    <>
      <Table
        caption="Cursors of durable and shared subscriptions"
        rows={cursors}
        keyOf={(row) => JSON.stringify([row.kind, row.user, row.durable, row.group, row.filter])}
        columns={[
          { title: "Whose", kind: "long", of: (row) => <Whose {...row} /> },
          { title: "Kind", of: (row) => <Badge>{row.kind}</Badge> },
          { title: "Next offset", kind: "number", of: (row) => whole(row.next) },
          { title: "Waiting", kind: "number", of: (row) => whole(row.pending) },
          { title: "Saved", of: (row) => <Time at={row.saved_at} /> },
        ]}
      />
      {cursors_more && <p class="quiet">There are more; these are the first 100.</p>}
    </>
  );
}
