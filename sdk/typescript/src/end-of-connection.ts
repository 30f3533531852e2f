/** What the end of a connection was, in words. */

import { type Code, TidingsError } from "./errors.ts";

/** Codes and words of close codes after which coming back does not help, or that say more than "lost". */
const ends: ReadonlyMap<number, readonly [Code, string]> = new Map([
  [1009, ["too_large", "a frame was larger than the server allows"]],
  [4000, ["unauthenticated", "the server does not accept the token"]],
  [4001, ["bad_frame", "the server could not read what this client sent"]],
  [4002, ["forbidden", "the server has sent this user away"]],
  [4003, ["taken_over", "another connection has taken up this session"]],
  [4200, ["token_expired", "the token has expired"]],
  [4402, ["draining", "the server is going away"]],
  [4403, ["overloaded", "the server has more to do than it can"]],
]);

/** The close code: where it was lost on the way, the goodbye's word stands for it. */
export function codeOfEnd(code: number, goaway: string | undefined): number {
  const isLost = code === 1005 || code === 1006;
  const said = isLost ? [...ends].find(([, [word]]) => word === goaway) : undefined;
  return said?.[0] ?? code;
}

/** The error that a close code means, with what the server said before. */
export function causeOfEnd(code: number, reason: string, goaway: string | undefined): TidingsError {
  const said = goaway ?? reason;
  const [word, words] = ends.get(code) ?? [
    "connection_lost",
    said === "" ? "the connection was lost" : `the connection was lost: ${said}`,
  ];
  const isFinal = code >= 4000 && code <= 4099;
  return new TidingsError(word, words, { temporary: !isFinal, closeCode: code });
}
