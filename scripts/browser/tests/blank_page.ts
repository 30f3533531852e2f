/** A page with the SDK and nothing else, of another port than the server, as most pages are. */

import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "../../..");
const PAGE =
  '<!doctype html><meta charset="utf-8"><title>SDK</title><script src="/sdk.js"></script>';

/** The SDK as one script that sets `window.sdk`. */
async function bundle(): Promise<string> {
  const built = await build({
    entryPoints: [resolve(ROOT, "sdk/typescript/src/index.ts")],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "sdk",
    target: "es2022",
  });
  const [file] = built.outputFiles;
  if (!file) throw new Error("esbuild made nothing");
  return file.text;
}

/** Serves the page on a free port. */
export async function serveBlankPage(): Promise<{ url: string; close(): void }> {
  const script = await bundle();
  const server: HttpServer = createServer((request, answer) => {
    const isScript = request.url === "/sdk.js";
    answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    answer.end(isScript ? script : PAGE);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}
