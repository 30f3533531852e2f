/** Messages that subscriptions gave up: found, published again, removed. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { DeadLetterRow } from "../api/types.ts";
import { bytes, cut, whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search, type SearchField } from "../parts/search.tsx";
import { Badge, Head, Pager, TopicLink, Whose } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { shortReasons } from "../reasons.ts";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";
import { chosenFilters } from "./dead-letter-filters.ts";
import { ManyDialog } from "./dead-letters-many.tsx";

const FIELDS: readonly SearchField[] = [
  { name: "topic", label: "Topic or filter", placeholder: "jobs/#" },
  { name: "user", label: "User" },
  { name: "durable", label: "Durable" },
  { name: "group", label: "Group" },
  { name: "reason", label: "Reason", placeholder: "timed_out" },
  { name: "since", label: "Given up since", type: "datetime-local" },
  { name: "until", label: "Before", type: "datetime-local" },
  {
    name: "order",
    label: "Order",
    choices: [
      ["newest", "newest first"],
      ["oldest", "oldest first"],
    ],
  },
];

/** The list of dead letters. */
export function DeadLettersPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const [doing, setDoing] = useState<"replay" | "purge">();
  const { state, reload } = useLoaded(
    (signal) => {
      const order = query.order ?? "newest";
      return api.deadLetters({ ...chosenFilters(query), order, cursor: query.cursor }, signal);
    },
    [query],
  );
  const close = (): void => {
    setDoing(undefined);
    reload();
  };
  return (
    <>
      <Head
        title="Dead letters"
        about="Messages that a subscription could not take after all its attempts."
      >
        <button type="button" onClick={reload}>
          Refresh
        </button>
        <button type="button" onClick={() => setDoing("replay")}>
          Replay many…
        </button>
        <button type="button" class="danger" onClick={() => setDoing("purge")}>
          Purge many…
        </button>
      </Head>
      <Search page="dead-letters" query={query} fields={FIELDS} />
      <Answer state={state} reload={reload}>
        {(page) => (
          <>
            {page.dead_letters.length === 0 ? (
              <Empty {...(page.kept === 0 ? { command: "tidings dead-letters --help" } : {})}>
                {page.kept === 0
                  ? "There are none: every message was taken."
                  : page.more
                    ? "None on this page; there are more pages."
                    : "None that the filters leave."}
              </Empty>
            ) : (
              <Letters letters={page.dead_letters} />
            )}
            <Pager page="dead-letters" query={query} cursor={page.cursor} more={page.more}>
              {whole(page.dead_letters.length)} shown, {whole(page.kept)} kept in all
            </Pager>
          </>
        )}
      </Answer>
      {doing !== undefined && (
        <ManyDialog what={doing} filters={chosenFilters(query)} onClose={close} />
      )}
    </>
  );
}

function Letters(props: { readonly letters: readonly DeadLetterRow[] }): VNode {
  return (
    <Table
      caption="Dead letters"
      rows={props.letters}
      keyOf={(row) => row.offset}
      columns={[
        {
          title: "Dead letter",
          of: (row) => <a href={hrefOf("dead-letters", String(row.offset))}>№ {row.offset}</a>,
        },
        { title: "Given up", of: (row) => <Time at={row.at} /> },
        { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
        { title: "By", kind: "long", of: (row) => <Whose {...row} /> },
        { title: "Why", of: (row) => <Badge kind="warn">{row.gave_up}</Badge> },
        { title: "Reasons", kind: "long", of: (row) => cut(shortReasons(row.reasons) ?? "–", 60) },
        { title: "Attempts", kind: "number", of: (row) => whole(row.attempts) },
        { title: "Size", kind: "number", of: (row) => bytes(row.bytes) },
      ]}
    />
  );
}
