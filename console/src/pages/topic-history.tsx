/** What was published to a topic and is kept. */

import type { VNode } from "preact";
import type { Api } from "../api/api.ts";
import type { Query } from "../api/request.ts";
import type { HistoryPage, StoredMessage } from "../api/types.ts";
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
  const start = startOf(query);
  const read = (signal: AbortSignal): Promise<HistoryPage> =>
    start === undefined
      ? pageBefore(api, topic, Number(query.before ?? Number.NaN), signal)
      : api.history({ topic, limit: PAGE, ...start }, signal);
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
        {(page) =>
          start === undefined ? <Backward page={page} /> : <Forward page={page} query={query} />
        }
      </Answer>
    </Section>
  );
}

/** A page of what was published before an offset, or of the last messages, the newest first. */
function Backward(props: { readonly page: HistoryPage }): VNode {
  const { page } = props;
  const earliest = page.messages[0];
  return (
    <>
      <Rows page={page} messages={[...page.messages].reverse()} order="the newest first" />
      {earliest !== undefined && earliest.offset > page.first && (
        <nav class="pager" aria-label="Pages">
          <a
            href={hrefOf("topics", page.topic, {
              view: "history",
              before: String(earliest.offset),
            })}
          >
            Earlier messages
          </a>
        </nav>
      )}
    </>
  );
}

/** A page from some place on, the oldest first. */
function Forward(props: {
  readonly page: HistoryPage;
  readonly query: Readonly<Record<string, string>>;
}): VNode {
  const { page, query } = props;
  return (
    <>
      <Rows page={page} messages={page.messages} order="the oldest first" />
      <Pager
        page="topics"
        subject={page.topic}
        query={query}
        cursor={page.cursor}
        more={page.more}
      />
    </>
  );
}

function Rows(props: {
  readonly page: HistoryPage;
  readonly messages: readonly StoredMessage[];
  readonly order: string;
}): VNode {
  const { page, messages } = props;
  if (messages.length === 0) {
    return (
      <Empty>Nothing is kept there. The last offset of the topic is {whole(page.offset)}.</Empty>
    );
  }
  return (
    <>
      {!page.recovered && (
        <p class="notice warn">
          Some messages are missing: they were trimmed by retention, or are damaged.
        </p>
      )}
      <p class="quiet">
        {messages.length === 1 ? "1 message" : `${whole(messages.length)} messages`}, {props.order}.
        Kept are offsets {whole(page.first)} to {whole(page.offset)}.
      </p>
      <MessageRows messages={messages} label={`Messages, ${props.order}`} />
    </>
  );
}

/** The messages before an offset; the last ones if it is no number. */
async function pageBefore(
  api: Api,
  topic: string,
  before: number,
  signal: AbortSignal,
): Promise<HistoryPage> {
  const { epoch, offset, first } = await api.topic(topic, signal);
  const end = Number.isNaN(before) ? offset + 1 : before;
  const last = Math.max(first - 1, end - 1 - PAGE);
  const after = last < 1 ? undefined : `${epoch}:${last}`;
  const page = await api.history({ topic, limit: PAGE, after }, signal);
  return { ...page, messages: page.messages.filter((message) => message.offset < end) };
}

/** From where the address wants to read; nothing if it does not say. */
function startOf(query: Readonly<Record<string, string>>): Query | undefined {
  const { cursor, since, from } = query;
  if (cursor !== undefined) return { cursor };
  const at = since === undefined ? Number.NaN : Date.parse(since);
  if (!Number.isNaN(at)) return { since: at };
  return from === "first" ? {} : undefined;
}
