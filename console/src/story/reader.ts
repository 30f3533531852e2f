/** Who reads a message, as the story names them. */

/** The name of a durable or shared subscription. */
export function readerOf(of: {
  readonly user?: string | null;
  readonly durable?: string | null;
  readonly group?: string | null;
}): string {
  if (of.group !== undefined && of.group !== null) return `group ${of.group}`;
  const user = of.user ?? "?";
  return of.durable === undefined || of.durable === null ? user : `${user} as ${of.durable}`;
}
