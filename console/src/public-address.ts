/** Where a browser finds the public port of the server whose console it has open. */

import type { NodeState } from "./api/types.ts";

/**
 * The WebSocket's address: the public port of the host that the console came from. The page's policy
 * lets it connect to no other, and a server that listens on every address has no better name.
 */
export function publicAddress(node: Pick<NodeState, "public">, host: string): string {
  const { address, tls, websocket_path } = node.public;
  const port = address.slice(address.lastIndexOf(":"));
  return `${tls ? "wss" : "ws"}://${host}${port}${websocket_path}`;
}
