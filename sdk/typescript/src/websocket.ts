/** Links over a WebSocket: that of the platform, or a class that is like it. */

import type { Codec } from "./codec.ts";
import { TidingsError } from "./errors.ts";
import { CLOSE_PATIENCE_MS } from "./limits.ts";
import type { Link, LinkEvents, Transport } from "./transport.ts";

/** What of a WebSocket is used: the part that browsers, Node, React Native and `ws` have alike. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

/** The class of such WebSockets. */
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** Nothing more is heard of a socket that has failed or was closed by us. */
function silence(socket: WebSocketLike): void {
  socket.onopen = null;
  socket.onmessage = null;
  socket.onclose = null;
  // `ws` throws where an error has no listener.
  socket.onerror = () => {};
}

function listen(socket: WebSocketLike, events: LinkEvents, codec: Codec): void {
  const failed = (code: number, reason: string) => {
    silence(socket);
    events.closed(code, reason);
  };
  const closed = ({ code, reason }: { readonly code?: number; readonly reason?: string }) =>
    failed(code ?? 1006, reason ?? "");
  socket.onopen = () => events.opened();
  socket.onmessage = ({ data }: { readonly data: string | ArrayBuffer }) => {
    try {
      events.frames(codec.decode(typeof data === "string" ? data : new Uint8Array(data)));
    } catch (cause) {
      socket.close();
      failed(1007, cause instanceof Error ? cause.message : "unreadable");
    }
  };
  socket.onclose = closed;
  // The close follows at once, but in the WebSocket of some versions of Node it never does.
  socket.onerror = () =>
    setTimeout(() => {
      if (socket.onclose === closed) {
        failed(1006, "");
      }
    }, CLOSE_PATIENCE_MS);
}

/**
 * Opens links with this class; with `globalThis.WebSocket` if none is given. Throws at once if there is
 * none: a client that could never connect would only wait.
 */
export function webSocketTransport(given?: WebSocketClass): Transport {
  const Class = given ?? (globalThis.WebSocket as WebSocketClass | undefined);
  if (Class === undefined) {
    throw new TidingsError(
      "bad_option",
      "this runtime has no WebSocket: import from `@tidings/client/node`, or give `transport`",
    );
  }
  return {
    via: "websocket",
    open(url: URL, events: LinkEvents, codec: Codec): Link {
      const socket = new Class(url.href, [codec.subprotocol]);
      socket.binaryType = "arraybuffer";
      listen(socket, events, codec);
      return {
        send: (frames) => socket.send(codec.encode(frames)),
        get unsentBytes() {
          return socket.bufferedAmount;
        },
        close(code) {
          silence(socket);
          socket.close(code);
        },
      };
    },
  };
}
