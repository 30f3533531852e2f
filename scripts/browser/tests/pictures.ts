/**
 * Pictures of pages: in `scripts/browser/results/pictures` of every run, and with UPDATE_PICTURES=1
 * those of the README anew.
 */

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Page } from "@playwright/test";

const ROOT = resolve(import.meta.dirname, "../../..");
const FOLDER = process.env.UPDATE_PICTURES
  ? join(ROOT, "docs/pictures")
  : join(ROOT, "scripts/browser/results/pictures");

export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  await page.screenshot({ path: join(FOLDER, `${name}.png`), animations: "disabled" });
}
