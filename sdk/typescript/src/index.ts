/** `@tidings/client`: messages that are not lost, over a plain WebSocket. */

export { createClient } from "./client.ts";
export { type Codec, json } from "./codec.ts";
export {
  type ClientCode,
  type CloseReason,
  type Code,
  type ServerCode,
  TidingsError,
} from "./errors.ts";
export type { Storage } from "./storage.ts";
export type { Link, LinkEvents, Transport } from "./transport.ts";
export type * from "./types.ts";
export { type WebSocketClass, webSocketTransport } from "./websocket.ts";
