/** One user: connections, sessions, what waits, and sending them away. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { UserState } from "../api/types.ts";
import { whole } from "../format.ts";
import type { PageProps } from "../pages.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Answer, Empty } from "../parts/notices.tsx";
import { Facts, Head, Section, TopicLink } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Ago, Time } from "../parts/time.tsx";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";
import { isNothingKnown } from "./user-known.ts";
import { Presence } from "./users.tsx";

/** The page of a user. */
export function UserPage(props: PageProps): VNode {
  const { api } = useShared();
  const user = props.route.subject ?? "";
  const [asking, setAsking] = useState<"disconnect" | "revoke">();
  const { state, reload } = useLoaded((signal) => api.user(user, signal), [user], 3000);
  const isUnknown = state.phase === "there" && isNothingKnown(state.value);
  const close = (): void => {
    setAsking(undefined);
    reload();
  };
  return (
    <>
      <Head title={<span class="name">{user}</span>} about="User">
        <a class="button" href={hrefOf("disconnects", undefined, { user })}>
          Past connections
        </a>
        {state.phase !== "loading" && !isUnknown && (
          <button type="button" class="danger" onClick={() => setAsking("disconnect")}>
            Disconnect…
          </button>
        )}
        <button type="button" class="danger" onClick={() => setAsking("revoke")}>
          Revoke tokens…
        </button>
      </Head>
      <Answer state={state} reload={reload}>
        {(answer) => (isUnknown ? <Unknown /> : <Known user={answer} />)}
      </Answer>
      {asking !== undefined && <SendAway user={user} how={asking} onClose={close} />}
    </>
  );
}

function SendAway(props: {
  readonly user: string;
  readonly how: "disconnect" | "revoke";
  readonly onClose: () => void;
}): VNode {
  const { api, announce } = useShared();
  const { user, how, onClose } = props;
  if (how === "disconnect") {
    const disconnect = async (): Promise<void> => {
      await api.disconnect(user);
      announce(`The connections of ${user} are being closed.`);
    };
    return (
      <Confirm
        title={`Disconnect ${user}?`}
        action={`Disconnect ${user}`}
        act={disconnect}
        onClose={onClose}
      >
        <p>
          Every connection of this user on this node is closed with 4002, which clients take as
          final. What waits for the user stays. A token that is still valid lets the user in again.
        </p>
      </Confirm>
    );
  }
  const revoke = async (): Promise<void> => {
    await api.revoke(user);
    announce(`The tokens of ${user} no longer count.`);
  };
  return (
    <Confirm
      title={`Revoke the tokens of ${user}?`}
      action="Revoke tokens"
      act={revoke}
      onClose={onClose}
    >
      <p>
        Every token that was issued to this user by now no longer counts, also after a restart, and
        the connections they let in are closed. The user needs a token issued after this moment.
      </p>
    </Confirm>
  );
}

function Unknown(): VNode {
  return (
    <Empty>
      Nothing is known of this user: no connection to this node, no session, no durable
      subscription. Tokens can be revoked all the same.
    </Empty>
  );
}

function Known(props: { readonly user: UserState }): VNode {
  const { user } = props;
  const waiting = user.cursors.reduce((sum, cursor) => sum + cursor.pending, 0);
  return (
    <>
      <Section title="Now">
        <Facts
          facts={[
            ["State", <Presence key="online" online={user.online} />],
            ["Last seen", user.online ? "now" : <Time key="seen" at={user.last_seen} />],
            ["Connections on this node", whole(user.connections_total)],
            ["Messages waiting", whole(waiting)],
          ]}
        />
      </Section>
      <Section title="Inbox">
        <Inbox user={user} />
      </Section>
      <Section title="Connections">
        {user.connections.length === 0 ? (
          <p class="quiet">No connection to this node.</p>
        ) : (
          <Table
            caption="Connections, the oldest first"
            rows={user.connections}
            keyOf={(row) => `${row.client} ${row.since}`}
            columns={[
              { title: "Client", kind: "long", of: (row) => row.client },
              { title: "Node", of: (row) => row.node },
              { title: "Since", of: (row) => <Time at={row.since} /> },
              { title: "Subscriptions", kind: "number", of: (row) => whole(row.subscriptions) },
            ]}
          />
        )}
      </Section>
      <Section title="Sessions">
        {user.sessions.length === 0 ? (
          <p class="quiet">No session is kept.</p>
        ) : (
          <Table
            caption="Sessions, which outlive connections"
            rows={user.sessions}
            keyOf={(row) => `${row.client} ${row.expires_at}`}
            columns={[
              { title: "Client", kind: "long", of: (row) => row.client },
              { title: "Expires", of: (row) => <Time at={row.expires_at} /> },
            ]}
          />
        )}
      </Section>
    </>
  );
}

function Inbox(props: { readonly user: UserState }): VNode {
  const { cursors } = props.user;
  if (cursors.length === 0) {
    return (
      <p class="quiet">
        This user has no durable subscription, so nothing waits while they are away.
      </p>
    );
  }
  return (
    <Table
      caption="What waits in the durable subscriptions of this user"
      rows={cursors}
      keyOf={(row) => `${row.durable} ${row.topic}`}
      columns={[
        { title: "Durable", kind: "long", of: (row) => row.durable },
        { title: "Topic", kind: "long", of: (row) => <TopicLink topic={row.topic} /> },
        { title: "Waiting", kind: "number", of: (row) => whole(row.pending) },
        { title: "Oldest waiting", of: (row) => <Ago at={row.oldest_pending_at} /> },
        { title: "Last ack", of: (row) => <Ago at={row.acked_at ?? row.saved_at} /> },
        { title: "Next offset", kind: "number", of: (row) => whole(row.next) },
      ]}
    />
  );
}
