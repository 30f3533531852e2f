/** A page with the SDK and nothing else, of another port than the server, as most pages are. */

import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "../../..");
const PAGE =
  '<!doctype html><meta charset="utf-8"><title>SDK</title><script src="/sdk.js"></script>';

/** An entry of the SDK as one script that sets `window.sdk`. */
async function bundle(entry: string): Promise<string> {
  const built = await build({
    stdin: {
      // With what every page needs beside it.
      contents: `export * from "./index.ts"; export * from "./${entry}";`,
      resolveDir: resolve(ROOT, "sdk/typescript/src"),
      loader: "ts",
    },
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

/** Serves the page on a free port, with an entry of the SDK beside the main one. */
export async function serveBlankPage(entry = "index.ts"): Promise<{ url: string; close(): void }> {
  const script = await bundle(entry);
  const server: HttpServer = createServer((request, answer) => {
    const isScript = request.url === "/sdk.js";
    answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    answer.end(isScript ? script : PAGE);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}
