/**
 * `@tidings/client/fallback`: Tidings over plain HTTP, for networks that let no WebSocket through.
 */

import { FallbackLink } from "./fallback/link.ts";
import { folderOf, Requests } from "./fallback/requests.ts";
import { Switching, type SwitchingOptions } from "./fallback/switching.ts";
import type { Transport } from "./transport.ts";

export type { SwitchingOptions } from "./fallback/switching.ts";

/** How it finds out what the network lets through. */
export interface HttpOptions {
  /** How long an event stream may say nothing at first before messages are polled, 5 s unless given. */
  readonly firstByteMs?: number;
  /**
   * How long an event stream may be silent before it is opened anew, 45 s unless given. The server
   * says something every `limits.ping_interval`.
   */
  readonly silenceMs?: number;
  /** How often those who watch presence are told to ask again, 15 s unless given. */
  readonly presenceIntervalMs?: number;
}

/**
 * For `fallback` of the options of `createClient`: a WebSocket, and HTTP once WebSockets failed
 * repeatedly. While it is on HTTP it tries WebSockets from time to time, and the client comes back over one.
 */
export function fallback(
  options: HttpOptions & SwitchingOptions = {},
): (websocket: Transport) => Transport {
  return (websocket) => new Switching(websocket, httpTransport(options), options);
}

/** For `transport`: nothing but HTTP. It follows topics by event stream or long poll. */
export function httpTransport(options: HttpOptions = {}): Transport {
  const { firstByteMs = 5000, silenceMs = 45_000, presenceIntervalMs = 15_000 } = options;
  const streams = { areHeldBack: false };
  const patience = { firstByteMs, silenceMs };
  return {
    via: "fallback",
    open(url, events) {
      const requests = new Requests(folderOf(url));
      return new FallbackLink({ requests, patience, streams, presenceIntervalMs }, events);
    },
  };
}
