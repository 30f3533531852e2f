/** What of the SDK only a browser can show: IndexedDB, reloads, several tabs, going offline. */

import type { BrowserContext, Page } from "@playwright/test";
import type * as Sdk from "../../../sdk/typescript/src/index.ts";
import { serveBlankPage } from "./blank_page.ts";
import { expect, type Server, test } from "./server.ts";

type SdkWindow = Window & { sdk: typeof Sdk; client: Sdk.Client; seen: unknown[] };

let blank: { url: string; close(): void };
test.beforeAll(async () => {
  blank = await serveBlankPage();
});
test.afterAll(() => blank.close());

async function openClient(page: Page, server: Server): Promise<void> {
  await page.goto(blank.url);
  await page.evaluate((url) => {
    const here = window as unknown as SdkWindow;
    here.client = here.sdk.createClient({ url, storageName: "alice" });
    return here.client.connect();
  }, server.url);
}

async function publish(page: Page, topic: string, from: number, to: number): Promise<void> {
  await page.evaluate(
    ([topic, from, to]) => {
      const { client } = window as unknown as SdkWindow;
      // Nobody waits for them: the page is left before they are published.
      for (let n = from; n <= to; n++) client.publish(topic, n).catch(() => {});
    },
    [topic, from, to] as const,
  );
}

function waiting(page: Page): Promise<number> {
  return page.evaluate(() => (window as unknown as SdkWindow).client.outbox.length);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

test("what waits is published after a reload, in order and once", async ({ page, server }) => {
  await openClient(page, server);
  await publish(page, "room/1", 1, 3);
  await expect.poll(() => waiting(page)).toBe(0);
  await server.kill();
  await publish(page, "room/1", 4, 40);
  await expect.poll(() => waiting(page)).toBe(37);
  // The page is gone with its memory, and what is in IndexedDB is left.
  await page.goto("about:blank");
  await server.start();
  await openClient(page, server);
  await expect.poll(() => waiting(page)).toBe(0);
  expect(await server.history("room/1")).toEqual(numbers(1, 40));
});

test("a kill in the middle of many publishes stores each of them once", async ({
  page,
  server,
}) => {
  await openClient(page, server);
  await publish(page, "room/2", 1, 400);
  await expect.poll(async () => (await server.history("room/2")).length).toBeGreaterThan(0);
  await server.kill();
  await server.start();
  await expect.poll(() => waiting(page)).toBe(0);
  expect(await server.history("room/2")).toEqual(numbers(1, 400));
});

async function follow(page: Page): Promise<void> {
  await page.evaluate(() => {
    const here = window as unknown as SdkWindow;
    here.seen = [];
    const onDelivery = ({ data }: Sdk.Delivery) => void here.seen.push(data);
    return here.client.subscribe("room/3", { onDelivery }).ready;
  });
}

function seen(page: Page): Promise<unknown[]> {
  return page.evaluate(() => (window as unknown as SdkWindow).seen);
}

test("a live subscription goes on where it was before a reload", async ({ page, server }) => {
  await openClient(page, server);
  await follow(page);
  for (const n of numbers(1, 3)) await server.publish("room/3", n);
  await expect.poll(() => seen(page)).toEqual([1, 2, 3]);
  await page.goto("about:blank");
  for (const n of numbers(4, 6)) await server.publish("room/3", n);
  await openClient(page, server);
  await follow(page);
  await expect.poll(() => seen(page)).toEqual([4, 5, 6]);
});

test("two tabs with the same storage publish what waits once", async ({
  page,
  context,
  server,
}) => {
  await openClient(page, server);
  await server.kill();
  await publish(page, "room/4", 1, 20);
  await expect.poll(() => waiting(page)).toBe(20);
  const other = await context.newPage();
  await other.goto(blank.url);
  await server.start();
  await openClient(other, server);
  await expect.poll(() => waiting(page)).toBe(0);
  await expect.poll(() => waiting(other)).toBe(0);
  expect(await server.history("room/4")).toEqual(numbers(1, 20));
});

test("offline is told, and going online reconnects at once", async ({ page, context, server }) => {
  await openClient(page, server);
  const status = () => page.evaluate(() => (window as unknown as SdkWindow).client.state.status);
  await server.kill();
  await context.setOffline(true);
  await expect.poll(status).toMatch(/reconnecting|offline/);
  await publish(page, "room/5", 1, 1);
  await server.start();
  await context.setOffline(false);
  await expect.poll(status).toBe("connected");
  await expect.poll(() => server.history("room/5")).toEqual([1]);
});

/** Another tab. It never gets to its server, so what it publishes stays with it. */
async function publishInVain(context: BrowserContext, topic: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(blank.url);
  await page.evaluate(() => {
    const here = window as unknown as SdkWindow;
    here.client = here.sdk.createClient({ url: "http://127.0.0.1:1", storageName: "alice" });
  });
  await publish(page, topic, 1, 3);
  await expect.poll(() => waiting(page)).toBe(3);
  // It tries to connect once what waits is in IndexedDB.
  const status = () => page.evaluate(() => (window as unknown as SdkWindow).client.state.status);
  await expect.poll(status).toMatch(/reconnecting|offline/);
  return page;
}

test("what a tab has not sent is sent by another one once it is closed", async ({
  page,
  context,
  server,
}) => {
  await openClient(page, server);
  const other = await publishInVain(context, "room/6");
  // The first tab meets what the other one still has, and leaves it to it.
  await server.kill();
  await server.start();
  await page.evaluate(() => (window as unknown as SdkWindow).client.connect());
  expect(await server.history("room/6")).toEqual([]);
  await other.close();
  await expect.poll(() => server.history("room/6")).toEqual(numbers(1, 3));
});

test("a tab that was connected before another one had anything sends what that one leaves", async ({
  page,
  context,
  server,
}) => {
  await openClient(page, server);
  const other = await publishInVain(context, "room/7");
  expect(await server.history("room/7")).toEqual([]);
  await other.close();
  await expect.poll(() => server.history("room/7")).toEqual(numbers(1, 3));
});
