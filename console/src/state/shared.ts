/** What every page may use: the API, and a place to say what was done. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Api } from "../api/api.ts";
import type { MetricsFeed } from "../metrics/feed.ts";

/** What the shell of the console gives its pages. */
export interface Shared {
  readonly api: Api;
  readonly feed: MetricsFeed;
  /** Says what was done, to eyes and to screen readers. */
  readonly announce: (text: string) => void;
}

export const SharedContext = createContext<Shared | undefined>(undefined);

/** What the shell gives. Only pages inside it may ask. */
export function useShared(): Shared {
  const shared = useContext(SharedContext);
  if (shared === undefined) throw new Error("a page stands outside the console's shell");
  return shared;
}
