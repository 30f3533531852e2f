/** Groups of shared subscriptions and how far behind they are. */

import type { VNode } from "preact";
import { duration, whole } from "../format.ts";
import { Answer, Empty } from "../parts/notices.tsx";
import { Badge, Head } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The list of groups. */
export function GroupsPage(): VNode {
  const { api } = useShared();
  const { state, reload } = useLoaded((signal) => api.groups(signal), [], 2000);
  return (
    <>
      <Head title="Groups" about="Shared subscriptions, those with the most waiting first." />
      <Answer state={state} reload={reload}>
        {({ groups, total }) =>
          groups.length === 0 ? (
            <Empty command="tidings sub 'jobs/#' --group workers">
              There are no groups. One begins with its first member:
            </Empty>
          ) : (
            <>
              <Table
                caption="Groups"
                rows={groups}
                keyOf={(row) => JSON.stringify([row.group, row.filter])}
                columns={[
                  {
                    title: "Group",
                    kind: "long",
                    of: (row) => (
                      <a class="name" href={hrefOf("groups", row.group, { filter: row.filter })}>
                        {row.group}
                      </a>
                    ),
                  },
                  {
                    title: "Topic or filter",
                    kind: "long",
                    of: (row) => <code>{row.filter}</code>,
                  },
                  {
                    title: "Members",
                    kind: "number",
                    of: (row) => <Members count={row.members} lag={row.lag} />,
                  },
                  { title: "Not settled", kind: "number", of: (row) => whole(row.lag) },
                  {
                    title: "With members",
                    kind: "number",
                    of: (row) => `${whole(row.unacked)} of ${whole(row.window)}`,
                  },
                  {
                    title: "Oldest with a member",
                    kind: "number",
                    of: (row) => duration(row.oldest_unacked_ms),
                  },
                ]}
              />
              {total > groups.length && (
                <p class="quiet">
                  {whole(groups.length)} of {whole(total)} groups.
                </p>
              )}
            </>
          )
        }
      </Answer>
    </>
  );
}

function Members(props: { readonly count: number; readonly lag: number }): VNode {
  if (props.count > 0 || props.lag === 0) return <>{whole(props.count)}</>;
  return <Badge kind="warn">nobody</Badge>;
}
