/**
 * Addresses of pages: `#/topics/room%2F42?view=history`.
 *
 * They stand in the fragment, so that the server has one page to serve and a key in the address
 * (`#key=…`) never leaves the browser.
 */

/** Where somebody is: the page, what it is about, and how it is to be shown. */
export interface Route {
  readonly page: string;
  /** The topic, user, group, id …, of a page about one thing. */
  readonly subject: string | undefined;
  readonly query: Readonly<Record<string, string>>;
}

/** The page that is shown when the address names none. */
export const FIRST_PAGE = "overview";

/** Reads the fragment of an address. Whatever cannot be read is left out. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [page = "", subject] = splitOnce(path, "/");
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) query[name] = value;
  return {
    page: decode(page) || FIRST_PAGE,
    subject: subject === undefined || subject === "" ? undefined : decode(subject),
    query,
  };
}

/** Writes the address of a page. Parameters without a value are left out. */
export function hrefOf(
  page: string,
  subject?: string,
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const named = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(named.map(([name, value]) => [name, value ?? ""])).toString();
  const path = subject === undefined ? page : `${page}/${encodeURIComponent(subject)}`;
  return `#/${path}${search === "" ? "" : `?${search}`}`;
}

/** The operator key that the address brings (`#key=…`), if it does. */
export function keyInFragment(hash: string): string | undefined {
  const found = /^#key=([^&]+)/.exec(hash)?.[1];
  return found === undefined ? undefined : decode(found);
}

function splitOnce(text: string, by: string): [string, string | undefined] {
  const at = text.indexOf(by);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + by.length)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
