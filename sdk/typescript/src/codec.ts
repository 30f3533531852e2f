/** How frames are written: the interface of codecs, and JSON. */

import { fromBase64, toBase64 } from "./base64.ts";
import { TidingsError } from "./errors.ts";
import type { ClientFrame, MessageBody, ServerBodies, ServerFrame } from "./frames.ts";

/** Writes frames into WebSocket messages, and reads them. */
export interface Codec {
  /** The WebSocket subprotocol that says so. */
  readonly subprotocol: string;
  /** One WebSocket message of these frames: text, or bytes. */
  encode(frames: readonly ClientFrame[]): string | Uint8Array<ArrayBuffer>;
  /** The frames of one WebSocket message, without those of unknown kinds. Throws if it cannot be read. */
  decode(data: string | Uint8Array): ServerFrame[];
}

const kinds: { readonly [Kind in keyof ServerBodies]: true } = {
  connected: true,
  refreshed: true,
  published: true,
  scheduled: true,
  subscribed: true,
  unsubscribed: true,
  message: true,
  reset: true,
  settled: true,
  present: true,
  presence: true,
  history: true,
  error: true,
  goaway: true,
  ping: true,
  pong: true,
};

function line(frame: ClientFrame): string {
  let body: object = frame.body;
  if (frame.kind === "publish" && frame.body.data instanceof Uint8Array) {
    const { data, ...others } = frame.body;
    body = { ...others, data_base64: toBase64(data) };
  }
  // `id` is left out by `JSON.stringify` where there is none.
  return JSON.stringify({ id: frame.id, [frame.kind]: body });
}

/** Puts bytes where the wire has text. */
function message(body: MessageBody & { readonly data_base64?: string }): MessageBody {
  if (typeof body.data_base64 !== "string") {
    return body;
  }
  const { data_base64, ...others } = body;
  return { ...others, data: fromBase64(data_base64) };
}

function frameOf(text: string): ServerFrame | undefined {
  const object: unknown = JSON.parse(text);
  if (typeof object !== "object" || object === null) {
    throw new TidingsError("bad_server_frame", "the server sent a frame that is not an object");
  }
  for (const [kind, body] of Object.entries(object)) {
    if (Object.hasOwn(kinds, kind) && typeof body === "object" && body !== null) {
      const id = "id" in object && typeof object.id === "number" ? object.id : undefined;
      // The fields are those of the protocol's version that was agreed on; what is of another
      // kind is the server's fault and shows where it is used.
      const frame = { kind, id, body } as ServerFrame;
      if (frame.kind === "message") {
        return { ...frame, body: message(frame.body) };
      }
      if (frame.kind === "history") {
        return { ...frame, body: { ...frame.body, messages: frame.body.messages.map(message) } };
      }
      return frame;
    }
  }
  return undefined;
}

/** JSON, one frame a line. */
export const json: Codec = {
  subprotocol: "tidings.v1.json",
  encode: (frames) => frames.map(line).join("\n"),
  decode(data) {
    if (typeof data !== "string") {
      throw new TidingsError("bad_server_frame", "the server sent bytes where text was agreed on");
    }
    const frames: ServerFrame[] = [];
    for (const text of data.split("\n")) {
      const frame = text.trim() === "" ? undefined : frameOf(text);
      if (frame !== undefined) {
        frames.push(frame);
      }
    }
    return frames;
  },
};
