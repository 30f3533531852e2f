/** Ways to a server: a WebSocket, or what stands in where none can be opened. */

import type { Codec } from "./codec.ts";
import type { ClientFrame, ServerFrame } from "./frames.ts";

/** What a link tells. Nothing after `closed`. */
export interface LinkEvents {
  /** It is open: send `connect`. */
  opened(): void;
  /** Frames have come, in their order. */
  frames(frames: readonly ServerFrame[]): void;
  /** It is over. `code` is that of the WebSocket, 1006 if nothing was said. */
  closed(code: number, reason: string): void;
}

/** A connection that is being made or is there. */
export interface Link {
  /** Sends frames together, in their order. */
  send(frames: readonly ClientFrame[]): void;
  /** Bytes that were sent and have not left yet. */
  readonly unsentBytes: number;
  close(code?: number): void;
}

/** Opens links. */
export interface Transport {
  readonly via: "websocket" | "fallback";
  /**
   * Begins to connect; `events` hears how it goes, never before this has returned. Throws only if
   * trying again would not help.
   */
  open(url: URL, events: LinkEvents, codec: Codec): Link;
}
