/** Data to be published, as it is at that moment. */

import { TidingsError, wordsOf } from "./errors.ts";
import type { Json } from "./types.ts";

/** A copy of data, which later changes by the application do not reach. */
export interface Snapshot {
  readonly data: Json | Uint8Array;
  /** As the server counts. */
  readonly bytes: number;
  /** In a frame, at most. */
  readonly frameBytes: number;
}

const encoder = /* @__PURE__ */ new TextEncoder();

/** Bytes of a value as JSON. */
export function jsonBytes(value: unknown): number {
  return encoder.encode(JSON.stringify(value)).length;
}

function bad(words: string, cause?: unknown): TidingsError {
  return new TidingsError("bad_field", words, { cause });
}

/** The text of a value; throws where it has none. */
function textOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw bad(`data cannot be written as JSON: ${wordsOf(cause)}`, cause);
  }
  if (text === undefined) {
    throw bad(`data is ${typeof value}: publish a JSON value or a Uint8Array`);
  }
  return text;
}

/** Takes a copy, or says why it cannot be published. */
export function snapshot(data: Json | Uint8Array): Snapshot {
  if (data instanceof Uint8Array) {
    const bytes = data.length;
    // Not `slice`: that of a Buffer shows the same bytes.
    return { data: new Uint8Array(data), bytes, frameBytes: Math.ceil(bytes / 3) * 4 };
  }
  const text = textOf(data);
  const copy: Json = JSON.parse(text);
  const bytes = encoder.encode(text).length;
  return { data: copy, bytes, frameBytes: bytes };
}
