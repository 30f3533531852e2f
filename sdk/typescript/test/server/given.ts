/** What most tests against a server begin with, and clean up after. */

import type { TestContext } from "node:test";
import { type Client, type ClientOptions, createClient } from "../../src/node.ts";
import type { State } from "../../src/types.ts";
import { Server, tokenOf } from "./server.ts";

/** A server that goes when the test does. */
export async function givenServer(context: TestContext, more = ""): Promise<Server> {
  const server = await Server.start(more);
  context.after(() => server.remove());
  return server;
}

/** A client that goes when the test does: alice, quick to come back. */
export function givenClient(context: TestContext, options: ClientOptions): Client {
  const client = createClient({
    ...(options.getToken === undefined ? { token: tokenOf("alice") } : {}),
    backoff: { baseMs: 20, maxMs: 100 },
    ...options,
  });
  context.after(() => client.close({ flushMs: 0 }));
  return client;
}

/** Waits until it holds; says what it waited for in vain. */
export async function eventually(what: string, holds: () => boolean, ms = 15_000): Promise<void> {
  const until = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > until) {
      throw new Error(`waited ${ms} ms in vain: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits for a state. */
export async function reaches<Status extends State["status"]>(
  client: Client,
  status: Status,
): Promise<Extract<State, { status: Status }>> {
  await eventually(`the state "${status}"`, () => client.state.status === status);
  // Narrowed by the line before; TypeScript does not see through the call.
  return client.state as Extract<State, { status: Status }>;
}
