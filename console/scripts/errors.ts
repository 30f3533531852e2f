/**
 * Writes `src/errors/texts.ts` from docs/errors.md, so that the console can say what to do about an error
 * without asking any other server: `npm run errors -w console`.
 */

import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const ROOT = resolve(import.meta.dirname, "../..");

/** The sections of docs/errors.md by code, as text with its links written out as their names. */
export function sectionsOf(markdown: string): Array<readonly [code: string, text: string]> {
  const sections = markdown.split(/^## /m).slice(1);
  return sections.map((section) => {
    const [code = "", ...lines] = section.split("\n");
    const text = lines
      .join("\n")
      .trim()
      .replace(/\[([^\]]+)\]\([^)]*\)/g, "$1")
      .replace(/[`*]/g, "")
      .replace(/\n(?!\n)/g, " ")
      .replace(/ ?\n ?/g, "\n");
    return [code.trim(), text];
  });
}

/** The module as it should be. */
export async function moduleOfTexts(): Promise<string> {
  const sections = sectionsOf(await readFile(resolve(ROOT, "docs/errors.md"), "utf8"));
  const lines = sections.map(([code, text]) => `  ${code}:\n    ${JSON.stringify(text)},`);
  return [
    "/** What to do about each error. Made from docs/errors.md by scripts/errors.ts; do not edit. */",
    "",
    "// biome-ignore format: one line for each text, as it is written.",
    "export const ERROR_TEXTS: Readonly<Record<string, string>> = {",
    ...lines,
    "};",
    "",
  ].join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await writeFile(resolve(ROOT, "console/src/errors/texts.ts"), await moduleOfTexts());
}
