/** The console of a server that has something to do: that it keeps up, and pictures of it. */

import { setTimeout as after } from "node:timers/promises";
import type { Page } from "@playwright/test";
import { type Client, createClient } from "../../../sdk/typescript/src/node.ts";
import { picture } from "./pictures.ts";
import { expect, type Server, test } from "./server.ts";

/** Long enough for charts that show something. */
const BUSY_MS = 40_000;
const STEP_MS = 50;
const ORDERS = ["shipped", "paid", "packed", "returned"];

/** Publishes at a rate that rises and falls, and now and then what is refused. */
async function publishFor(client: Client, durationMs: number): Promise<void> {
  for (let at = 0; at < durationMs; at += STEP_MS) {
    const wave = 1 + Math.sin(at / 4000) + Math.sin(at / 1300) / 2;
    const count = 2 + Math.round(3 * Math.max(0, wave));
    for (let n = 0; n < count; n++) {
      const data = { order: at + n, state: ORDERS[n % ORDERS.length] ?? "new" };
      client.publish(n % 2 === 0 ? "orders/eu" : "jobs/mail", data).catch(() => {});
    }
    // A wildcard is no topic: an error for the chart of errors.
    if (at % 11_000 === 0) client.publish("orders/+", 1).catch(() => {});
    await after(STEP_MS);
  }
}

/** A member of a group that is now and then slower than what comes. */
function work(client: Client): void {
  let taken = 0;
  client.subscribe("jobs/#", {
    group: "mailers",
    window: 16,
    onDelivery: async () => {
      taken += 1;
      await after(taken % 400 < 120 ? 60 : 5);
    },
  });
}

async function makeBusy(server: Server): Promise<{ done: Promise<void>; end(): Promise<void> }> {
  const names = ["shop", "dashboard", "wall", "mailer-1", "mailer-2"];
  const clients = names.map((client) => createClient({ url: server.url, client }));
  const [shop, dashboard, wall, ...mailers] = clients;
  if (!shop || !dashboard || !wall) throw new Error("there are five clients");
  for (const reader of [dashboard, wall]) {
    await reader.subscribe("orders/#", { onDelivery: () => {} }).ready;
  }
  mailers.forEach(work);
  const end = async () => {
    await Promise.all(clients.map((client) => client.close()));
  };
  return { done: publishFor(shop, BUSY_MS), end };
}

/** The longest time that the page did not answer within the last seconds. */
function watchFrames(page: Page): Promise<void> {
  return page.evaluate(() => {
    const here = window as unknown as { worstFrameMs: number };
    let last = performance.now();
    here.worstFrameMs = 0;
    const next = (now: number) => {
      here.worstFrameMs = Math.max(here.worstFrameMs, now - last);
      last = now;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
}

test("the console shows a busy server", async ({ page, server }) => {
  const busy = await makeBusy(server);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1200, height: 820 });
  await page.goto(`${server.operatorUrl}/console/#key=${encodeURIComponent(server.operatorKey)}`);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await watchFrames(page);
  await busy.done;
  await picture(page, "console");
  await page.evaluate(() => {
    location.hash = "#/topics";
  });
  await expect(page.getByRole("link", { name: "orders/eu" })).toBeVisible();
  const worst = await page.evaluate(
    () => (window as unknown as { worstFrameMs: number }).worstFrameMs,
  );
  // Nothing is timed here; a page that stands still for seconds is broken on any machine.
  expect(worst).toBeLessThan(3000);
  await busy.end();
});
