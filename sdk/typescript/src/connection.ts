/** Owns the socket: makes the connection, keeps it, and comes back when it is lost. */

import { Alarm } from "./alarm.ts";
import type { Codec } from "./codec.ts";
import { causeOfEnd, codeOfEnd } from "./end-of-connection.ts";
import { errorOf, serverError, TidingsError } from "./errors.ts";
import type { ConnectBody, ConnectedBody, ServerBodies, ServerFrame } from "./frames.ts";
import { Heartbeat } from "./heartbeat.ts";
import { GOAWAY_PATIENCE_MS, OFFLINE_ATTEMPTS, TOKEN_REFUSALS_MAX } from "./limits.ts";
import { Line } from "./line.ts";
import { saysOffline } from "./platform.ts";
import { type Advice, adviceOf, Reconnect } from "./reconnect.ts";
import { Refresh, type TokenSource } from "./token.ts";
import type { Link, LinkEvents, Transport } from "./transport.ts";

/** What a connection is made with. */
export interface ConnectionSetup {
  readonly url: URL;
  readonly transport: Transport;
  readonly codec: Codec;
  readonly token: TokenSource;
  /** Whether asking for a token again can give another one. */
  readonly canRenewToken: boolean;
  readonly baseMs: number;
  readonly maxMs: number;
  readonly attemptsMax: number;
  readonly connectTimeoutMs: number;
}

/** What a connection tells, and asks for. */
export interface ConnectionEvents {
  /** Who connects: the name of the device, and the session of before. */
  identity(): Pick<ConnectBody, "client" | "session">;
  /** The session is another user's. */
  forgetSession(): void;
  connected(line: Line, body: ConnectedBody): void;
  /** The server goes away: what is on its way is answered, nothing new is to be published. */
  goingAway(): void;
  frame(frame: ServerFrame): void;
  disconnected(): void;
  /** `status` is another one. */
  changed(): void;
  /** Something went wrong that the connection gets over. */
  problem(error: TidingsError): void;
}

/** Where a connection is, without the words for people. */
export type Status =
  | { readonly status: "idle" | "closed" }
  | { readonly status: "connecting"; readonly attempt: number }
  | { readonly status: "connected"; readonly body: ConnectedBody; readonly via: Transport["via"] }
  | (Away & { readonly status: "reconnecting" })
  | (Away & { readonly status: "offline" })
  | { readonly status: "signedOut"; readonly cause: TidingsError }
  | { readonly status: "failed"; readonly cause: TidingsError };

/** Without a connection, and trying. */
interface Away extends Trouble {
  readonly attempt: number;
  readonly retryAt: number;
}

/** One try, from the token to the end of its connection. */
interface Attempt {
  link: Link | undefined;
  line: Line | undefined;
  /** The server's answer to `connect`, if it was no. */
  refused: TidingsError | undefined;
  goaway: ServerBodies["goaway"] | undefined;
}

type Phase =
  | { readonly kind: "idle" }
  | { readonly kind: "opening"; readonly attempt: Attempt; readonly since: number }
  | {
      readonly kind: "open";
      readonly attempt: Attempt;
      readonly heartbeat: Heartbeat;
      readonly refresh: Refresh;
      readonly body: ConnectedBody;
      readonly since: number;
    }
  /** `isFirm`: the server asked for this wait. */
  | { readonly kind: "waiting"; readonly retryAt: number; readonly isFirm: boolean }
  | {
      readonly kind: "stopped";
      readonly status: "signedOut" | "failed";
      readonly cause: TidingsError;
    }
  | { readonly kind: "closed" };

/** What has kept the client from a connection, and since when. */
interface Trouble {
  readonly cause: TidingsError;
  readonly since: number;
}

/** One connection, kept up. */
export class Connection {
  readonly #setup: ConnectionSetup;
  readonly #events: ConnectionEvents;
  readonly #reconnect: Reconnect;
  /** The end of the wait, of the patience with an attempt, or the next heartbeat: one at a time. */
  readonly #alarm = new Alarm();
  #phase: Phase = { kind: "idle" };
  #trouble: Trouble | undefined;
  #tokenRefusals = 0;
  /** Since there was a connection, or somebody asked for one. */
  #attempts = 0;

  constructor(setup: ConnectionSetup, events: ConnectionEvents) {
    this.#setup = setup;
    this.#events = events;
    this.#reconnect = new Reconnect(setup.baseMs, setup.maxMs);
  }

  get status(): Status {
    return this.#describe();
  }

  #describe(): Status {
    const phase = this.#phase;
    switch (phase.kind) {
      case "idle":
      case "closed":
        return { status: phase.kind };
      case "stopped":
        return { status: phase.status, cause: phase.cause };
      case "open":
        return { status: "connected", body: phase.body, via: this.#setup.transport.via };
      case "opening":
      case "waiting": {
        const { failures } = this.#reconnect;
        const attempt = failures + 1;
        if (this.#trouble === undefined) {
          return { status: "connecting", attempt };
        }
        const isOffline = failures >= OFFLINE_ATTEMPTS || saysOffline();
        const status = isOffline ? "offline" : "reconnecting";
        const retryAt = phase.kind === "waiting" ? phase.retryAt : phase.since;
        return { status, attempt, retryAt, ...this.#trouble };
      }
    }
  }

  /** Tries now, unless a connection is there or being made. */
  connect(): void {
    switch (this.#phase.kind) {
      case "stopped":
        this.#startOver();
        break;
      case "idle":
      case "waiting":
        break;
      case "opening":
      case "open":
      case "closed":
        return;
    }
    void this.#begin();
  }

  /** The network may be back, or somebody looks: no use in waiting longer. */
  awake(): void {
    const phase = this.#phase;
    if (phase.kind === "waiting" && !phase.isFirm) {
      void this.#begin();
    } else if (phase.kind === "open" && phase.heartbeat.doubt(Date.now())) {
      this.#ping(phase.attempt);
      this.#watch();
    }
  }

  close(): void {
    const phase = this.#phase;
    this.#alarm.clear();
    this.#phase = { kind: "closed" };
    if (phase.kind === "opening" || phase.kind === "open") {
      phase.attempt.line?.flush();
      phase.attempt.link?.close(1000);
    }
    this.#hangUp(phase);
    this.#events.changed();
  }

  #startOver(): void {
    this.#attempts = 0;
    this.#tokenRefusals = 0;
    this.#trouble = undefined;
    this.#reconnect.connected();
  }

  async #begin(): Promise<void> {
    this.#alarm.clear();
    this.#attempts += 1;
    const attempt: Attempt = {
      link: undefined,
      line: undefined,
      refused: undefined,
      goaway: undefined,
    };
    this.#phase = { kind: "opening", attempt, since: Date.now() };
    this.#events.changed();
    try {
      const token = await this.#setup.token();
      if (this.#isCurrent(attempt)) {
        this.#open(attempt, token);
      }
    } catch (cause) {
      // The token source rejects with nothing else, and a transport throws what lasts.
      const error = errorOf(cause, "bad_option", "");
      if (this.#isCurrent(attempt)) {
        this.#over(error, error.temporary ? { kind: "backoff" } : { kind: "stay" }, 0);
      }
    }
  }

  #open(attempt: Attempt, token: string | undefined): void {
    const { transport, url, codec, connectTimeoutMs } = this.#setup;
    this.#alarm.set(Date.now() + connectTimeoutMs, () => {
      const words = `${url.host} did not answer within ${connectTimeoutMs} ms`;
      this.#cut(attempt, new TidingsError("connect_timeout", words, { temporary: true }));
    });
    attempt.link = transport.open(url, this.#linkEvents(attempt, token), codec);
  }

  #linkEvents(attempt: Attempt, token: string | undefined): LinkEvents {
    return {
      opened: () => {
        if (this.#isCurrent(attempt) && attempt.link !== undefined) {
          const line = new Line(attempt.link);
          attempt.line = line;
          const body = { ...this.#events.identity(), token };
          line.ask({ kind: "connect", body }, (reply) => this.#greeted(attempt, line, reply));
          line.flush();
        }
      },
      frames: (frames) => {
        for (const frame of frames) {
          if (this.#isCurrent(attempt) && attempt.line !== undefined) {
            this.#heard(attempt, attempt.line, frame);
          }
        }
      },
      closed: (code, reason) => {
        if (this.#isCurrent(attempt)) {
          this.#ended(attempt, undefined, code, reason);
        }
      },
    };
  }

  #isCurrent(attempt: Attempt): boolean {
    const phase = this.#phase;
    return (phase.kind === "opening" || phase.kind === "open") && phase.attempt === attempt;
  }

  /** The server has answered to `connect`. */
  #greeted(attempt: Attempt, line: Line, reply: ServerFrame | undefined): void {
    if (reply?.kind === "error") {
      // It closes the connection behind this; the code that it closes with says what to do.
      attempt.refused = serverError(reply.body);
    }
    if (reply?.kind !== "connected") {
      return;
    }
    const now = Date.now();
    const refresh = new Refresh(this.#setup.token, line, (error) => this.#events.problem(error));
    const heartbeat = new Heartbeat(reply.body.ping_ms, now);
    this.#phase = { kind: "open", attempt, heartbeat, refresh, body: reply.body, since: now };
    line.limits = reply.body.limits;
    this.#startOver();
    this.#watch();
    if (this.#setup.canRenewToken) {
      refresh.schedule(reply.body.expires_at);
    }
    this.#events.connected(line, reply.body);
    this.#events.changed();
  }

  #heard(attempt: Attempt, line: Line, frame: ServerFrame): void {
    if (this.#phase.kind === "open") {
      this.#phase.heartbeat.heard(Date.now());
    }
    if (frame.kind === "ping") {
      line.say({ kind: "pong", body: {} });
    } else if (frame.kind === "goaway") {
      attempt.goaway = frame.body;
      this.#events.goingAway();
      this.#alarm.set(Date.now() + GOAWAY_PATIENCE_MS, () => this.#cut(attempt, undefined));
    } else if (!line.answered(frame)) {
      this.#events.frame(frame);
    }
  }

  #ping(attempt: Attempt): void {
    attempt.line?.ask({ kind: "ping", body: {} }, () => {});
  }

  /** Looks at the heartbeat when it is time. */
  #watch(): void {
    const phase = this.#phase;
    if (phase.kind !== "open" || phase.attempt.goaway !== undefined) {
      return;
    }
    this.#alarm.set(phase.heartbeat.deadline, () => {
      switch (phase.heartbeat.look(Date.now())) {
        case "dead": {
          const words = "the server has fallen silent";
          this.#cut(phase.attempt, new TidingsError("connection_lost", words, { temporary: true }));
          return;
        }
        case "ping":
          this.#ping(phase.attempt);
          break;
        case "nothing":
          break;
      }
      this.#watch();
    });
  }

  /** Ends it from this side. */
  #cut(attempt: Attempt, cause: TidingsError | undefined): void {
    if (this.#isCurrent(attempt)) {
      attempt.link?.close();
      this.#ended(attempt, cause, 1006, "");
    }
  }

  #ended(attempt: Attempt, cut: TidingsError | undefined, closed: number, reason: string): void {
    const goaway = attempt.goaway?.reason;
    const code = codeOfEnd(closed, goaway);
    const cause = attempt.refused ?? cut ?? causeOfEnd(code, reason, goaway);
    const lasted = this.#phase.kind === "open" ? Date.now() - this.#phase.since : 0;
    this.#over(cause, this.#advice(attempt, code), lasted);
  }

  #advice({ refused, goaway }: Attempt, code: number): Advice {
    switch (refused?.code) {
      case "session_denied":
        this.#events.forgetSession();
        return { kind: "backoff" };
      case "token_expired":
        this.#tokenRefusals += 1;
        return this.#setup.canRenewToken && this.#tokenRefusals < TOKEN_REFUSALS_MAX
          ? { kind: "backoff" }
          : { kind: "stay" };
      default:
        if (refused?.temporary === true) {
          const ms = refused.retryAfterMs;
          return ms === undefined ? { kind: "backoff" } : { kind: "after", ms };
        }
        return refused === undefined ? adviceOf(code, goaway?.retry_after_ms) : { kind: "stay" };
    }
  }

  /** The attempt, or its connection, is over. */
  #over(cause: TidingsError, advice: Advice, lastedMs: number): void {
    const phase = this.#phase;
    this.#alarm.clear();
    const now = Date.now();
    this.#trouble = { cause, since: this.#trouble?.since ?? now };
    if (advice.kind === "stay") {
      this.#stop(stoppedStatus(cause), cause);
    } else {
      const wait = this.#reconnect.ended(advice, lastedMs, Math.random());
      if (this.#attempts >= this.#setup.attemptsMax) {
        const words = `no connection after ${this.#setup.attemptsMax} attempts: ${cause.message}`;
        const exhausted = new TidingsError("attempts_exhausted", words, { cause, temporary: true });
        this.#stop("failed", exhausted);
      } else {
        this.#phase = { kind: "waiting", retryAt: now + wait, isFirm: advice.kind === "after" };
        this.#alarm.set(now + wait, () => void this.#begin());
      }
    }
    this.#hangUp(phase);
    this.#events.changed();
  }

  /** Lets go of what a phase had. The phase itself is another one by now. */
  #hangUp(phase: Phase): void {
    if (phase.kind === "open") {
      phase.refresh.stop();
      // First, so that nobody asks again over a line that is gone.
      this.#events.disconnected();
      phase.attempt.line?.over();
    }
  }

  /** The end, until `connect()`. Told as a problem, too: a page may show no states. */
  #stop(status: "signedOut" | "failed", cause: TidingsError): void {
    this.#phase = { kind: "stopped", status, cause };
    this.#events.problem(cause);
  }
}

/** Whether signing in is what helps. */
function stoppedStatus(cause: TidingsError): "signedOut" | "failed" {
  switch (cause.code) {
    case "unauthenticated":
    case "token_expired":
    case "token_revoked":
    case "forbidden":
      return "signedOut";
    default:
      return "failed";
  }
}
