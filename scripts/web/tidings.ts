/** What every test in TypeScript that starts a server needs: the binary, and ports for it. */

import { existsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";

/** The server that TIDINGS_BIN names, or the one that cargo built last. */
export function serverBinary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? resolve(import.meta.dirname, "../../target");
  const built = ["debug", "release"].map((profile) => join(target, profile, "tidings"));
  const named = process.env.TIDINGS_BIN;
  const found = (named === undefined ? built : [named]).filter((path) => existsSync(path));
  const [newest] = found.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs);
  if (newest !== undefined) {
    return newest;
  }
  throw new Error(`${named ?? target} has no server: cargo build -p tidings, or set TIDINGS_BIN`);
}

/**
 * A free port below those that the system gives out by itself: nobody else is given it while its
 * server is down, and no client that looks for the server meets itself.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer();
    const isFree = await new Promise<boolean>((done) => {
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (isFree) {
      return port;
    }
  }
}
