/** The topics that have a log: found by the beginning of their names or by a filter. */

import type { VNode } from "preact";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Head, Pager, TopicLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The list of topics. */
export function TopicsPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const search = query.search ?? "";
  const { state, reload } = useLoaded(
    (signal) => api.topics({ ...chosenBy(search), cursor: query.cursor }, signal),
    [query],
  );
  return (
    <>
      <Head title="Topics" about="Every topic that has a log, by name.">
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </Head>
      <Search
        page="topics"
        query={query}
        fields={[
          {
            name: "search",
            label: "Begins with, or filter",
            placeholder: "room/ or room/+/typing",
          },
        ]}
      />
      <p class="quiet">
        Topics of the server itself are shown if you ask for them:{" "}
        <a href={hrefOf("topics", undefined, { search: "$" })}>those that begin with $</a>.
      </p>
      <Answer state={state} reload={reload}>
        {(page) => (
          <>
            {page.topics.length === 0 && !page.more ? (
              <Empty command="tidings pub room/42 '{&quot;hello&quot;:&quot;world&quot;}'">
                {search === ""
                  ? "There are no topics yet. A topic begins with its first message:"
                  : "No topic is called so. A topic begins with its first message:"}
              </Empty>
            ) : (
              <Table
                caption="Topics"
                rows={page.topics}
                keyOf={(row) => row.topic}
                columns={[
                  { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
                  { title: "Messages kept", kind: "number", of: (row) => whole(row.messages) },
                  { title: "First offset", kind: "number", of: (row) => whole(row.first) },
                  { title: "Last offset", kind: "number", of: (row) => whole(row.offset) },
                ]}
              />
            )}
            <Pager page="topics" query={query} cursor={page.cursor} more={page.more}>
              {whole(page.topics.length)} shown, {whole(page.total)} in all
            </Pager>
          </>
        )}
      </Answer>
    </>
  );
}

/** A text with wildcards is a filter, any other the beginning of a name. */
function chosenBy(search: string): { match?: string; prefix?: string } {
  if (search === "") return {};
  return /[+#]/.test(search) ? { match: search } : { prefix: search };
}
