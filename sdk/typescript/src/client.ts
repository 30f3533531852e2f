/** The client: puts the parts together and tells how it stands. */

import { addressOf } from "./address.ts";
import { json } from "./codec.ts";
import { Connection, type ConnectionEvents } from "./connection.ts";
import { TidingsError, unexpected } from "./errors.ts";
import type { ConnectedBody } from "./frames.ts";
import { hints } from "./hints.ts";
import {
  BACKOFF_BASE_MS,
  BACKOFF_MAX_MS,
  CONNECT_TIMEOUT_MS,
  FLUSH_MS,
  OUTBOX_BYTES_MAX,
  OUTBOX_MESSAGES_MAX,
} from "./limits.ts";
import type { Line } from "./line.ts";
import { Listeners } from "./listeners.ts";
import { messageOf } from "./message.ts";
import { watchSurroundings } from "./platform.ts";
import { Publishing } from "./publishing.ts";
import { Questions } from "./questions.ts";
import { randomName } from "./random.ts";
import { type Kept, openKept } from "./startup.ts";
import { Subscriptions } from "./subscriptions.ts";
import { tokenSource } from "./token.ts";
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
  #orphans: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { baseMs = BACKOFF_BASE_MS, maxMs = BACKOFF_MAX_MS } = options.backoff ?? {};
    const problem = (error: TidingsError) => this.#listeners.tell("problem", error);
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
      problem,
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
      this.#connectionEvents(problem),
    );
  }

  #connectionEvents(problem: (error: TidingsError) => void): ConnectionEvents {
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
        this.#publishing.disconnected();
        this.#subscriptions.disconnected();
        this.#questions.disconnected();
      },
      changed: () => this.#listeners.tell("state", this.state),
      problem,
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
        return { ...status, status: "reconnecting", waiting, hint: hints.reconnecting(waiting) };
      case "offline":
        return { ...status, status: "offline", waiting, hint: hints.offline(waiting) };
      case "signedOut":
        return {
          status: "signedOut",
          cause: status.cause,
          waiting,
          hint: hints.signedOut(waiting),
        };
      case "failed": {
        const { cause } = status;
        return { status: "failed", cause, waiting, hint: hints.failed(cause, waiting) };
      }
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
          reject(new TidingsError("closed", "the client was closed before it had connected"));
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
      const key = options.key ?? "";
      return Object.assign(Promise.reject(closedError()), { key });
    }
    this.#start();
    return this.#publishing.publish(topic, data, options);
  }

  subscribe(filter: string, options: SubscribeOptions = {}): Subscription {
    this.#refuseIfClosed();
    this.#start();
    return this.#subscriptions.subscribe(filter, options);
  }

  async history(topic: string, options: HistoryOptions = {}): Promise<History> {
    this.#refuseIfClosed();
    this.#start();
    const { after, since, limit } = options;
    const body = {
      topic,
      after: after && { epoch: after.epoch, offset: after.offset },
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
    this.#refuseIfClosed();
    this.#start();
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
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, flushMs);
      });
      const flushed = life.opened.then(() =>
        Promise.all([this.#subscriptions.finish(), this.#publishing.drained()]),
      );
      await Promise.race([flushed, late]);
      clearTimeout(timer);
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

  #start(): void {
    if (this.#life.kind === "new") {
      this.#life = { kind: "open", opened: this.#open() };
    }
  }

  /** Opens what is kept, then connects. */
  async #open(): Promise<void> {
    const problem = (error: TidingsError) => this.#listeners.tell("problem", error);
    const kept = await this.#openKept(problem);
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
  async #openKept(problem: (error: TidingsError) => void): Promise<Kept> {
    const left = () => {
      if (!this.#isOver) {
        void this.#adopt();
      }
    };
    const open = (options: ClientOptions) => openKept(options, this.#instance, left, problem);
    try {
      return await open(this.#options);
    } catch (cause) {
      problem(new TidingsError("storage_failed", `storage cannot be read: ${cause}`, { cause }));
      return open({ ...this.#options, storage: "memory" });
    }
  }

  /** Takes over what clients that are no more have left. */
  #adopt(): Promise<void> {
    this.#orphans ??= (async () => {
      const known = new Set(this.outbox.map(({ key }) => key));
      const entries = (await this.#kept?.orphans()) ?? [];
      this.#publishing.adopt(entries.filter(({ body }) => !known.has(body.key)));
    })()
      .catch((cause) => {
        const words = `storage cannot be read: ${cause}`;
        this.#listeners.tell("problem", new TidingsError("storage_failed", words, { cause }));
      })
      .finally(() => {
        this.#orphans = undefined;
      });
    return this.#orphans;
  }

  #connected(line: Line, body: ConnectedBody): void {
    this.#keepSession(body.session === "" ? undefined : body.session);
    // Subscriptions first: whoever publishes what it is subscribed to gets to see it.
    this.#subscriptions.connected(line);
    this.#publishing.connected(line);
    this.#questions.connected(line);
    void this.#adopt();
  }

  #keepSession(session: string | undefined): void {
    this.#session = session;
    this.#kept?.keepSession(session);
  }

  #waitingChanged(): void {
    this.#listeners.tell("waiting", this.#publishing.size);
    switch (this.#connection.status.status) {
      case "reconnecting":
      case "offline":
      case "signedOut":
      case "failed":
        // Their words tell how many wait.
        this.#listeners.tell("state", this.state);
        break;
      case "idle":
      case "closed":
      case "connecting":
      case "connected":
        break;
    }
  }
}

function closedError(): TidingsError {
  return new TidingsError("closed", "the client is closed: make another one");
}
