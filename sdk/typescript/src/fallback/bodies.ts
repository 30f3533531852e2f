/** Bodies of the HTTP interface as bodies of frames, and back. */

import { fromBase64, toBase64 } from "../base64.ts";
import type { ErrorBody, HistoryBody, MessageBody, PublishBody, ServerFrame } from "../frames.ts";

/** A message with its bytes as bytes. */
export function messageOf(body: MessageBody & { readonly data_base64?: string }): MessageBody {
  const { data_base64, ...others } = body;
  return data_base64 === undefined ? body : { ...others, data: fromBase64(data_base64) };
}

/** A page of history as the reply of a frame. */
export function historyOf(body: HistoryBody & { readonly cursor?: string }): HistoryBody {
  const { cursor: _cursor, ...history } = body;
  return { ...history, messages: history.messages.map(messageOf) };
}

/** A publish as an entry of a batch. */
export function entryOf(body: PublishBody): object {
  const { data, ...others } = body;
  return data instanceof Uint8Array
    ? { ...others, data_base64: toBase64(data) }
    : { ...others, data };
}

/** One result of a batch. */
export type BatchResult =
  | { readonly error: ErrorBody }
  | { readonly id: string; readonly offset: number; readonly epoch: string; duplicate: boolean }
  | { readonly id: string; readonly deliver_at: number; readonly duplicate: boolean };

/** The reply to a publish. */
export function replyOf(id: number | undefined, result: BatchResult): ServerFrame {
  if ("error" in result) {
    return { kind: "error", id, body: result.error };
  }
  if ("deliver_at" in result) {
    const { deliver_at, duplicate } = result;
    return { kind: "scheduled", id, body: { id: result.id, deliver_at, duplicate } };
  }
  const { offset, epoch, duplicate } = result;
  return { kind: "published", id, body: { id: result.id, offset, epoch, duplicate } };
}
