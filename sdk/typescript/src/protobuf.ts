/** `@tidings/client/protobuf`: frames as Protobuf, the subprotocol `tidings.v1.proto`. */

import type { Codec } from "./codec.ts";
import { TidingsError } from "./errors.ts";
import { readServerFrame, writeClientFrame } from "./protobuf/frame.ts";
import { Reader, Writer } from "./protobuf/wire.ts";

/** Protobuf: smaller than JSON where data is bytes or messages are short. */
export const protobuf: Codec = {
  subprotocol: "tidings.v1.proto",
  encode(frames) {
    const out = new Writer();
    for (const frame of frames) {
      out.nested(() => writeClientFrame(frame, out));
    }
    return out.finish();
  },
  decode(data) {
    if (typeof data === "string") {
      throw new TidingsError("bad_server_frame", "the server sent text where bytes were agreed on");
    }
    const frames = [];
    for (const input = new Reader(data); !input.isAtEnd; ) {
      const frame = readServerFrame(input.nested());
      if (frame !== undefined) {
        frames.push(frame);
      }
    }
    return frames;
  },
};
