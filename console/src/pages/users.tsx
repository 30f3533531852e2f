/** Users who have a connection, a session or a cursor. */

import type { VNode } from "preact";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Badge, Head, Pager, UserLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Ago } from "../parts/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The list of users. */
export function UsersPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const { prefix, cursor } = query;
  const { state, reload } = useLoaded((signal) => api.users({ prefix, cursor }, signal), [query]);
  return (
    <>
      <Head title="Users" about="Everybody who has a connection, a session or a cursor.">
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </Head>
      <Search
        page="users"
        query={query}
        fields={[{ name: "prefix", label: "Name begins with", placeholder: "alice" }]}
      />
      <Answer state={state} reload={reload}>
        {(page) => (
          <>
            {page.users.length === 0 && !page.more ? (
              <Empty command="tidings sub room/42 --durable me">
                There is nobody{prefix === undefined ? "" : " of such a name"}. A user is there from
                the first connection:
              </Empty>
            ) : (
              <Table
                caption="Users"
                rows={page.users}
                keyOf={(row) => row.user}
                columns={[
                  { title: "User", kind: "long", of: (row) => <UserLink user={row.user} /> },
                  { title: "State", of: (row) => <Presence online={row.online} /> },
                  { title: "Connections", kind: "number", of: (row) => whole(row.connections) },
                  { title: "Sessions", kind: "number", of: (row) => whole(row.sessions) },
                  { title: "Messages waiting", kind: "number", of: (row) => whole(row.pending) },
                  {
                    title: "Last seen",
                    of: (row) => (row.online ? "now" : <Ago at={row.last_seen} />),
                  },
                ]}
              />
            )}
            <Pager page="users" query={query} cursor={page.cursor} more={page.more}>
              {whole(page.users.length)} shown
            </Pager>
          </>
        )}
      </Answer>
    </>
  );
}

/** Whether somebody is online. */
export function Presence(props: { readonly online: boolean }): VNode {
  return props.online ? <Badge kind="good">online</Badge> : <Badge>away</Badge>;
}
