/** A tab's links: frames go to the tab that leads, which has the connection. */

import type { Link, LinkEvents, Transport } from "../transport.ts";
import { type Note, Post, type ToLeader } from "./notes.ts";

/** How long the leader may take to hear of a link before this tab takes its place. */
const PATIENCE_MS = 5000;

/** A link of this tab. */
interface Opened {
  readonly url: string;
  readonly events: LinkEvents;
  phase: "entering" | "entered" | "open";
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class TabTransport implements Transport {
  readonly #tab: string;
  readonly #post: Post;
  readonly #takeOver: () => void;
  readonly #links = new Map<string, Opened>();
  #hasLock = false;
  #term: string | undefined;
  #via: Transport["via"] = "websocket";

  constructor(name: string, tab: string, takeOver: () => void) {
    this.#tab = tab;
    this.#takeOver = takeOver;
    this.#post = new Post(name, (note) => this.#hear(note));
  }

  /** From now on the tab has its lock, by which the leader sees that it lives. */
  start(): void {
    this.#hasLock = true;
    this.#post.tell({ kind: "whoLeads" });
  }

  /** The way of the leader's connection. */
  get via(): Transport["via"] {
    return this.#via;
  }

  open(url: URL, events: LinkEvents): Link {
    const link = crypto.randomUUID();
    const opened: Opened = { url: url.href, events, phase: "entering", timer: undefined };
    this.#links.set(link, opened);
    this.#enter(link, opened);
    return {
      send: (frames) => this.#toLeader((term) => ({ kind: "say", term, link, frames })),
      // The leader's connection has it all; what waits there is bounded by what waits for answers.
      unsentBytes: 0,
      close: () => {
        this.#forget(link);
        this.#toLeader((term) => ({ kind: "leave", term, link }));
      },
    };
  }

  stop(): void {
    for (const link of [...this.#links.keys()]) {
      this.#forget(link);
    }
    this.#post.close();
  }

  #toLeader(noteOf: (term: string) => ToLeader): void {
    if (this.#term !== undefined) {
      this.#post.tell(noteOf(this.#term));
    }
  }

  #forget(link: string): Opened | undefined {
    const opened = this.#links.get(link);
    clearTimeout(opened?.timer);
    this.#links.delete(link);
    return opened;
  }

  #enter(link: string, opened: Opened): void {
    const { url } = opened;
    const tab = this.#tab;
    this.#toLeader((term) => ({ kind: "enter", term, tab, link, url }));
    clearTimeout(opened.timer);
    opened.timer = setTimeout(() => this.#takeOver(), PATIENCE_MS);
  }

  #hear(note: Note): void {
    if (note.kind === "leads") {
      this.#leads(note.term);
      return;
    }
    const opened = "link" in note ? this.#links.get(note.link) : undefined;
    if (opened === undefined) {
      return;
    }
    switch (note.kind) {
      case "entered":
        clearTimeout(opened.timer);
        opened.phase = "entered";
        break;
      case "opened":
        opened.phase = "open";
        this.#via = note.via;
        opened.events.opened();
        break;
      case "heard":
        opened.events.frames(note.frames);
        break;
      case "closed":
        this.#forget(note.link);
        opened.events.closed(note.code, note.reason);
        break;
      case "whoLeads":
      case "enter":
      case "say":
      case "leave":
        break;
    }
  }

  /** Links over another leader are gone, and come back over this one at once. */
  #leads(term: string): void {
    if (term === this.#term || !this.#hasLock) {
      return;
    }
    this.#term = term;
    for (const [link, opened] of [...this.#links]) {
      if (opened.phase === "entering") {
        this.#enter(link, opened);
      } else {
        this.#forget(link);
        const body = { reason: "draining", retry_after_ms: 0 };
        opened.events.frames([{ kind: "goaway", body }]);
        opened.events.closed(4402, "draining");
      }
    }
  }
}
