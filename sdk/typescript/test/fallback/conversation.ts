/** A talk over a link, frame by frame. */

import assert from "node:assert/strict";
import { json } from "../../src/codec.ts";
import type { ClientBodies, ClientFrame, ServerBodies, ServerFrame } from "../../src/frames.ts";
import type { Link, Transport } from "../../src/transport.ts";

const PATIENCE_MS = 30_000;

/** A frame of one kind. */
type Frame<Kind extends keyof ServerBodies> = ServerFrame & { readonly kind: Kind };

export class Conversation {
  readonly heard: ServerFrame[] = [];
  closedWith: { readonly code: number; readonly reason: string } | undefined;
  readonly #link: Link;
  #isOpen = false;
  #lastId = 0;
  #wake: (() => void)[] = [];

  constructor(transport: Transport, url: URL) {
    const events = {
      opened: () => {
        this.#isOpen = true;
        this.#stir();
      },
      frames: (frames: readonly ServerFrame[]) => {
        assert.equal(this.closedWith, undefined, "a frame came after the end");
        this.heard.push(...frames);
        this.#stir();
      },
      closed: (code: number, reason: string) => {
        assert.equal(this.closedWith, undefined, "it was closed twice");
        this.closedWith = { code, reason };
        this.#stir();
      },
    };
    this.#link = transport.open(url, events, json);
  }

  /** Sends a request; its id. */
  async send<Kind extends keyof ClientBodies>(
    kind: Kind,
    body: ClientBodies[Kind],
  ): Promise<number> {
    await this.until(() => this.#isOpen || undefined, "open");
    this.#lastId += 1;
    // The kind and the body fit together: the signature says so.
    this.#link.send([{ kind, id: this.#lastId, body } as ClientFrame]);
    return this.#lastId;
  }

  /** Sends a request and waits for its reply of this kind. */
  async ask<Kind extends keyof ClientBodies, Reply extends keyof ServerBodies>(
    kind: Kind,
    body: ClientBodies[Kind],
    reply: Reply,
  ): Promise<ServerBodies[Reply]> {
    const id = await this.send(kind, body);
    const frame = await this.until(
      () => this.heard.find((one) => one.id === id),
      `reply to ${kind}`,
    );
    assert.equal(frame.kind, reply, JSON.stringify(frame));
    // Just compared.
    return frame.body as ServerBodies[Reply];
  }

  /** The messages that were heard of a topic. */
  messages(topic: string): ServerBodies["message"][] {
    return this.heard.flatMap((one) =>
      one.kind === "message" && one.body.topic === topic ? [one.body] : [],
    );
  }

  all<Kind extends keyof ServerBodies>(kind: Kind): ServerBodies[Kind][] {
    const isOfKind = (one: ServerFrame): one is Frame<Kind> => one.kind === kind;
    return this.heard.filter(isOfKind).map((one) => one.body as ServerBodies[Kind]);
  }

  /** Waits until there is something. */
  async until<Value>(
    find: () => Value | undefined,
    what: string,
    ms = PATIENCE_MS,
  ): Promise<Value> {
    const end = Date.now() + ms;
    for (;;) {
      const found = find();
      if (found !== undefined) {
        return found;
      }
      const left = end - Date.now();
      assert.ok(left > 0, `waited in vain: ${what}; heard ${JSON.stringify(this.heard.slice(-5))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  end(): Promise<{ readonly code: number; readonly reason: string }> {
    return this.until(() => this.closedWith, "the end");
  }

  close(): void {
    this.#link.close();
  }

  #stir(): void {
    const all = this.#wake;
    this.#wake = [];
    for (const wake of all) {
      wake();
    }
  }
}
