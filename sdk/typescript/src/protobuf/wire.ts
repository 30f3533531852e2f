/** Protobuf's wire format: varints, and bytes with their length in front. */

import { TidingsError } from "../errors.ts";

/** How the value of a field is written. */
export const VARINT = 0;
/** Eight bytes; no field of ours has it. */
const FIXED64 = 1;
export const BYTES = 2;
/** Four bytes; no field of ours has it. */
const FIXED32 = 5;

const VARINT_BYTES_MAX = 10;
const FIRST_BYTES = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that grow while fields are put behind one another. */
export class Writer {
  #bytes = new Uint8Array(FIRST_BYTES);
  #length = 0;

  /**
   * A number. One that is negative, has a fraction or is too large to be exact becomes the largest of 64 bits,
   * so that the server refuses it as it refuses what JSON says then.
   */
  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    if (!Number.isSafeInteger(value) || value < 0) {
      this.#bytes.fill(255, this.#length, this.#length + VARINT_BYTES_MAX - 1);
      this.#length += VARINT_BYTES_MAX;
      this.#bytes[this.#length - 1] = 1;
      return;
    }
    let rest = value;
    // Numbers of more than 32 bits: shifting would cut them.
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  tag(field: number, wireType: number): void {
    this.varint(field * 8 + wireType);
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.bytes(encoder.encode(value));
  }

  /** What `write` writes, with its length in front. */
  nested(write: () => void): void {
    const start = this.#length;
    write();
    const inner = this.#bytes.slice(start, this.#length);
    this.#length = start;
    this.bytes(inner);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
  }
}

function refuse(why: string): never {
  throw new TidingsError("bad_server_frame", `the server sent bytes that are no frame: ${why}`);
}

/** Reads fields from bytes; whatever they are, it ends, with a value or a `TidingsError`. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A plain array also where Node gives a `Buffer`, whose `slice` would not copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** A number; one beyond 2^53 is rounded, as `JSON.parse` would. */
  varint(): number {
    let value = 0;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) {
        refuse("a number is cut off");
      }
      value += (byte & 127) * 128 ** index;
      if (byte < 128) {
        return value;
      }
    }
    return refuse("a number has more than ten bytes");
  }

  bytes(): Uint8Array {
    const length = this.varint();
    const start = this.#at;
    if (length > this.#bytes.length - start) {
      refuse("it is shorter than it says");
    }
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  text(): string {
    try {
      return decoder.decode(this.bytes());
    } catch (cause) {
      if (cause instanceof TidingsError) {
        throw cause;
      }
      return refuse("a text is not UTF-8");
    }
  }

  nested(): Reader {
    return new Reader(this.bytes());
  }

  tag(): { readonly field: number; readonly wireType: number } {
    const tag = this.varint();
    return { field: Math.floor(tag / 8), wireType: tag % 8 };
  }

  /** Passes over a value of a field that is not known. */
  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        this.varint();
        return;
      case BYTES:
        this.bytes();
        return;
      case FIXED64:
        this.#pass(8);
        return;
      case FIXED32:
        this.#pass(4);
        return;
      default:
        refuse(`wire type ${wireType} is not used`);
    }
  }

  #pass(length: number): void {
    if (length > this.#bytes.length - this.#at) {
      refuse("a value is cut off");
    }
    this.#at += length;
  }
}
