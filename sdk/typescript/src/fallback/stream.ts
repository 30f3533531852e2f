/** One request for `/v1/stream`, read to its end. */

import type { ErrorBody, MessageBody, ResetBody } from "../frames.ts";
import { messageOf } from "./bodies.ts";
import { EventStreamReader, type StreamEvent } from "./event-stream.ts";
import type { Standing } from "./followed-topic.ts";
import { outcomeOf, type Parameters, type Requests } from "./requests.ts";

/** What a stream says. */
export type Said =
  | { readonly kind: "ready"; readonly topics: readonly (Standing & { readonly topic: string })[] }
  | { readonly kind: "message"; readonly body: MessageBody }
  | { readonly kind: "reset"; readonly body: ResetBody };

/** How a stream ended. */
export type StreamEnd =
  /** Whoever reads it asked for that. */
  | { readonly kind: "stopped" }
  | { readonly kind: "refused"; readonly error: ErrorBody }
  | { readonly kind: "unreachable"; readonly why: string }
  /** Not one byte came: something in between holds the answer back. */
  | { readonly kind: "heldBack" }
  /** It had begun. */
  | { readonly kind: "broken" }
  | { readonly kind: "goaway"; readonly reason: string; readonly retryAfterMs: number | undefined };

/** What to follow, and who listens. */
export interface StreamAsk {
  readonly topics: readonly string[];
  readonly parameters?: Parameters;
  readonly lastEventId?: string | undefined;
  readonly signal: AbortSignal;
  /** Hears what is said. `id` is the place in the stream, where it has one. */
  readonly onSaid: (said: Said, id: string | undefined) => void;
}

/** How long to wait for the first byte, and for each one after. */
export interface Patience {
  readonly firstByteMs: number;
  readonly silenceMs: number;
}

/** Reads a stream until it ends, for whatever reason. Never throws. */
export async function readStream(
  requests: Requests,
  ask: StreamAsk,
  patience: Patience,
): Promise<StreamEnd> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  ask.signal.addEventListener("abort", abort);
  let hasBegun = false;
  let alarm = setTimeout(abort, patience.firstByteMs);
  const heard = () => {
    hasBegun = true;
    clearTimeout(alarm);
    alarm = setTimeout(abort, patience.silenceMs);
  };
  try {
    if (ask.signal.aborted) {
      return { kind: "stopped" };
    }
    return await readAll(requests, ask, stop.signal, heard);
  } catch (error) {
    if (ask.signal.aborted) {
      return { kind: "stopped" };
    }
    if (hasBegun) {
      return { kind: "broken" };
    }
    return stop.signal.aborted ? { kind: "heldBack" } : { kind: "unreachable", why: String(error) };
  } finally {
    clearTimeout(alarm);
    ask.signal.removeEventListener("abort", abort);
    // Whoever stops reading lets go of the connection.
    stop.abort();
  }
}

async function readAll(
  requests: Requests,
  ask: StreamAsk,
  signal: AbortSignal,
  heard: () => void,
): Promise<StreamEnd> {
  const last: Record<string, string> =
    ask.lastEventId === undefined ? {} : { "last-event-id": ask.lastEventId };
  const response = await fetch(requests.address("stream", ask.parameters, ask.topics), {
    headers: { ...requests.headers(), ...last, accept: "text/event-stream" },
    cache: "no-store",
    signal,
  });
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !type.startsWith("text/event-stream") || response.body === null) {
    const outcome = await outcomeOf(response);
    return outcome.kind === "answered"
      ? { kind: "unreachable", why: "an answer that is no event stream" }
      : outcome;
  }
  const reader = new EventStreamReader();
  const decoder = new TextDecoder();
  const pieces = response.body.getReader();
  for (;;) {
    const { done, value } = await pieces.read();
    if (done) {
      return { kind: "broken" };
    }
    heard();
    for (const event of reader.push(decoder.decode(value, { stream: true }))) {
      const end = tell(event, ask);
      if (end !== undefined || ask.signal.aborted) {
        return end ?? { kind: "stopped" };
      }
    }
  }
}

/** Tells what an event says; the end of the stream, if it is that. */
function tell(event: StreamEvent, ask: StreamAsk): StreamEnd | undefined {
  const data: unknown = JSON.parse(event.data);
  switch (event.type) {
    // The bodies are those of the protocol's version that the address names.
    case "ready":
      ask.onSaid({ kind: "ready", ...(data as Omit<Said & { kind: "ready" }, "kind">) }, event.id);
      return undefined;
    case "message":
      ask.onSaid({ kind: "message", body: messageOf(data as MessageBody) }, event.id);
      return undefined;
    case "reset":
      ask.onSaid({ kind: "reset", body: data as ResetBody }, event.id);
      return undefined;
    case "goaway": {
      const { reason, retry_after_ms } = data as { reason: string; retry_after_ms?: number };
      return { kind: "goaway", reason, retryAfterMs: retry_after_ms };
    }
    default:
      return undefined;
  }
}
