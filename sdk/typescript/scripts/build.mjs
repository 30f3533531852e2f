/** Makes `dist`: one JavaScript module per source file, with its types beside it. */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${folder}dist`, { recursive: true, force: true });
execFileSync("npx", ["tsc", "-p", "tsconfig.dist.json"], { cwd: folder, stdio: "inherit" });

// The compiler rewrites the imports of modules, not those of declarations.
for (const name of readdirSync(`${folder}dist`, { recursive: true }).filter((name) =>
  name.endsWith(".d.ts"),
)) {
  const text = readFileSync(`${folder}dist/${name}`, "utf8");
  writeFileSync(`${folder}dist/${name}`, text.replaceAll(/("\.{1,2}\/[^"]+)\.ts"/g, '$1.js"'));
}
