/**
 * Server-Sent Events from a `fetch`, which unlike `EventSource` can show a key in a header.
 */

/** An event as it came; its data is not looked into. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

/** Most characters of an event that is not complete: a message and its frame, with much room. */
const UNFINISHED_MAX = 16 * 1024 * 1024;

/** Takes pieces of a stream as they come and gives the events that they complete. */
export class EventStreamParser {
  #unfinished = "";

  /** The events that are complete with this piece. Throws if an event is far larger than any can be. */
  push(piece: string): StreamEvent[] {
    const blocks = (this.#unfinished + piece).replaceAll("\r\n", "\n").split("\n\n");
    this.#unfinished = blocks.pop() ?? "";
    if (this.#unfinished.length > UNFINISHED_MAX)
      throw new Error("an event of the stream has no end");
    return blocks.map(parseBlock).filter((event) => event !== undefined);
  }
}

/** Reads a stream until it ends, or `signal` says so, and tells the events of each piece together. */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  tell: (events: readonly StreamEvent[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  const stop = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop, { once: true });
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = parser.push(decoder.decode(value, { stream: true }));
      if (events.length > 0 && !signal.aborted) tell(events);
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function parseBlock(block: string): StreamEvent | undefined {
  let event = "message";
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    // A line that starts with a colon is a comment, which keeps the connection busy.
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  return data.length === 0 ? undefined : { event, id, data: data.join("\n") };
}
