/** Keeps what grows with names from outside within bounds. */

/** Takes the oldest out of a map or set that has more than `most`, and tells which it was. */
export function dropOldest<Name>(
  from: { readonly size: number; keys(): Iterable<Name>; delete(name: Name): boolean },
  most: number,
): Name | undefined {
  if (from.size > most) {
    for (const oldest of from.keys()) {
      from.delete(oldest);
      return oldest;
    }
  }
  return undefined;
}
