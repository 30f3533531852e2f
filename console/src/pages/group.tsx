/** One group: its members, and its topics with what waits in them. */

import type { VNode } from "preact";
import type { GroupState } from "../api/types.ts";
import { duration, whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer } from "../parts/notices.tsx";
import { Facts, Head, Section, TopicLink, UserLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The groups of a name, or the one of a topic or filter. */
export function GroupPage(props: PageProps): VNode {
  const { api } = useShared();
  const name = props.route.subject ?? "";
  const { filter } = props.route.query;
  const { state, reload } = useLoaded(
    (signal) => api.group(name, filter, signal),
    [name, filter],
    2000,
  );
  return (
    <>
      <Head title={<span class="name">{name}</span>} about="Group" />
      <Answer state={state} reload={reload}>
        {({ groups }) => (
          <>
            {groups.map((group) => (
              <Group key={group.filter} group={group} />
            ))}
          </>
        )}
      </Answer>
    </>
  );
}

function Group(props: { readonly group: GroupState }): VNode {
  const { group } = props;
  return (
    <>
      <Section title={group.filter}>
        <Facts
          facts={[
            ["Not settled", whole(group.lag)],
            ["With members", `${whole(group.unacked)} of ${whole(group.window)}`],
            ["Oldest with a member", duration(group.oldest_unacked_ms)],
          ]}
        />
      </Section>
      <Section title="Members">
        {group.members.length === 0 ? (
          <p class="notice warn">Nobody is a member now: messages wait.</p>
        ) : (
          <Table
            caption={`Members of the group on ${group.filter}`}
            rows={group.members.map((member, index) => ({ ...member, index }))}
            keyOf={(row) => row.index}
            columns={[
              { title: "User", kind: "long", of: (row) => <UserLink user={row.user} /> },
              { title: "Client", kind: "long", of: (row) => row.client },
              { title: "Unacked", kind: "number", of: (row) => whole(row.unacked) },
              { title: "Window", kind: "number", of: (row) => whole(row.window) },
            ]}
          />
        )}
      </Section>
      <Section title="Topics">
        <Topics group={group} />
      </Section>
    </>
  );
}

function Topics(props: { readonly group: GroupState }): VNode {
  const { group } = props;
  if (group.topics.length === 0) return <p class="quiet">Nothing waits in any topic.</p>;
  return (
    <Table
      caption={`Topics of the group on ${group.filter}`}
      rows={group.topics}
      keyOf={(row) => row.topic}
      columns={[
        { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
        { title: "Not settled", kind: "number", of: (row) => whole(row.lag) },
        { title: "With members", kind: "number", of: (row) => whole(row.unacked) },
        { title: "Held back", kind: "number", of: (row) => whole(row.waiting) },
        { title: "Most attempts", kind: "number", of: (row) => whole(row.attempts_most) },
        { title: "Oldest", kind: "number", of: (row) => duration(row.oldest_unacked_ms) },
        { title: "Cursor", kind: "number", of: (row) => whole(row.cursor) },
        { title: "Last offset", kind: "number", of: (row) => whole(row.head) },
      ]}
    />
  );
}
