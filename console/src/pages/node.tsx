/** The node: whether it is well, and what it has. */

import type { VNode } from "preact";
import type { NodeState } from "../api/types.ts";
import { bytes, duration, whole } from "../format.ts";
import { Answer } from "../parts/notices.tsx";
import { Badge, type Fact, Facts, Head, Section } from "../parts/small.tsx";
import { Time } from "../parts/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The page of the node. */
export function NodePage(): VNode {
  const { api } = useShared();
  const { state, reload } = useLoaded((signal) => api.node(signal), [], 2000);
  return (
    <>
      <Head title="Node" about="This server: its health, its store and its process." />
      <Answer state={state} reload={reload}>
        {(node) => (
          <>
            <Health node={node} />
            <Section title="Store">
              <Facts facts={storeFacts(node)} />
            </Section>
            <Section title="Process">
              <Facts facts={processFacts(node)} />
            </Section>
          </>
        )}
      </Answer>
    </>
  );
}

function Health(props: { readonly node: NodeState }): VNode {
  const { node } = props;
  const scheme = node.public.tls ? "wss" : "ws";
  return (
    <Section title="Health">
      {node.store.refusing !== null && (
        <p class="notice bad">The store refuses messages: {node.store.refusing}</p>
      )}
      {node.draining && (
        <p class="notice warn">The node is going away: it takes no new connections.</p>
      )}
      {node.auth_open && (
        <p class="notice warn">
          Everybody who reaches the public port may do everything without a token.
        </p>
      )}
      <Facts
        facts={[
          [
            "State",
            node.ready ? (
              <Badge key="r" kind="good">
                ready
              </Badge>
            ) : (
              <Badge key="r" kind="bad">
                not ready
              </Badge>
            ),
          ],
          ["Node", node.node],
          ["Version", node.version],
          ["Started", <Time key="s" at={node.started_at} />],
          ["Up for", duration(node.now - node.started_at)],
          ["Connections", `${whole(node.connections)} of ${whole(node.connections_max)}`],
          [
            "WebSocket",
            <code key="w">{`${scheme}://${node.public.address}${node.public.websocket_path}`}</code>,
          ],
          ["Operator's port", <code key="o">{node.operator.address}</code>],
        ]}
      />
    </Section>
  );
}

function storeFacts(node: NodeState): Fact[] {
  const { store } = node;
  return [
    ["Takes messages", store.writable ? "yes" : "no"],
    ["Topics", whole(store.topics)],
    ["Messages kept", whole(store.messages)],
    [
      "Disk used",
      store.disk_bytes_max === null
        ? bytes(store.disk_bytes)
        : `${bytes(store.disk_bytes)} of ${bytes(store.disk_bytes_max)}`,
    ],
    ["Disk free", bytes(store.disk_free_bytes)],
    ["Directory", <code key="d">{store.directory ?? "none: kept in memory"}</code>],
  ];
}

function processFacts(node: NodeState): Fact[] {
  const { process } = node;
  return [
    ["Memory", bytes(process.resident_bytes)],
    ["Threads", whole(process.threads)],
    ["Open files", `${whole(process.open_files)} of ${whole(process.open_files_max)}`],
    ["Processor time", duration(process.cpu_ms)],
  ];
}
