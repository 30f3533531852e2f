/** Tokens: asked for before each connection, and again before they end. */

import { Alarm } from "./alarm.ts";
import { errorOf, serverError, TidingsError } from "./errors.ts";
import { REFRESH_LEAD_MS, TOKEN_TIMEOUT_MS } from "./limits.ts";
import type { Line } from "./line.ts";
import { backoffMs } from "./reconnect.ts";
import type { ClientOptions } from "./types.ts";

/** Gives the token of the next connection. Rejects with a `TidingsError`. */
export type TokenSource = () => Promise<string | undefined>;

/** A promise that does not take longer than this. */
export function within<Value>(
  ms: number,
  promise: Promise<Value>,
  late: () => TidingsError,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** The source that the options mean. */
export function tokenSource({ token, getToken }: ClientOptions): TokenSource {
  if (getToken === undefined) {
    return async () => token;
  }
  const late = () =>
    new TidingsError("token_failed", `getToken took longer than ${TOKEN_TIMEOUT_MS} ms`, {
      temporary: true,
    });
  return async () => {
    try {
      const asked = Promise.resolve().then(getToken);
      return await within(TOKEN_TIMEOUT_MS, asked, late);
    } catch (cause) {
      throw errorOf(cause, "token_failed", "getToken failed: ", true);
    }
  };
}

/** Shows fresh tokens on one connection. Nothing that goes wrong here ends it. */
export class Refresh {
  readonly #alarm = new Alarm();
  readonly #source: TokenSource;
  readonly #line: Line;
  readonly #failed: (error: TidingsError) => void;
  #failures = 0;
  #isOver = false;

  constructor(source: TokenSource, line: Line, failed: (error: TidingsError) => void) {
    this.#source = source;
    this.#line = line;
    this.#failed = failed;
  }

  /** The token ends then. */
  schedule(expiresAt: number | undefined): void {
    if (expiresAt === undefined || this.#isOver) {
      return;
    }
    const now = Date.now();
    const left = Math.max(0, expiresAt - now);
    // A source that fails, or gives the same old token again, is asked ever more rarely.
    const wait =
      this.#failures === 0
        ? Math.max(left - REFRESH_LEAD_MS, left * 0.7)
        : backoffMs(this.#failures, 1000, 60_000, Math.random());
    this.#alarm.set(now + wait, () => void this.#show(expiresAt));
  }

  stop(): void {
    this.#isOver = true;
    this.#alarm.clear();
  }

  async #show(expiresAt: number): Promise<void> {
    try {
      const token = await this.#source();
      if (token === undefined || this.#isOver) {
        return;
      }
      this.#line.ask(
        { kind: "refresh", body: { token } },
        (reply) => {
          if (reply?.kind === "refreshed") {
            const end = reply.body.expires_at ?? Number.POSITIVE_INFINITY;
            // An end that is over already is that of another clock: asking at once would be so for ever.
            const isLater = end > Math.max(expiresAt, Date.now());
            this.#failures = isLater ? 0 : this.#failures + 1;
            this.schedule(reply.body.expires_at);
          } else if (reply?.kind === "error") {
            this.#again(expiresAt, serverError(reply.body));
          }
        },
        token.length,
      );
    } catch (cause) {
      this.#again(expiresAt, errorOf(cause, "token_failed", ""));
    }
  }

  #again(expiresAt: number, error: TidingsError): void {
    if (!this.#isOver) {
      this.#failures += 1;
      this.#failed(error);
      this.schedule(expiresAt);
    }
  }
}
