/** Why connections ended. */

import type { VNode } from "preact";
import type { Disconnect } from "../api/types.ts";
import { duration, whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Search } from "../parts/search.tsx";
import { Badge, Head, Section, UserLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** Connections asked for at once: what one answer has at most. */
const LIMIT = 1000;

/** Rows drawn; the counts are of all that were asked for. */
const ROWS_MAX = 200;

/** The latest connections that ended. */
export function DisconnectsPage(props: PageProps): VNode {
  const { api } = useShared();
  const { query } = props.route;
  const { user, reason } = query;
  const { state, reload } = useLoaded(
    (signal) => api.disconnects({ user, reason, limit: LIMIT }, signal),
    [query],
  );
  return (
    <>
      <Head title="Disconnects" about="Why connections ended, the newest first.">
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </Head>
      <Search
        page="disconnects"
        query={query}
        fields={[
          { name: "user", label: "User", placeholder: "alice" },
          { name: "reason", label: "Reason", placeholder: "pong_timeout" },
        ]}
      />
      <Answer state={state} reload={reload}>
        {({ disconnects, since }) =>
          disconnects.length === 0 ? (
            <Empty>
              No {query.user === undefined && query.reason === undefined ? "" : "such "}
              connection ended
              {since === null ? "" : " since the server started or its record begins"}. The record
              is in memory and starts anew with the server.
            </Empty>
          ) : (
            <>
              <Reasons disconnects={disconnects} query={query} />
              <Section title="Connections">
                <Rows disconnects={disconnects} />
                {disconnects.length > ROWS_MAX && (
                  <p class="quiet">
                    The newest {ROWS_MAX} are shown; the counts are of {whole(disconnects.length)}.
                  </p>
                )}
                {since !== null && (
                  <p class="quiet">
                    The record begins <Time at={since} />.
                  </p>
                )}
              </Section>
            </>
          )
        }
      </Answer>
    </>
  );
}

function Reasons(props: {
  readonly disconnects: readonly Disconnect[];
  readonly query: Readonly<Record<string, string>>;
}): VNode {
  const counts = new Map<string, number>();
  for (const { reason } of props.disconnects) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const most = sorted[0]?.[1] ?? 1;
  return (
    <Section title="By reason">
      <ul class="bars">
        {sorted.map(([reason, count]) => (
          <li key={reason}>
            <a href={hrefOf("disconnects", undefined, { ...props.query, reason })}>
              {reason || "nothing was said"}
            </a>
            <span class="bar" aria-hidden="true">
              <span style={{ width: `${(count / most) * 100}%` }} />
            </span>
            <b>{whole(count)}</b>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Rows(props: { readonly disconnects: readonly Disconnect[] }): VNode {
  const rows = props.disconnects.slice(0, ROWS_MAX).map((row, index) => ({ ...row, index }));
  return (
    <Table
      caption="Connections that ended, the newest first"
      rows={rows}
      keyOf={(row) => row.index}
      columns={[
        { title: "Ended", of: (row) => <Time at={row.at} /> },
        { title: "User", kind: "long", of: (row) => <UserLink user={row.user} /> },
        { title: "Client", kind: "long", of: (row) => row.client ?? "–" },
        { title: "Reason", of: (row) => row.reason || "–" },
        { title: "Code", kind: "number", of: (row) => row.code ?? "–" },
        { title: "Ended by", of: (row) => <By by={row.by} /> },
        { title: "Lasted", kind: "number", of: (row) => duration(row.lasted_ms) },
      ]}
    />
  );
}

function By(props: { readonly by: string }): VNode {
  return <Badge kind={props.by === "network" ? "warn" : "plain"}>{props.by}</Badge>;
}
