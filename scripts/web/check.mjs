/**
 * Checks everything that runs in browsers, but in no browser: formats and lints, types, unit and
 * integration tests, sizes, and that what the server embeds is what its sources build.
 *
 * `npm run check`; the integration tests start the server that TIDINGS_BIN names, or the one that
 * cargo built last.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const FOLDERS = ["sdk/typescript", "console", "examples/chat", "scripts/browser"];

/** Each is a title, a program, and what it is told. */
const STEPS = [
  ["formats and lints", "npx", ["biome", "check", "--error-on-warnings", "."]],
  ...FOLDERS.map((folder) => [`types of ${folder}`, "npx", ["tsc", "-p", folder]]),
  ["tests", "npm", ["test", "--workspaces", "--if-present"]],
  ["size of the SDK", "node", ["sdk/typescript/scripts/size.mjs"]],
  ["pages as built", "node", ["scripts/web/build.mjs", "--check"]],
];

function run([title, program, told]) {
  console.log(`\n--- ${title}: ${program} ${told.join(" ")}`);
  const { status, error } = spawnSync(program, told, { cwd: ROOT, stdio: "inherit" });
  if (error) console.error(`cannot start ${program}: ${error.message}`);
  return status === 0;
}

/** Gets the packages of package-lock.json, unless they are here. */
function install() {
  const wanted = createHash("sha256")
    .update(readFileSync(resolve(ROOT, "package-lock.json")))
    .digest("hex");
  const mark = resolve(ROOT, "node_modules/.tidings-lock");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return true;
  const done = run(["packages", "npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund"]]);
  if (done) writeFileSync(mark, wanted);
  return done;
}

if (!install()) process.exit(1);
const failed = STEPS.find((step) => !run(step));
if (failed) {
  console.error(`\n${failed[0]} failed; to repeat it: ${failed[1]} ${failed[2].join(" ")}`);
  process.exit(1);
}
console.log(`\nweb check passed: ${STEPS.length} steps`);
