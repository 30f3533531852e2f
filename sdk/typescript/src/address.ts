/** The address of a server, as an application may write it. */

import { TidingsError } from "./errors.ts";

/**
 * `ws://` or `wss://` with a path; `http(s)://` means the WebSocket of the same server. In a page,
 * a path alone means the server that the page comes from.
 */
export function addressOf(given: string | URL): URL {
  let url: URL;
  try {
    url = new URL(given, globalThis.location?.href);
  } catch (cause) {
    const words = `url "${given}" is no address: give one like "wss://example.org"`;
    throw new TidingsError("bad_option", words, { cause });
  }
  if (!/^(ws|http)s?:$/.test(url.protocol)) {
    const words = `url "${given}" begins with "${url.protocol}": give ws://, wss://, http:// or https://`;
    throw new TidingsError("bad_option", words);
  }
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  if (url.pathname === "/") {
    url.pathname = "/v1/ws";
  }
  return url;
}
