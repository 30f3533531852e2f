/** A tab's link, as the leader sees it. */

import type { ServerFrame, SubscribeBody } from "../frames.ts";
import type { LinkEvents, Transport } from "../transport.ts";

export interface Guest extends Pick<LinkEvents, "frames" | "closed"> {
  opened(via: Transport["via"]): void;
}

/** Answers a request of a guest with an error. */
export function refuse(guest: Guest, id: number | undefined, code: string, message: string): void {
  guest.frames([{ kind: "error", id, body: { code, message, temporary: false } }]);
}

/** How a subscription works: only guests that want the same can have one together. */
export function habitOf({ durable, group }: SubscribeBody): string {
  if (durable !== undefined) {
    return `durable "${durable}"`;
  }
  return group === undefined ? "live" : `group "${group}"`;
}

/** A frame under the id that the guest gave its request. */
export function withId(frame: ServerFrame, id: number | undefined): ServerFrame {
  return { ...frame, id };
}
