/** Server-Sent Events (WHATWG HTML §9.2), read piece by piece. */

/** One event. */
export interface StreamEvent {
  readonly type: string;
  readonly data: string;
  /** The id that this very event has; unlike `EventSource`, earlier ones do not linger. */
  readonly id?: string;
}

/** Most of an event that is gathered: the largest message as base64, and room for the rest. */
const EVENT_CHARACTERS_MAX = 8 * 1024 * 1024;

/** Gathers text, and gives the events that are complete. */
export class EventStreamReader {
  #rest = "";
  #type = "";
  #data: string[] = [];
  #id: string | undefined;
  #gathered = 0;

  /** The events that this piece completes. Throws if one is larger than any message can be. */
  push(piece: string): StreamEvent[] {
    const text = this.#rest + piece;
    // A return at the very end may be half of a line break.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + text.slice(end);
    const events: StreamEvent[] = [];
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== undefined) {
        events.push(event);
      }
    }
    if (this.#rest.length + this.#gathered > EVENT_CHARACTERS_MAX) {
      throw new RangeError(`an event has more than ${EVENT_CHARACTERS_MAX} characters`);
    }
    return events;
  }

  #line(line: string): StreamEvent | undefined {
    if (line === "") {
      return this.#dispatch();
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") {
      this.#type = value;
    } else if (field === "data") {
      this.#data.push(value);
      this.#gathered += value.length;
    } else if (field === "id" && !value.includes("\0")) {
      this.#id = value;
    }
    return undefined;
  }

  #dispatch(): StreamEvent | undefined {
    const event = {
      type: this.#type || "message",
      data: this.#data.join("\n"),
      ...(this.#id === undefined ? {} : { id: this.#id }),
    };
    const isEvent = this.#data.length > 0;
    this.#type = "";
    this.#data = [];
    this.#id = undefined;
    this.#gathered = 0;
    return isEvent ? event : undefined;
  }
}
