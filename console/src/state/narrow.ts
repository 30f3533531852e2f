/** Whether the screen is as narrow as a phone's, where the style makes cards of the rows of tables. */

import { useEffect, useState } from "preact/hooks";

/** The same width as in style/lists.css and style/forms.css. */
const NARROW = "(max-width: 700px)";

/** Whether it is narrow now. */
export function useNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const width = matchMedia(NARROW);
    const look = (): void => setNarrow(width.matches);
    look();
    width.addEventListener("change", look);
    return () => width.removeEventListener("change", look);
  }, []);
  return isNarrow;
}
