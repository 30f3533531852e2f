/** The examples of the README compile as they stand. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const folder = join(import.meta.dirname, "../..");

/** What an application has beside the SDK. */
const surroundings = `
declare const banner: HTMLElement;
declare function show(what: string | undefined, data: unknown): void;
declare function showPending(key: string): void;
declare function showSent(key: string): void;
declare function showFailed(key: string, error: unknown): void;
declare function loadEverythingAnew(reason: string): void;
declare function save(data: unknown, attempt: number): Promise<void>;
declare function work(data: unknown): Promise<void>;
declare function signedInUser(): string;
`;

test("every example of the README compiles", (context) => {
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? "");
  assert.ok(examples.length >= 10);
  // Inside the package, so that it finds itself by its name.
  mkdirSync(join(folder, "dist"), { recursive: true });
  const examplesFolder = mkdtempSync(join(folder, "dist/readme-"));
  context.after(() => rmSync(examplesFolder, { recursive: true }));
  writeFileSync(join(examplesFolder, "surroundings.d.ts"), surroundings);
  for (const [number, code] of examples.entries()) {
    const client =
      'import type { Client } from "@tidings/client";\ndeclare const client: Client;\n';
    const text = `${code.includes("createClient(") ? "" : client}${code}export {};\n`;
    writeFileSync(join(examplesFolder, `example-${number + 1}.ts`), text);
  }
  const configuration = {
    extends: "../../tsconfig.json",
    // An example need not use all that it shows.
    compilerOptions: { noUnusedLocals: false },
    include: ["*.ts"],
  };
  writeFileSync(join(examplesFolder, "tsconfig.json"), JSON.stringify(configuration));
  const compiler = spawnSync("npx", ["tsc", "-p", examplesFolder], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(compiler.status, 0, compiler.stdout);
});
