/** What axe finds on a page, and what a page asked of others. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, type Page } from "@playwright/test";
import type { AxeResults } from "axe-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Fails with every finding that keeps somebody from using the page. */
export async function expectAccessible(page: Page): Promise<void> {
  // Evaluated as the test's own code, which the page's policy does not concern.
  await page.evaluate(AXE);
  const results = await page.evaluate(() => {
    const { axe } = window as unknown as { axe: { run(): Promise<AxeResults> } };
    return axe.run();
  });
  const serious = results.violations.filter(
    ({ impact }) => impact === "serious" || impact === "critical",
  );
  const told = serious.map(
    ({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`,
  );
  expect(told).toEqual([]);
}

/** Watches a page: no request to another host, no error in its console, nothing its policy refused. */
export function watch(page: Page, hosts: readonly string[]): { expectClean(): void } {
  const strangers: string[] = [];
  const errors: string[] = [];
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol.startsWith("http") && !hosts.includes(host)) strangers.push(request.url());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    const isPolicy = message.text().includes("Content Security Policy");
    if (message.type() === "error" && isPolicy) errors.push(message.text());
  });
  return {
    expectClean() {
      expect(strangers).toEqual([]);
      expect(errors).toEqual([]);
    },
  };
}
