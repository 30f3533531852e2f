/** Filters: which topics they mean (docs/protocol.md, "Topics and filters"). */

/** Whether a filter has wildcards, and so is no topic. */
export function hasWildcards(filter: string): boolean {
  return filter.split("/").some((level) => level === "+" || level === "#");
}

/** Whether a topic is one of those that a filter means. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) {
    return false;
  }
  for (const [index, level] of wanted.entries()) {
    if (level === "#") {
      return true;
    }
    if (index >= levels.length) {
      return false;
    }
    if (level !== "+" && level !== levels[index]) {
      return false;
    }
  }
  return wanted.length === levels.length;
}
