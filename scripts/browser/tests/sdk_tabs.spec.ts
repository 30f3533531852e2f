/** Tabs over one connection in Chromium: with its locks, and with tabs that crash. */

import type { BrowserContext, Page } from "@playwright/test";
import type * as Sdk from "../../../sdk/typescript/src/index.ts";
import type * as Tabs from "../../../sdk/typescript/src/tabs.ts";
import { serveBlankPage } from "./blank_page.ts";
import { expect, type Server, test } from "./server.ts";

type TabWindow = Window & {
  sdk: typeof Sdk & typeof Tabs;
  client: Sdk.Client;
  seen: number[];
  published: Promise<unknown>[];
};

let blank: { url: string; close(): void };
test.beforeAll(async () => {
  blank = await serveBlankPage("tabs.ts");
});
test.afterAll(() => blank.close());

/** A tab, and how many WebSockets it opened. */
interface Tab {
  readonly page: Page;
  sockets: number;
}

async function openTab(context: BrowserContext, server: Server): Promise<Tab> {
  const page = await context.newPage();
  const tab = { page, sockets: 0 };
  page.on("websocket", () => {
    tab.sockets += 1;
  });
  await page.goto(blank.url);
  await page.evaluate((url) => {
    const here = window as unknown as TabWindow;
    here.client = here.sdk.shareTabs({ url, backoff: { baseMs: 50 } });
    here.seen = [];
    const onDelivery = ({ offset }: Sdk.Delivery) => void here.seen.push(offset);
    return here.client.subscribe("room", { onDelivery }).ready;
  }, server.url);
  return tab;
}

/** Publishes for a while; how many messages became durable. */
async function publish({ page }: Tab, ms: number): Promise<number> {
  return page.evaluate(async (ms) => {
    const { client } = window as unknown as TabWindow;
    const published: Promise<unknown>[] = [];
    for (const end = Date.now() + ms; Date.now() < end; ) {
      published.push(client.publish("room", published.length));
      await new Promise((done) => setTimeout(done, 5));
    }
    return (await Promise.all(published)).length;
  }, ms);
}

function seen({ page }: Tab): Promise<number[]> {
  return page.evaluate(() => (window as unknown as TabWindow).seen);
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, at) => at + 1);
}

test("three tabs have one connection, and each sees each message", async ({ context, server }) => {
  const tabs = [
    await openTab(context, server),
    await openTab(context, server),
    await openTab(context, server),
  ];
  const counts = await Promise.all(tabs.map((tab) => publish(tab, 300)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  for (const tab of tabs) {
    await expect.poll(() => seen(tab)).toEqual(upTo(total));
  }
  expect(tabs.map((tab) => tab.sockets)).toEqual([1, 0, 0]);
});

for (const [how, end] of [
  ["is closed", (page: Page) => page.close()],
  // The page never answers: its process is gone.
  ["crashes", (page: Page) => void page.goto("chrome://crash").catch(() => {})],
] as const) {
  test(`when the tab that leads ${how}, another leads and nothing is lost`, async ({
    context,
    server,
  }) => {
    const leader = await openTab(context, server);
    const second = await openTab(context, server);
    const third = await openTab(context, server);
    const publishing = publish(third, 2000);
    await expect.poll(async () => (await seen(third)).length).toBeGreaterThan(20);
    await end(leader.page);
    const total = await publishing;
    await expect.poll(() => seen(third)).toEqual(upTo(total));
    await expect.poll(() => seen(second)).toEqual(upTo(total));
    expect(leader.sockets).toBe(1);
    expect(second.sockets + third.sockets).toBe(1);
    // Each publish is in the log once, in the order in which it was made.
    const kept = await server.history("room");
    expect(kept).toEqual(Array.from({ length: Math.min(total, 500) }, (_, at) => at));
  });
}
