/** Frames of the SDK as messages of the schema. */

import type { ClientFrame, ServerFrame } from "../frames.ts";
import { type Fields, readMessage, writeMessage } from "./message.ts";
import type { Reader, Writer } from "./wire.ts";

/** Writes a frame from a client, without the length in front. */
export function writeClientFrame(frame: ClientFrame, out: Writer): void {
  writeMessage("ClientFrame", { id: frame.id, [frame.kind]: frame.body }, out);
}

/** A frame from a server; `undefined` if it is of a kind that is not known. */
export function readServerFrame(input: Reader): ServerFrame | undefined {
  const { id, ...bodies } = readMessage("ServerFrame", input);
  for (const [kind, body] of Object.entries(bodies)) {
    const isSubscribed = kind === "subscribed" && typeof body === "object" && body !== null;
    // The table gives every field of the type its type, and a test compares it with the schema.
    return { kind, id, body: isSubscribed ? withoutPlace({ ...body }) : body } as ServerFrame;
  }
  return undefined;
}

/** A filter with wildcards has no place: without an epoch the fields beside it say nothing. */
function withoutPlace(body: Fields): Fields {
  if (body.epoch !== undefined) {
    return body;
  }
  const { offset: _offset, first: _first, recovered: _recovered, ...others } = body;
  return others;
}
