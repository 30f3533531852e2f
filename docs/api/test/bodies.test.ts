/** Bodies of HTTP that the test vectors have are what openapi.json says, and refused ones are not. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { read } from "./documents.ts";
import { parseJson, pointer } from "./json.ts";
import { faults } from "./schemas.ts";

const SCHEMAS: ReadonlyMap<string, string> = new Map([
  ["publish", "Publish"],
  ["batch", "Batch"],
  ["broadcast", "Broadcast"],
  ["publish-reply", "PublishResult"],
  ["batch-reply", "BatchResult"],
  ["history-reply", "HistoryPage"],
  ["problem", "Problem"],
]);

test("bodies that are taken are described, and refused ones are not", () => {
  const counts = { taken: 0, refused: 0 };
  const blocks = read("crates/protocol/testdata/http.txt").split(/\n\n+/);
  for (const block of blocks.filter((block) => block.includes("\n----\n"))) {
    const [above = "", below = ""] = block.split("\n----\n");
    const [, word = "", text = ""] = /^([\w-]+) (.*)$/m.exec(above.replace(/^#.*$/gm, "")) ?? [];
    const schema = SCHEMAS.get(word);
    assert.ok(schema !== undefined, `what is "${word}"?`);
    if (!isJson(text)) continue;
    const isRefused = below.includes("refused:");
    counts[isRefused ? "refused" : "taken"] += 1;
    const found = faults(
      "openapi",
      pointer("components", "schemas", schema),
      "open",
      parseJson(text),
    );
    assert.equal(found.length > 0, isRefused, `${text}\n${found.join("\n")}`);
  }
  assert.ok(counts.taken >= 8 && counts.refused >= 12, JSON.stringify(counts));
});

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}
