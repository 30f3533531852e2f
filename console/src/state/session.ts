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
    if (!this.takeFromAddress()) {
      this.#key = sessionStorage.getItem(KEY_ENTRY) ?? undefined;
    }
  }

  /** Whether the address brought a key. It must not stay there, in the history, or in a bookmark. */
  takeFromAddress(): boolean {
    const brought = keyInFragment(location.hash);
    if (brought === undefined) return false;
    this.set(brought);
    history.replaceState(null, "", `${location.pathname}#/`);
    return true;
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
