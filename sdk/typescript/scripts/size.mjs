/** How many bytes the SDK costs a page: minified and compressed, with everything in `index.ts`. */

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** At most; what is optional goes into entries of its own. */
const BYTES_MAX = 15 * 1024;

const { outputFiles } = await build({
  entryPoints: [new URL("../src/index.ts", import.meta.url).pathname],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  conditions: ["tidings-source"],
  write: false,
});
const [code] = outputFiles;
const bytes = gzipSync(code.contents, { level: 9 }).length;
console.log(`@tidings/client: ${bytes} bytes minified and compressed, at most ${BYTES_MAX}`);
if (bytes > BYTES_MAX) {
  console.error("It is too large: move what not everybody needs into an entry of its own.");
  process.exit(1);
}
