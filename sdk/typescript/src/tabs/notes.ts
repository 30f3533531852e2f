/** What tabs tell each other, and the platform's BroadcastChannel that carries it. */

import type { ClientFrame, ServerFrame } from "../frames.ts";
import type { Transport } from "../transport.ts";

/** From a tab to the one that leads. `term` says which leader is meant. */
export type ToLeader =
  | { readonly kind: "whoLeads" }
  | {
      readonly kind: "enter";
      readonly term: string;
      readonly tab: string;
      readonly link: string;
      readonly url: string;
    }
  | {
      readonly kind: "say";
      readonly term: string;
      readonly link: string;
      readonly frames: readonly ClientFrame[];
    }
  | { readonly kind: "leave"; readonly term: string; readonly link: string };

/** From the tab that leads. */
export type ToTabs =
  /** It leads from now on: links over another are gone. */
  | { readonly kind: "leads"; readonly term: string }
  /** It has heard of the link. */
  | { readonly kind: "entered"; readonly link: string }
  | { readonly kind: "opened"; readonly link: string; readonly via: Transport["via"] }
  | { readonly kind: "heard"; readonly link: string; readonly frames: readonly ServerFrame[] }
  | {
      readonly kind: "closed";
      readonly link: string;
      readonly code: number;
      readonly reason: string;
    };

/** Everything that is told. */
export type Note = ToLeader | ToTabs;

/** One end of the BroadcastChannel. Ends of the same name hear each other, and not themselves. */
export class Post {
  readonly #broadcast: BroadcastChannel;

  constructor(name: string, hear: (note: Note) => void) {
    this.#broadcast = new BroadcastChannel(name);
    // Only ends of this class write there: the name is the SDK's own.
    this.#broadcast.onmessage = ({ data }: MessageEvent<Note>) => hear(data);
  }

  tell(note: Note): void {
    this.#broadcast.postMessage(note);
  }

  close(): void {
    this.#broadcast.close();
  }
}
