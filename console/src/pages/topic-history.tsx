/** What was published to a topic and is kept. */

import type { VNode } from "preact";
import type { Query } from "../api/request.ts";
import type { HistoryPage } from "../api/types.ts";
import { whole } from "../format.ts";
import { MessageRows } from "../parts/message-rows.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Pager, Section } from "../parts/small.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

const PAGE = 100;

/** The history view of a topic: its last page, unless the address says from where. */
export function TopicHistory(props: {
  readonly topic: string;
  readonly query: Readonly<Record<string, string>>;
}): VNode {
  const { topic, query } = props;
  const { api } = useShared();
  const read = async (signal: AbortSignal): Promise<HistoryPage> => {
    const start = startOf(query);
    if (start !== undefined) return api.history({ topic, limit: PAGE, ...start }, signal);
    const { epoch, offset, first } = await api.topic(topic, signal);
    const before = offset - PAGE;
    const after = before < first ? undefined : `${epoch}:${before}`;
    return api.history({ topic, limit: PAGE, after }, signal);
  };
  const { state, reload } = useLoaded(read, [topic, query]);
  return (
    <Section
      title="History"
      actions={
        <>
          <a class="button" href={hrefOf("topics", topic, { view: "history", from: "first" })}>
            Earliest
          </a>
          <a class="button" href={hrefOf("topics", topic, { view: "history" })}>
            Latest
          </a>
          <button type="button" onClick={reload}>
            Refresh
          </button>
        </>
      }
    >
      <Search
        page="topics"
        subject={topic}
        query={query}
        kept={{ view: "history" }}
        fields={[
          { name: "since", label: "Published at this time or later", type: "datetime-local" },
        ]}
      />
      <Answer state={state} reload={reload}>
        {(page) => <Page page={page} query={query} />}
      </Answer>
    </Section>
  );
}

function Page(props: {
  readonly page: HistoryPage;
  readonly query: Readonly<Record<string, string>>;
}): VNode {
  const { page } = props;
  const first = page.messages[0];
  const last = page.messages.at(-1);
  return (
    <>
      {!page.recovered && (
        <p class="notice warn">
          Messages are missing before the first one here: they were trimmed by retention, or are
          damaged.
        </p>
      )}
      {first === undefined || last === undefined ? (
        <Empty>Nothing is kept from there on. The last offset is {whole(page.offset)}.</Empty>
      ) : (
        <MessageRows
          messages={page.messages}
          label={`Messages ${first.offset} to ${last.offset}`}
        />
      )}
      <Pager
        page="topics"
        subject={page.topic}
        query={props.query}
        cursor={page.cursor}
        more={page.more}
      >
        {first !== undefined &&
          last !== undefined &&
          `Offsets ${whole(first.offset)} to ${whole(last.offset)} of ${whole(page.first)} to ${whole(page.offset)}`}
      </Pager>
    </>
  );
}

/** From where the address wants to read; nothing if it does not say. */
function startOf(query: Readonly<Record<string, string>>): Query | undefined {
  const { cursor, since, from } = query;
  if (cursor !== undefined) return { cursor };
  const at = since === undefined ? Number.NaN : Date.parse(since);
  if (!Number.isNaN(at)) return { since: at };
  return from === "first" ? {} : undefined;
}
