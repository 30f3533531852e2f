/** The tab that leads: has the hub, and speaks with the other tabs, and with its own, by notes. */

import type { Codec } from "../codec.ts";
import type { Transport } from "../transport.ts";
import type { Locks } from "./election.ts";
import type { Guest } from "./guest.ts";
import { Hub } from "./hub.ts";
import { type Note, Post, type ToLeader } from "./notes.ts";

/** What leading takes. */
export interface Lead {
  readonly name: string;
  readonly locks: Locks;
  readonly transport: Transport;
  readonly codec: Codec;
}

/** The lock that a tab has for as long as it lives. */
export function lockOfTab(name: string, tab: string): string {
  return `${name}/tab/${tab}`;
}

/** A link of a tab. */
interface Entered {
  readonly tab: string;
  readonly guest: Guest;
}

export class Leader {
  readonly #lead: Lead;
  readonly #term = crypto.randomUUID();
  readonly #post: Post;
  readonly #links = new Map<string, Entered>();
  /** Tabs whose end is waited for. */
  readonly #watched = new Set<string>();
  readonly #over = new AbortController();
  #hub: Hub | undefined;

  constructor(lead: Lead) {
    this.#lead = lead;
    this.#post = new Post(lead.name, (note) => this.#hear(note));
    this.#post.tell({ kind: "leads", term: this.#term });
  }

  /** Sends everybody away; another tab leads from now on. */
  stop(): void {
    this.#hub?.shut();
    this.#over.abort();
    this.#post.close();
  }

  #hear(note: Note): void {
    if (note.kind === "whoLeads") {
      this.#post.tell({ kind: "leads", term: this.#term });
    } else if ("term" in note && note.term === this.#term) {
      this.#take(note);
    }
  }

  #take(note: Note & { readonly term: string }): void {
    const entered = "link" in note ? this.#links.get(note.link) : undefined;
    switch (note.kind) {
      case "enter":
        this.#enter(note);
        break;
      case "say":
        if (entered === undefined) {
          // It was closed meanwhile, and hears so again.
          this.#post.tell({ kind: "closed", link: note.link, code: 1006, reason: "" });
        } else {
          this.#hub?.hear(entered.guest, note.frames);
        }
        break;
      case "leave":
        this.#links.delete(note.link);
        if (entered !== undefined) {
          this.#hub?.leave(entered.guest);
        }
        break;
      case "leads":
        break;
    }
  }

  #enter({ tab, link, url }: ToLeader & { kind: "enter" }): void {
    this.#post.tell({ kind: "entered", link });
    if (this.#links.has(link)) {
      return;
    }
    const guest = this.#guestOf(link);
    this.#links.set(link, { tab, guest });
    this.#watch(tab);
    this.#hub ??= this.#makeHub(new URL(url));
    this.#hub.enter(guest);
  }

  #makeHub(url: URL): Hub {
    const { transport, codec } = this.#lead;
    return new Hub((events) => ({
      link: transport.open(url, events, codec),
      via: () => transport.via,
    }));
  }

  #guestOf(link: string): Guest {
    return {
      opened: (via) => this.#post.tell({ kind: "opened", link, via }),
      frames: (frames) => this.#post.tell({ kind: "heard", link, frames }),
      closed: (code, reason) => {
        this.#links.delete(link);
        this.#post.tell({ kind: "closed", link, code, reason });
      },
    };
  }

  /** A tab that is closed or crashes says nothing; its lock becomes free. */
  #watch(tab: string): void {
    if (this.#watched.has(tab)) {
      return;
    }
    this.#watched.add(tab);
    const { name, locks } = this.#lead;
    const gone = () => {
      this.#watched.delete(tab);
      for (const [link, entered] of [...this.#links]) {
        if (entered.tab === tab) {
          this.#links.delete(link);
          this.#hub?.leave(entered.guest);
        }
      }
    };
    const { signal } = this.#over;
    locks.request(lockOfTab(name, tab), { signal }, gone).catch(() => {
      // Stopped: another tab leads and watches.
    });
  }
}
