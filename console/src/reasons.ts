/** What readers said of messages that they did not take, with repetitions counted. */

/** Between reasons in the text that the server makes of them. */
const BETWEEN = "; ";

/** Reasons in the order in which they came first, each once; nothing if there are none. */
export function countedReasons(reasons: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const written = [...counts].map(([reason, n]) => (n === 1 ? reason : `${n} × ${reason}`));
  return written.length === 0 ? undefined : written.join(BETWEEN);
}

/** The same of the text that a dead letter has of all its reasons. */
export function shortReasons(text: string | null | undefined): string | undefined {
  return countedReasons((text ?? "").split(BETWEEN).filter((reason) => reason !== ""));
}
