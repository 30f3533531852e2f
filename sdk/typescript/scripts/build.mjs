/** Makes `dist`: one JavaScript module per source file, with its types beside it. */

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${folder}dist`, { recursive: true, force: true });
execFileSync("npx", ["tsc", "-p", "tsconfig.dist.json"], { cwd: folder, stdio: "inherit" });
