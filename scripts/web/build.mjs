/**
 * Builds the pages that the server embeds: `npm run build`.
 *
 * What it writes is in the repository, so that `cargo build` needs no Node; `--check` compares it with
 * what the sources give and writes nothing.
 */

import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "../..");

/** Each has `src/main.tsx`, which imports its styles, and `src/static` with what is copied as it is. */
const PAGES = ["console", "examples/chat"];

async function bundle(page, out) {
  await build({
    absWorkingDir: ROOT,
    entryPoints: { app: join(page, "src/main.tsx") },
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    conditions: ["tidings-source"],
    legalComments: "eof",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "warning",
  });
  await cp(join(ROOT, page, "src/static"), out, { recursive: true });
}

/** The files of a folder by name, or none where there is no such folder. */
async function filesOf(folder) {
  const names = await readdir(folder).catch(() => []);
  const files = await Promise.all(
    names.map(async (name) => [name, await readFile(join(folder, name))]),
  );
  return new Map(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function differences(built, kept) {
  const names = new Set([...built.keys(), ...kept.keys()]);
  return [...names].filter((name) => !kept.get(name)?.equals(built.get(name) ?? Buffer.alloc(0)));
}

async function check(page) {
  const out = await mkdtemp(join(tmpdir(), "tidings-web-"));
  try {
    await bundle(page, out);
    return differences(await filesOf(out), await filesOf(join(ROOT, page, "dist")));
  } finally {
    await rm(out, { recursive: true });
  }
}

async function write(page) {
  const out = join(ROOT, page, "dist");
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await bundle(page, out);
  for (const [name, bytes] of await filesOf(out)) {
    console.log(`${page}/dist/${name}: ${bytes.length} bytes, ${gzipSync(bytes).length} with gzip`);
  }
}

async function main([option]) {
  if (option !== undefined && option !== "--check") {
    console.error("usage: node scripts/web/build.mjs [--check]");
    return 2;
  }
  let stale = 0;
  for (const page of PAGES) {
    if (option === undefined) {
      await write(page);
      continue;
    }
    const differing = await check(page);
    stale += differing.length;
    for (const name of differing)
      console.error(`${page}/dist/${name} is not what its sources build`);
  }
  if (stale > 0) console.error("build it anew and commit it: npm run build");
  return stale > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
