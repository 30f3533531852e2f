/** What follows from the end of a request: again, another way, or the end of the link. */

import type { ErrorBody, ServerFrame } from "../frames.ts";
import type { StreamEnd } from "./stream.ts";

/** The end of a link, in the words of a WebSocket. */
export interface Lost {
  readonly code: number;
  readonly reason: string;
  /** What the server said before. */
  readonly goaway?: ServerFrame;
}

export type Verdict =
  | { readonly kind: "again"; readonly afterMs: number }
  | { readonly kind: "lost"; readonly lost: Lost }
  /** What was asked for is refused, and would be again. */
  | { readonly kind: "refused"; readonly error: ErrorBody }
  | { readonly kind: "heldBack" }
  | { readonly kind: "stopped" };

/** Failures in a row before the link is given up, and the core comes back with its backoff. */
const FAILURES_MAX = 3;
/** A wait between attempts: from half of this to all of it. */
const AGAIN_MS = 600;

/** Close codes by the word of `goaway`; others are taken for "come back with backoff". */
const codes: Readonly<Record<string, number>> = {
  unauthenticated: 4000,
  bad_frame: 4001,
  forbidden: 4002,
  taken_over: 4003,
  token_expired: 4200,
  draining: 4402,
  overloaded: 4403,
};

/** What the end of a request says about the token, if it does. */
function closeCodeOf(code: string): number | undefined {
  switch (code) {
    case "token_expired":
      return 4200;
    case "unauthenticated":
    case "token_revoked":
      return 4000;
    default:
      return undefined;
  }
}

/** What the rest of the judgement depends on. */
export interface Circumstances {
  /** Failures before this one, in a row: since a stream was ready, or a poll was answered. */
  readonly failures: number;
  /** Whether there is a fresher token than the one that was shown. */
  readonly hasFresherToken: boolean;
  /** From 0 to 1. */
  readonly random: number;
}

/** Judges the end of a stream or of a poll. */
export function judge(end: StreamEnd, circumstances: Circumstances): Verdict {
  const afterMs = AGAIN_MS * (0.5 + circumstances.random / 2);
  const isLast = circumstances.failures + 1 >= FAILURES_MAX;
  switch (end.kind) {
    case "stopped":
    case "heldBack":
      return end;
    case "broken":
      return isLast ? lost(1006, "streams break off") : { kind: "again", afterMs };
    case "unreachable":
      return isLast ? lost(1006, end.why) : { kind: "again", afterMs };
    case "refused": {
      const code = closeCodeOf(end.error.code);
      if (code !== undefined) {
        return circumstances.hasFresherToken
          ? { kind: "again", afterMs: 0 }
          : lost(code, end.error.code);
      }
      if (!end.error.temporary) {
        return end;
      }
      return isLast
        ? lost(4403, "overloaded", end.error.retry_after_ms)
        : { kind: "again", afterMs: Math.max(afterMs, end.error.retry_after_ms ?? 0) };
    }
    case "goaway":
      if (end.reason === "token_expired" && circumstances.hasFresherToken) {
        return { kind: "again", afterMs: 0 };
      }
      return lost(codes[end.reason] ?? 4402, end.reason, end.retryAfterMs);
  }
}

/** The end of a link; with how long to stay away, if that is known. */
export function lost(
  code: number,
  reason: string,
  retryAfterMs?: number,
): Verdict & { kind: "lost" } {
  if (retryAfterMs === undefined) {
    return { kind: "lost", lost: { code, reason } };
  }
  const goaway: ServerFrame = { kind: "goaway", body: { reason, retry_after_ms: retryAfterMs } };
  return { kind: "lost", lost: { code, reason, goaway } };
}
