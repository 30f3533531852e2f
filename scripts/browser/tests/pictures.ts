/**
 * Pictures of pages: in `scripts/browser/results/pictures` of every run, and with UPDATE_PICTURES=1
 * those of the README anew.
 */

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Page } from "@playwright/test";

const ROOT = resolve(import.meta.dirname, "../../..");
const RESULTS = join(ROOT, "scripts/browser/results/pictures");

/** Those that the README and documents show. */
const SHOWN = new Set(["chat", "chat-offline", "console", "console-dead-letter"]);

export async function picture(page: Page, name: string): Promise<void> {
  const isShown = process.env.UPDATE_PICTURES !== undefined && SHOWN.has(name);
  const folder = isShown ? join(ROOT, "docs/pictures") : RESULTS;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}
