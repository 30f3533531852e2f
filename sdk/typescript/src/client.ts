/** The client. */

import { TidingsError } from "./errors.ts";
import type { Client, ClientOptions } from "./types.ts";

/** A client of one server. It connects when it is asked to, or has something to say. */
export function createClient(options: ClientOptions): Client {
  throw new TidingsError("bad_option", `not built yet: ${options.url}`);
}
