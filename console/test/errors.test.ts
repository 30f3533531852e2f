/** What the console says of errors is what the documentation says. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { moduleOfTexts } from "../scripts/errors.ts";
import { ERROR_TEXTS } from "../src/errors/texts.ts";

const SOURCE = new URL("../src/errors/texts.ts", import.meta.url);

test("the texts are those of docs/errors.md; if not: npm run errors -w console", async () => {
  assert.equal(await readFile(SOURCE, "utf8"), await moduleOfTexts());
});

test("a text has no marks of its source's format", () => {
  for (const [code, text] of Object.entries(ERROR_TEXTS)) {
    assert.doesNotMatch(text, /\]\(|`|^#/m, code);
    assert.ok(text.length > 20, code);
  }
});
