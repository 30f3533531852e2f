/** Where a timeline stands: at its end while one is there, and still while its past grows above. */

import type { RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Row } from "../rows.ts";

/** So near to the end counts as at the end. */
const NEAR_END = 48;
/** So near to the start, the past is worth loading. */
const NEAR_START = 200;

interface Scroll {
  readonly list: RefObject<HTMLDivElement | null>;
  readonly isAtEnd: boolean;
  readonly isAtStart: boolean;
  readonly toEnd: () => void;
}

export function useScroll(rows: readonly Row[]): Scroll {
  const list = useRef<HTMLDivElement>(null);
  const before = useRef({ height: 0, first: "", pending: 0 });
  const [isAtEnd, setAtEnd] = useState(true);
  const [isAtStart, setAtStart] = useState(false);

  const look = useCallback(() => {
    const element = list.current;
    if (element !== null) {
      const below = element.scrollHeight - element.scrollTop - element.clientHeight;
      setAtEnd(below < NEAR_END);
      setAtStart(element.scrollTop < NEAR_START && element.scrollHeight > element.clientHeight);
    }
  }, []);
  const toEnd = useCallback(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, []);

  useLayoutEffect(() => {
    const element = list.current;
    if (element === null) {
      return;
    }
    const first = rows.find(({ row }) => row === "message")?.key ?? "";
    const pending = rows.filter(isPending).length;
    const { current: last } = before;
    if (isAtEnd || pending > last.pending) {
      toEnd();
    } else if (first !== last.first && last.first !== "") {
      // What has grown above pushes down what is being read, so it is pulled up by as much.
      element.scrollTop += element.scrollHeight - last.height;
    }
    before.current = { height: element.scrollHeight, first, pending };
    look();
  }, [rows, isAtEnd, toEnd, look]);

  useEffect(() => {
    const element = list.current;
    if (element === null) {
      return;
    }
    element.addEventListener("scroll", look, { passive: true });
    return () => element.removeEventListener("scroll", look);
  }, [look]);

  useEffect(() => {
    const element = list.current;
    if (element === null || !isAtEnd) {
      return;
    }
    // A keyboard on the screen, or a longer draft, takes room away; the end stays in sight.
    const observer = new ResizeObserver(toEnd);
    observer.observe(element);
    return () => observer.disconnect();
  }, [isAtEnd, toEnd]);

  return { list, isAtEnd, isAtStart, toEnd };
}

function isPending(row: Row): boolean {
  return row.row === "message" && row.progress.state === "pending";
}
