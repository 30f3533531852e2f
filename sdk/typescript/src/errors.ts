/** What goes wrong, with a stable code, whether trying again can help, and where to read on. */

import type { ErrorBody } from "./frames.ts";

/** Codes of the server: docs/errors.md. */
export type ServerCode =
  | "bad_frame"
  | "unknown_frame"
  | "unknown_field"
  | "bad_field"
  | "bad_topic"
  | "bad_filter"
  | "not_connected"
  | "already_connected"
  | "unauthenticated"
  | "token_expired"
  | "token_revoked"
  | "permission_denied"
  | "origin_denied"
  | "session_denied"
  | "not_found"
  | "method_not_allowed"
  | "not_subscribed"
  | "already_subscribed"
  | "already_due"
  | "key_used"
  | "epoch_changed"
  | "offset_ahead"
  | "trimmed"
  | "too_large"
  | "unsupported_media_type"
  | "unsupported"
  | "limit_reached"
  | "overloaded"
  | "draining"
  | "storage_full"
  | "storage_unavailable"
  | "internal";

/** Codes of this client: sdk/typescript/docs/errors.md. */
const clientCodes = [
  "aborted",
  "attempts_exhausted",
  "bad_option",
  "bad_server_frame",
  "closed",
  "connect_timeout",
  "connection_lost",
  "delivery_failed",
  "forbidden",
  "outbox_full",
  "overlaps",
  "storage_failed",
  "taken_over",
  "token_failed",
] as const;

/** A code of this client. */
export type ClientCode = (typeof clientCodes)[number];

/** A code of the server or of this client; new ones may come with newer servers. */
export type Code = ServerCode | ClientCode | (string & {});

/** Why a client is closed. */
export type CloseReason = "application" | "failed" | "signedOut";

/** What a `TidingsError` may say beside its code and message. */
export interface ErrorDetails {
  readonly temporary?: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
  /** The WebSocket's close code, if it was a close. */
  readonly closeCode?: number;
}

/** An error of the server or of this client. */
export class TidingsError extends Error {
  override readonly name = "TidingsError";
  /** Which error: stable, for programs. */
  readonly code: Code;
  /** Whether the same may succeed later. */
  readonly temporary: boolean;
  /** How long to wait before that, if the server said. */
  declare readonly retryAfterMs?: number;
  /** The code that the WebSocket was closed with. */
  declare readonly closeCode?: number;
  /** Where it is explained: a path in the repository of Tidings. */
  readonly help: string;

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(message, details);
    Object.assign(this, details);
    this.code = code;
    this.temporary = details.temporary ?? false;
    const isOwn = clientCodes.some((own) => own === code);
    this.help = `${isOwn ? "sdk/typescript/" : ""}docs/errors.md#${code}`;
  }
}

/** The error of an answer that is none to what was asked. */
export function unexpected({ kind }: { readonly kind: string }): TidingsError {
  return new TidingsError("bad_server_frame", `the server answered with "${kind}"`);
}

/** The application's signal has ended it. */
export function aborted(signal: AbortSignal | undefined): TidingsError {
  return new TidingsError("aborted", "the application aborted it", { cause: signal?.reason });
}

/** Anything that was thrown, in words: also what cannot be written as text. */
export function wordsOf(cause: unknown): string {
  try {
    return String(cause instanceof Error ? cause.message : cause);
  } catch {
    return `a thrown ${typeof cause}`;
  }
}

/** The error that stands for whatever was thrown, which may be one already. */
export function errorOf(
  cause: unknown,
  code: ClientCode,
  words: string,
  temporary = false,
): TidingsError {
  return cause instanceof TidingsError
    ? cause
    : new TidingsError(code, words + wordsOf(cause), { temporary, cause });
}

/** The error that stands for whatever storage rejects with. */
export function storageFailed(cause: unknown): TidingsError {
  return errorOf(cause, "storage_failed", "storage fails: ");
}

/** The error of everything that is asked of a client that is closed. */
export function closedError(): TidingsError {
  return new TidingsError("closed", "the client is closed: make another one");
}

/** The error that the server answered with. */
export function serverError(body: ErrorBody): TidingsError {
  return new TidingsError(body.code, body.message, {
    temporary: body.temporary,
    retryAfterMs: body.retry_after_ms,
  });
}
