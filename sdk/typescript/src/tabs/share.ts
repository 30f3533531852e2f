/** Puts the parts together: a client whose connection is that of the tab that leads. */

import { addressOf } from "../address.ts";
import { createClient } from "../client.ts";
import { json } from "../codec.ts";
import type { Client, ClientOptions } from "../types.ts";
import { webSocketTransport } from "../websocket.ts";
import { Election, type Locks } from "./election.ts";
import { Leader, lockOfTab } from "./leader.ts";
import { TabTransport } from "./tab-transport.ts";

/** A client that shares the connection of all that have the same address and storage name. */
export function shareWith(options: ClientOptions, locks: Locks): Client {
  const { storageName = "tidings", codec = json, fallback, ...others } = options;
  const websocket = options.transport ?? webSocketTransport();
  const transport = fallback?.(websocket) ?? websocket;
  const name = `tidings ${storageName} ${addressOf(options.url).href}`;
  const tab = crypto.randomUUID();
  let leader: Leader | undefined;
  const retire = () => {
    leader?.stop();
    leader = undefined;
  };
  const lead = { name, locks, transport, codec };
  const leads = () => {
    leader = new Leader(lead);
  };
  const election = new Election(locks, name, { leads, deposed: retire });
  const links = new TabTransport(name, tab, () => election.takeOver());
  const life = new AbortController();
  // Held for as long as the tab lives: when it is free, the leader knows that the tab is gone.
  const held = locks.request(lockOfTab(name, tab), () => {
    links.start();
    return aborted(life.signal);
  });
  const client = createClient({ ...others, storageName, transport: links });
  const close = client.close.bind(client);
  return Object.assign(client, {
    async close(how?: { readonly flushMs?: number }) {
      const closed = await close(how);
      links.stop();
      retire();
      election.stop();
      life.abort();
      await held;
      return closed;
    },
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}
