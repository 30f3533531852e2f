/** Durable subscriptions of all users, and what waits in each. */

import type { VNode } from "preact";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Head, Pager, TopicLink, UserLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Ago } from "../parts/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The list of durable subscriptions. */
export function SubscriptionsPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const { pending_min, cursor } = query;
  const { state, reload } = useLoaded(
    (signal) => api.subscriptions({ pending_min, cursor }, signal),
    [query],
  );
  return (
    <>
      <Head
        title="Subscriptions"
        about="Durable subscriptions: the server keeps their place while nobody is connected."
      >
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </Head>
      <Search
        page="subscriptions"
        query={query}
        fields={[
          {
            name: "pending_min",
            label: "With at least so many waiting",
            type: "number",
            placeholder: "1",
          },
        ]}
      />
      <Answer state={state} reload={reload}>
        {(page) => (
          <>
            {page.subscriptions.length === 0 ? (
              <Empty command="tidings sub room/42 --durable me">
                {page.more
                  ? "None on this page; there are more pages."
                  : "There is no such durable subscription. One begins with:"}
              </Empty>
            ) : (
              <Table
                caption="Durable subscriptions"
                rows={page.subscriptions}
                keyOf={(row) => JSON.stringify([row.user, row.durable, row.topic])}
                columns={[
                  { title: "User", kind: "long", of: (row) => <UserLink user={row.user} /> },
                  { title: "Durable", kind: "long", of: (row) => row.durable },
                  { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
                  { title: "Waiting", kind: "number", of: (row) => whole(row.pending) },
                  { title: "Next offset", kind: "number", of: (row) => whole(row.next) },
                  { title: "Saved", of: (row) => <Ago at={row.saved_at} /> },
                ]}
              />
            )}
            <Pager page="subscriptions" query={query} cursor={page.cursor} more={page.more}>
              {whole(page.subscriptions.length)} shown
            </Pager>
          </>
        )}
      </Answer>
    </>
  );
}
