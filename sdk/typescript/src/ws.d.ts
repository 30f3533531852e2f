/** What of the package `ws` is used; it brings no types of its own. */
declare module "ws" {
  import type { WebSocketClass } from "./websocket.ts";

  const WebSocket: WebSocketClass;
  export default WebSocket;
}
