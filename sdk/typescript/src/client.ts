/** The client: puts the parts together and tells how it stands. */

import { addressOf } from "./address.ts";
import { json } from "./codec.ts";
import { Connection, type ConnectionEvents } from "./connection.ts";
import { closedError, storageFailed, type TidingsError, unexpected } from "./errors.ts";
import type { ConnectedBody } from "./frames.ts";
import { hints } from "./hints.ts";
import {
  BACKOFF_BASE_MS,
  BACKOFF_MAX_MS,
  CONNECT_TIMEOUT_MS,
  FLUSH_MS,
  ORPHAN_LOOK_MS,
  OUTBOX_BYTES_MAX,
  OUTBOX_MESSAGES_MAX,
  TIMEOUT_MAX_MS,
} from "./limits.ts";
import type { Line } from "./line.ts";
import { Listeners } from "./listeners.ts";
import { bare } from "./live-place.ts";
import { messageOf } from "./message.ts";
import { watchSurroundings } from "./platform.ts";
import { Publishing } from "./publishing.ts";
import { Questions } from "./questions.ts";
import { randomName } from "./random.ts";
import { inTime, type Kept, openKept } from "./startup.ts";
import { Subscriptions } from "./subscriptions.ts";
import { tokenSource, within } from "./token.ts";
import type {
  Client,
  ClientEvents,
  ClientOptions,
  Closed,
  History,
  HistoryOptions,
  Json,
  Present,
  Publication,
  PublishOptions,
  State,
  SubscribeOptions,
  Subscription,
  Waiting,
} from "./types.ts";
import { webSocketTransport } from "./websocket.ts";

/** `opened` resolves once what is kept is open, and the first attempt begins. */
type Life =
  | { readonly kind: "new" }
  | { readonly kind: "open"; readonly opened: Promise<void> }
  | { readonly kind: "closed"; readonly closed: Promise<Closed> };

/** A client of one server. It connects when it is asked to, or has something to say. */
export function createClient(options: ClientOptions): Client {
  return new TidingsClient(options);
}

class TidingsClient implements Client {
  readonly #options: ClientOptions;
  readonly #listeners = new Listeners<ClientEvents>();
  readonly on = this.#listeners.on;
  readonly #problem = (error: TidingsError) => this.#listeners.tell("problem", error);
  /** The name of this life of the client, under which its outbox is kept. */
  readonly #instance = randomName();
  readonly #connection: Connection;
  readonly #publishing: Publishing;
  readonly #subscriptions: Subscriptions;
  readonly #questions = new Questions();
  #life: Life = { kind: "new" };
  /** Whether it has said its last word; `close` waits a while before. */
  #isOver = false;
  #unwatch: (() => void) | undefined;
  /** What outlives the client, once it is open. */
  #kept: Kept | undefined;
  #session: string | undefined;
  #adopting: Promise<void> | undefined;
  /** The keys of what was taken over and is still kept. */
  #adopted: ReadonlySet<string> = new Set();
  /** While there is a connection. */
  #look: ReturnType<typeof setInterval> | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { baseMs = BACKOFF_BASE_MS, maxMs = BACKOFF_MAX_MS } = options.backoff ?? {};
    this.#publishing = new Publishing(
      {
        messagesMax: options.outbox?.messagesMax ?? OUTBOX_MESSAGES_MAX,
        bytesMax: options.outbox?.bytesMax ?? OUTBOX_BYTES_MAX,
        baseMs,
        maxMs,
      },
      this.#instance,
      {
        changed: () => this.#waitingChanged(),
        published: (event) => this.#listeners.tell("published", event),
        refused: (event) => this.#listeners.tell("refused", event),
      },
    );
    this.#subscriptions = new Subscriptions({
      inbox: (event) => this.#listeners.tell("inbox", event),
      problem: this.#problem,
    });
    const websocket = options.transport ?? webSocketTransport();
    this.#connection = new Connection(
      {
        url: addressOf(options.url),
        transport: options.fallback?.(websocket) ?? websocket,
        codec: options.codec ?? json,
        token: tokenSource(options),
        canRenewToken: options.getToken !== undefined,
        baseMs,
        maxMs,
        attemptsMax: options.backoff?.attemptsMax ?? Number.POSITIVE_INFINITY,
        connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      },
      this.#connectionEvents(),
    );
  }

  #connectionEvents(): ConnectionEvents {
    return {
      identity: () => ({
        client: this.#kept?.client,
        session: this.#session,
      }),
      forgetSession: () => this.#keepSession(undefined),
      connected: (line, body) => this.#connected(line, body),
      goingAway: () => this.#publishing.goingAway(),
      frame: (frame) => this.#subscriptions.frame(frame),
      disconnected: () => {
        clearInterval(this.#look);
        this.#publishing.disconnected();
        this.#subscriptions.disconnected();
        this.#questions.disconnected();
      },
      changed: () => this.#listeners.tell("state", this.state),
      problem: this.#problem,
    };
  }

  get state(): State {
    return this.#describe();
  }

  #describe(): State {
    const waiting = this.#publishing.size;
    const status = this.#connection.status;
    switch (status.status) {
      case "idle":
        return this.#life.kind === "open"
          ? { status: "connecting", attempt: 1, hint: hints.connecting }
          : { status: "idle", hint: hints.idle };
      case "closed":
        return { status: "closed", hint: hints.closed };
      case "connecting":
        return { ...status, hint: hints.connecting };
      case "connected": {
        const { user, client, node, resumed } = status.body;
        const { via } = status;
        const hint = hints.connected;
        return { status: "connected", user, client, node, resumed, via, waiting, hint };
      }
      case "reconnecting":
      case "offline":
      case "signedOut":
      case "failed":
        return { ...status, waiting, hint: hints[status.status](waiting, status.cause) };
    }
  }

  get outbox(): readonly Waiting[] {
    return this.#publishing.list();
  }

  async connect(): Promise<void> {
    this.#refuseIfClosed();
    const arrived = new Promise<void>((resolve, reject) => {
      const forget = this.on("state", (state) => {
        if (state.status === "connected") {
          resolve();
        } else if (state.status === "signedOut" || state.status === "failed") {
          reject(state.cause);
        } else if (state.status === "closed") {
          reject(closedError());
        } else {
          return;
        }
        forget();
      });
      if (this.#connection.status.status === "connected") {
        forget();
        resolve();
      }
    });
    this.#start();
    if (this.#kept !== undefined) {
      this.#connection.connect();
    }
    await arrived;
  }

  publish(topic: string, data: Json | Uint8Array, options: PublishOptions = {}): Publication {
    if (this.#life.kind === "closed") {
      const promise = Promise.reject(closedError());
      promise.catch(() => {});
      return Object.assign(promise, { key: options.key ?? "" });
    }
    this.#start();
    return this.#publishing.publish(topic, data, options);
  }

  subscribe(filter: string, options: SubscribeOptions = {}): Subscription {
    this.#begin();
    return this.#subscriptions.subscribe(filter, options);
  }

  async history(topic: string, options: HistoryOptions = {}): Promise<History> {
    this.#begin();
    const { after, since, limit } = options;
    const body = {
      topic,
      after: after && bare(after),
      since: since === undefined ? undefined : Number(since),
      limit,
    };
    const reply = await this.#questions.ask({ kind: "history", body });
    if (reply.kind !== "history") {
      throw unexpected(reply);
    }
    const { epoch, offset, first, recovered, more, messages } = reply.body;
    const position = { epoch, offset };
    return { topic, position, first, recovered, more, messages: messages.map(messageOf) };
  }

  async presence(topic: string): Promise<Present> {
    this.#begin();
    const reply = await this.#questions.ask({ kind: "presence", body: { topic } });
    if (reply.kind !== "present") {
      throw unexpected(reply);
    }
    return reply.body;
  }

  close(options: { readonly flushMs?: number } = {}): Promise<Closed> {
    const life = this.#life;
    if (life.kind === "closed") {
      return life.closed;
    }
    const closed = this.#end(life, options.flushMs ?? FLUSH_MS);
    this.#life = { kind: "closed", closed };
    return closed;
  }

  async #end(life: Exclude<Life, { kind: "closed" }>, flushMs: number): Promise<Closed> {
    const { status } = this.#connection.status;
    if (life.kind === "open" && status !== "signedOut" && status !== "failed") {
      const flushed = life.opened.then(() =>
        Promise.all([this.#subscriptions.finish(), this.#publishing.drained()]),
      );
      // Whatever goes wrong: the end comes.
      await within(Math.min(flushMs, TIMEOUT_MAX_MS), flushed, closedError).catch(() => {});
    }
    this.#isOver = true;
    const waiting = this.#publishing.size;
    this.#subscriptions.close();
    this.#connection.close();
    this.#publishing.close();
    this.#questions.close(closedError());
    this.#unwatch?.();
    if (life.kind === "open") {
      // What was published a moment ago is kept, also if storage was not open then.
      await life.opened;
      await this.#kept?.close();
    }
    return { reason: "application", waiting };
  }

  #refuseIfClosed(): void {
    if (this.#life.kind === "closed") {
      throw closedError();
    }
  }

  #begin(): void {
    this.#refuseIfClosed();
    this.#start();
  }

  #start(): void {
    if (this.#life.kind === "new") {
      this.#life = { kind: "open", opened: this.#open() };
    }
  }

  /** Opens what is kept, then connects. */
  async #open(): Promise<void> {
    const kept = await this.#openKept();
    this.#kept = kept;
    this.#session = kept.session;
    this.#publishing.attach(kept.keep);
    if (this.#isOver) {
      return;
    }
    this.#subscriptions.attach(kept.keep, kept.places);
    this.#unwatch = watchSurroundings({
      awake: () => this.#connection.awake(),
      offline: () => {
        this.#connection.awake();
        this.#listeners.tell("state", this.state);
      },
      leaving: () => void kept.keep.flush(),
    });
    await this.#adopt();
    if (!this.#isOver) {
      this.#connection.connect();
    }
  }

  /** Storage of the application may fail; the client goes on without. */
  async #openKept(): Promise<Kept> {
    const opening = openKept(this.#options, this.#instance, this.#problem);
    try {
      return await inTime(opening);
    } catch (cause) {
      // Should it open after all, nobody uses it.
      opening.then((late) => late.close()).catch(() => {});
      this.#problem(storageFailed(cause));
      return openKept({ ...this.#options, storage: "memory" }, this.#instance, this.#problem);
    }
  }

  /** Takes over what clients that are no more have left. */
  #adopt(): Promise<void> {
    this.#adopting ??= (async () => {
      try {
        const entries = await inTime(this.#kept?.orphans() ?? Promise.resolve([]));
        this.#publishing.adopt(entries.filter(({ body }) => !this.#adopted.has(body.key)));
        this.#adopted = new Set(entries.map(({ body }) => body.key));
      } catch (cause) {
        clearInterval(this.#look);
        this.#problem(storageFailed(cause));
      }
      this.#adopting = undefined;
    })();
    return this.#adopting;
  }

  #connected(line: Line, body: ConnectedBody): void {
    this.#keepSession(body.session === "" ? undefined : body.session);
    // Subscriptions first: whoever publishes what it is subscribed to gets to see it.
    this.#subscriptions.connected(line);
    this.#publishing.connected(line);
    this.#questions.connected(line);
    void this.#adopt();
    this.#look = setInterval(() => void this.#adopt(), ORPHAN_LOOK_MS);
  }

  #keepSession(session: string | undefined): void {
    this.#session = session;
    this.#kept?.keepSession(session);
  }

  #waitingChanged(): void {
    this.#listeners.tell("waiting", this.#publishing.size);
    const { state } = this;
    if ("waiting" in state && state.status !== "connected") {
      // Its words tell how many wait.
      this.#listeners.tell("state", state);
    }
  }
}
