/** The operator key: where it comes from, where it stays, and how it is forgotten. */

import type { ApiError } from "../api/request.ts";
import { keyInFragment } from "../route.ts";

const KEY_ENTRY = "tidings-operator-key";

/** Whether somebody may look at the console now. */
export type Session =
  /** The server is asked whether it takes the key, or wants none. */
  | { readonly phase: "checking" }
  | { readonly phase: "unreachable"; readonly error: ApiError }
  | { readonly phase: "signedOut"; readonly why: "noKey" | "keyRefused" | "left" }
  | { readonly phase: "signedIn" };

/** The key of this tab; it is gone when the tab is closed. */
export class KeyHolder {
  #key: string | undefined;

  /** Takes the key from the address, once, and else the one that this tab had before a reload. */
  constructor() {
    const brought = keyInFragment(location.hash);
    if (brought === undefined) {
      this.#key = sessionStorage.getItem(KEY_ENTRY) ?? undefined;
      return;
    }
    this.set(brought);
    // The key must not stay in the address bar, the history, or a bookmark.
    history.replaceState(null, "", `${location.pathname}#/`);
  }

  get(): string | undefined {
    return this.#key;
  }

  set(key: string): void {
    this.#key = key;
    sessionStorage.setItem(KEY_ENTRY, key);
  }

  forget(): void {
    this.#key = undefined;
    sessionStorage.removeItem(KEY_ENTRY);
  }
}
