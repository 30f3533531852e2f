/** Where a browser finds the public port of the server whose console it has open. */

import type { NodeState } from "./api/types.ts";

/** The WebSocket's address. A server that listens on every address is reached by the console's own. */
export function publicAddress(node: Pick<NodeState, "public">, host: string): string {
  const { address, tls, websocket_path } = node.public;
  const at = address.lastIndexOf(":");
  const name = address.slice(0, at);
  const isEvery = name === "0.0.0.0" || name === "[::]";
  // A location writes the name of an IPv6 address in brackets already.
  return `${tls ? "wss" : "ws"}://${isEvery ? host : name}${address.slice(at)}${websocket_path}`;
}
