/** The address as something that pages are drawn from. */

import { useEffect, useState } from "preact/hooks";
import { parseRoute, type Route } from "../route.ts";

/** Where somebody is, kept up as they go. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = (): void => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
