/**
 * `@tidings/client/node`: the same client for Node 20, which has no WebSocket of its own. It takes
 * the package `ws`. From Node 22 on `@tidings/client` needs nothing.
 */

// So that whoever compiles this from its source finds the types as well.
/// <reference path="./ws.d.ts" />
import WebSocket from "ws";
import { createClient as createPlainClient } from "./client.ts";
import type { Client, ClientOptions } from "./types.ts";
import { webSocketTransport } from "./websocket.ts";

export * from "./index.ts";

/** A client of one server, over `ws` unless `transport` is given. */
export function createClient(options: ClientOptions): Client {
  return createPlainClient({ transport: webSocketTransport(WebSocket), ...options });
}
