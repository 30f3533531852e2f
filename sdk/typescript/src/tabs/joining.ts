/** How a guest comes into a live subscription that runs already. */

import type { SubscribeBody, SubscribedBody, WirePosition } from "../frames.ts";

/** What to do for it. */
export type Joining =
  /** It gets what comes behind a place; behind none for a filter with wildcards. */
  | { readonly kind: "join"; readonly upTo: WirePosition | undefined; readonly pending: number }
  /** It wants what has gone by: the server starts again there, and the others have had it. */
  | { readonly kind: "restart"; readonly start: Pick<SubscribeBody, "after" | "from"> }
  /** Its place lies behind all that is known: how far the log goes has to be asked first. */
  | { readonly kind: "look" };

/** The last offset that is known. */
export function headOf(standing: SubscribedBody, place: WirePosition): WirePosition {
  return { epoch: place.epoch, offset: Math.max(standing.offset ?? 0, place.offset) };
}

/**
 * Decides it. `place` is what the server has sent, `standing` what it answered last. Nobody may
 * miss a message: so the server never starts behind `place`, unless it is known to answer that it
 * starts with the first.
 */
export function joiningOf(
  { after, from = "new" }: SubscribeBody,
  standing: SubscribedBody,
  place: WirePosition | undefined,
  hasLooked: boolean,
): Joining {
  if (place === undefined) {
    return { kind: "join", upTo: undefined, pending: 0 };
  }
  const head = headOf(standing, place);
  if (after !== undefined) {
    const isSame = after.epoch === place.epoch;
    if (isSame && after.offset > head.offset && !hasLooked) {
      return { kind: "look" };
    }
    if (!isSame || after.offset < place.offset || after.offset > head.offset) {
      return { kind: "restart", start: { after } };
    }
    return { kind: "join", upTo: after, pending: head.offset - after.offset };
  }
  if (from === "new") {
    return { kind: "join", upTo: head, pending: 0 };
  }
  if (from === "first") {
    return { kind: "restart", start: { from } };
  }
  // Not `from: "last"`: messages for the others may have come since.
  const last = Math.min(place.offset, Math.max(head.offset - 1, 0));
  return { kind: "restart", start: { after: { epoch: place.epoch, offset: last } } };
}
