/**
 * The adapter of the conformance suite (`sdk/conformance`): does what it is told on standard input,
 * and tells on standard output what the SDK tells, one JSON object a line.
 *
 * `sdk/conformance/run typescript`
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  type Client,
  type ClientOptions,
  createClient,
  type Delivery,
  type Json,
  type Member,
  type Position,
  type Publication,
  type State,
  type SubscribeOptions,
  type Subscription,
  TidingsError,
} from "@tidings/client/node";

/** A command as the suite sends it; README.md of the suite says which fields belong to which. */
interface Command {
  readonly id: number;
  readonly do: string;
  readonly url: string;
  readonly token?: string | null;
  readonly asks?: boolean;
  readonly client?: string;
  readonly backoff: { readonly base_ms: number; readonly max_ms: number };
  readonly connect_timeout_ms?: number;
  readonly topic: string;
  readonly data: Json;
  readonly data_base64?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly content_type?: string;
  readonly deliver_at?: number;
  readonly key?: string;
  readonly order_key?: string;
  readonly sub: string;
  readonly durable?: string;
  readonly group?: string;
  readonly ack?: "auto" | "manual";
  readonly window?: number;
  readonly queue?: number;
  readonly from?: "new" | "first" | "last";
  readonly after?: Position;
  readonly presence?: boolean;
  readonly offset: number;
  readonly delay_ms?: number;
  readonly by_ms: number;
  readonly reason?: string;
  readonly limit?: number;
}

function tell(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** A subscription, and what of it the application holds. */
class Follower {
  readonly #subscription: Subscription;
  readonly #sub: string;
  readonly #held = new Map<string, Delivery>();
  #resume: (() => void) | undefined;
  #paused: Promise<void> | undefined;
  /** Whether its end is news: it stood, and the application has not ended it. */
  #isStanding = false;

  constructor(subscription: Subscription) {
    this.#subscription = subscription;
    this.#sub = subscription.sub;
    this.#listen();
  }

  #listen(): void {
    const sub = this.#sub;
    this.#subscription.on("subscribed", ({ recovered, pending }) => {
      tell({ event: "subscribed", sub, recovered, pending });
    });
    this.#subscription.on("reset", (reset) => tell({ event: "reset", ...reset, sub }));
    this.#subscription.on("presence", ({ joined, left, reset }) => {
      tell({ event: "presence", sub, joined: named(joined), left: named(left), reset });
    });
    this.#subscription.on("ended", ({ reason, error }) => {
      if (this.#isStanding) {
        tell({ event: "ended", sub, reason, code: error?.code });
      }
    });
  }

  async follow(): Promise<void> {
    for await (const delivery of this.#subscription) {
      this.#held.set(`${delivery.topic} ${delivery.offset}`, delivery);
      tell({ event: "message", sub: this.#sub, ...toldMessage(delivery) });
      await this.#paused;
    }
  }

  /** Waits until the server has taken it. */
  async stands(): Promise<void> {
    await this.#subscription.ready;
    this.#isStanding = true;
  }

  /** The application wants no more. */
  leave(): void {
    this.#isStanding = false;
    this.#resume?.();
  }

  async take(command: Command): Promise<void> {
    switch (command.do) {
      case "pause":
        this.#paused = new Promise((resolve) => {
          this.#resume = resolve;
        });
        return;
      case "resume":
        this.#resume?.();
        this.#paused = undefined;
        return;
      case "unsubscribe":
        this.leave();
        return this.#subscription.unsubscribe();
      default:
        this.#settle(command);
    }
  }

  #settle(command: Command): void {
    const place = `${command.topic ?? command.sub} ${command.offset}`;
    const delivery = this.#held.get(place);
    if (delivery === undefined) {
      throw new Error(`no delivery of ${place} is held`);
    }
    if (command.do === "extend") {
      delivery.extend(command.by_ms);
      return;
    }
    this.#held.delete(place);
    const { reason, delay_ms: delayMs } = command;
    switch (command.do) {
      case "ack":
        delivery.ack();
        break;
      case "nack":
        delivery.nack(given({ reason, delayMs }));
        break;
      default:
        delivery.giveUp(reason);
    }
  }
}

/** The one client, and its subscriptions by topic or filter. */
class Adapter {
  #client: Client | undefined;
  #token = "";
  readonly #followers = new Map<string, Follower>();

  /** Does what a command says; gives the answer. */
  async take(command: Command): Promise<object> {
    switch (command.do) {
      case "open":
        return this.#open(command);
      case "set_token":
        this.#token = command.token ?? "";
        return {};
      case "publish":
        return this.#publish(command);
      case "subscribe":
        return this.#subscribe(command);
      case "history":
        return this.#history(command);
      case "presence": {
        const { members, total } = await this.#opened().presence(command.topic);
        return { members: named(members), total };
      }
      case "close": {
        for (const follower of this.#followers.values()) {
          follower.leave();
        }
        const { waiting } = await this.#opened().close();
        return { waiting };
      }
      default: {
        const follower = this.#followers.get(command.sub);
        if (follower === undefined) {
          throw new Error(`there is no subscription to ${command.sub} that could ${command.do}`);
        }
        await follower.take(command);
        return {};
      }
    }
  }

  #opened(): Client {
    if (this.#client === undefined) {
      throw new Error("it is not open: `open` comes first");
    }
    return this.#client;
  }

  #open(command: Command): object {
    this.#token = command.token ?? "";
    const getToken = () => {
      tell({ event: "token_asked" });
      return this.#token;
    };
    const { client, connect_timeout_ms: connectTimeoutMs, backoff } = command;
    const token =
      command.asks === true ? { getToken } : given({ token: command.token ?? undefined });
    const options: ClientOptions = {
      url: command.url,
      backoff: { baseMs: backoff.base_ms, maxMs: backoff.max_ms },
      ...given({ client, connectTimeoutMs }),
      ...token,
    };
    this.#client = createClient(options);
    this.#client.on("state", tellState);
    // How it goes is told by the states.
    this.#client.connect().catch(() => {});
    return {};
  }

  #publish(command: Command): Promise<object> {
    const { topic, key, headers, data_base64: base64 } = command;
    const { order_key: orderKey, content_type: contentType, deliver_at: deliverAt } = command;
    const data =
      base64 === undefined ? command.data : new Uint8Array(Buffer.from(base64, "base64"));
    const options = given({ key, orderKey, headers, contentType, deliverAt });
    return this.#published(this.#opened().publish(topic, data, options));
  }

  async #published(publication: Publication): Promise<object> {
    const result = await publication;
    return "offset" in result ? result : { ...result, deliver_at: result.deliverAt };
  }

  async #subscribe(command: Command): Promise<object> {
    const { durable, group, ack, window, queue, from, after, presence } = command;
    // The suite means a new subscription by each, not one that goes on from what is kept.
    const remember = durable === undefined && group === undefined ? false : undefined;
    // The suite never asks for fields that do not go together, which the type forbids.
    const options = given({
      durable,
      group,
      ack,
      window,
      queue,
      from,
      after,
      presence,
      remember,
    }) as SubscribeOptions;
    const subscription = this.#opened().subscribe(command.sub, options);
    const follower = new Follower(subscription);
    // Whoever is refused hears it by `stands`; the end of the messages is told by `ended`.
    follower.follow().catch(() => {});
    await follower.stands();
    this.#followers.set(command.sub, follower);
    return {};
  }

  async #history(command: Command): Promise<object> {
    const { after, limit } = command;
    const page = await this.#opened().history(command.topic, given({ after, limit }));
    const messages = page.messages.map(({ offset, data }) => ({ offset, data }));
    return { ...page.position, recovered: page.recovered, more: page.more, messages };
  }
}

/** These fields, without those that have no value. */
function given<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  // The entries are those of `fields`, and what is undefined is gone.
  return Object.fromEntries(entries) as {
    [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
  };
}

function named(members: readonly Member[]): object[] {
  return members.map(({ user, client }) => ({ user, client }));
}

function toldMessage(delivery: Delivery): object {
  const { topic, offset, id, attempt, from, headers, data } = delivery;
  const { orderKey: order_key, contentType: content_type } = delivery;
  const told =
    data instanceof Uint8Array ? { data_base64: Buffer.from(data).toString("base64") } : { data };
  return { topic, offset, id, attempt, from, headers, order_key, content_type, ...told };
}

function tellState(state: State): void {
  tell({ event: "state", ...toldState(state) });
}

function toldState(state: State): object {
  switch (state.status) {
    case "connected":
      return {
        status: "connected",
        user: state.user,
        client: state.client,
        resumed: state.resumed,
      };
    case "reconnecting":
    case "offline":
      return { status: "reconnecting", code: state.cause.code };
    case "signedOut":
    case "failed":
      return { status: "ended", code: state.cause.code };
    case "idle":
    case "connecting":
    case "closed":
      return { status: state.status };
  }
}

function refusal(error: unknown): object {
  const code = error instanceof TidingsError ? error.code : "bad_command";
  return { code, message: error instanceof Error ? error.message : String(error) };
}

function version(): string {
  const file = new URL("../package.json", import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")).version;
}

const adapter = new Adapter();
const can = [
  "durable",
  "shared",
  "presence",
  "history",
  "nack",
  "refresh",
  "filters",
  "bytes",
  "scheduled",
];
tell({ event: "hello", sdk: `TypeScript ${version()}`, can });
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  // The suite's lines; one that is none ends the adapter, which the suite tells.
  const command: Command = JSON.parse(line);
  adapter.take(command).then(
    (ok) => tell({ id: command.id, ok }),
    (error: unknown) => tell({ id: command.id, error: refusal(error) }),
  );
});
lines.on("close", () => process.exit(0));
