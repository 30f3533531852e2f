/** The state of the connection, and how much waits, in parts of the page. */

import type { Client, State } from "@tidings/client";
import { useEffect, useState } from "preact/hooks";

export function useClientState(client: Client): State {
  const [, redraw] = useState(0);
  useEffect(() => {
    const changed = () => redraw((count) => count + 1);
    const stops = [client.on("state", changed), client.on("waiting", changed)];
    changed();
    return () => {
      for (const stop of stops) {
        stop();
      }
    };
  }, [client]);
  return client.state;
}
