/** Messages that wait for their time. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { ScheduledRow } from "../api/types.ts";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Head, MessageLink, Pager, TopicLink, UserLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Ago, Time } from "../parts/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The schedule. */
export function ScheduledPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const { topic, user, cursor } = query;
  const [cancelling, setCancelling] = useState<ScheduledRow>();
  const { state, reload } = useLoaded(
    (signal) => api.scheduled({ topic, user, cursor }, signal),
    [query],
  );
  const close = (): void => {
    setCancelling(undefined);
    reload();
  };
  return (
    <>
      <Head title="Scheduled" about="Messages that wait for their time, the next one first.">
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </Head>
      <Search
        page="scheduled"
        query={query}
        fields={[
          { name: "topic", label: "Topic or filter", placeholder: "room/#" },
          { name: "user", label: "User", placeholder: "alice" },
        ]}
      />
      <Answer state={state} reload={reload}>
        {(page) => (
          <>
            {page.scheduled.length === 0 ? (
              <Empty command="tidings pub room/42 'good morning' --delay 1h">
                No such message waits for its time. Schedule one:
              </Empty>
            ) : (
              <Rows rows={page.scheduled} cancel={setCancelling} />
            )}
            <Pager page="scheduled" query={query} cursor={page.cursor} more={page.cursor !== null}>
              {whole(page.scheduled.length)} shown, {whole(page.total)} in all
            </Pager>
          </>
        )}
      </Answer>
      {cancelling !== undefined && <Cancel row={cancelling} onClose={close} />}
    </>
  );
}

function Rows(props: {
  readonly rows: readonly ScheduledRow[];
  readonly cancel: (row: ScheduledRow) => void;
}): VNode {
  return (
    <Table
      caption="Messages that wait for their time"
      rows={props.rows}
      keyOf={(row) => row.id}
      columns={[
        { title: "Due", of: (row) => <Time at={row.deliver_at} /> },
        { title: "In", of: (row) => <Ago at={row.deliver_at} /> },
        { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
        { title: "User", kind: "long", of: (row) => <UserLink user={row.user} /> },
        { title: "Message", of: (row) => <MessageLink id={row.id} /> },
        {
          title: "Actions",
          kind: "actions",
          of: (row) => (
            <button type="button" class="small danger" onClick={() => props.cancel(row)}>
              Cancel…<span class="unseen"> the message to {row.topic}</span>
            </button>
          ),
        },
      ]}
    />
  );
}

function Cancel(props: { readonly row: ScheduledRow; readonly onClose: () => void }): VNode {
  const { api, announce } = useShared();
  const { row } = props;
  const cancel = async (): Promise<void> => {
    await api.cancel(row.id);
    announce(`Cancelled. It will not be published to ${row.topic}.`);
  };
  return (
    <Confirm
      title="Cancel this message?"
      action="Cancel the message"
      act={cancel}
      onClose={props.onClose}
    >
      <p>
        It will not be published to <span class="name">{row.topic}</span> at{" "}
        <Time at={row.deliver_at} />, also after a restart. This cannot be undone.
      </p>
    </Confirm>
  );
}
