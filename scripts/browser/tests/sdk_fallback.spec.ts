/** The SDK in Chromium behind networks that let no WebSocket through, or hold streams back. */

import type { Page } from "@playwright/test";
import type * as Fallback from "../../../sdk/typescript/src/fallback.ts";
import type * as Sdk from "../../../sdk/typescript/src/index.ts";
import { HttpProxy } from "../../../sdk/typescript/test/fallback/http-proxy.ts";
import { serveBlankPage } from "./blank_page.ts";
import { expect, test } from "./server.ts";

type FallbackWindow = Window & {
  sdk: typeof Sdk & typeof Fallback;
  client: Sdk.Client;
  seen: unknown[];
};

let blank: { url: string; close(): void };
test.beforeAll(async () => {
  blank = await serveBlankPage("fallback.ts");
});
test.afterAll(() => blank.close());

async function follow(page: Page, url: string): Promise<void> {
  await page.goto(blank.url);
  await page.evaluate((url) => {
    const here = window as unknown as FallbackWindow;
    const { createClient, fallback } = here.sdk;
    const how = fallback({ firstByteMs: 1000, retryMs: 500 });
    here.client = createClient({ url, fallback: how, backoff: { baseMs: 50 } });
    here.seen = [];
    const onDelivery = ({ data }: Sdk.Delivery) => void here.seen.push(data);
    return here.client.subscribe("room", { onDelivery }).ready;
  }, url);
}

function publish(page: Page, from: number, to: number): Promise<unknown> {
  return page.evaluate(
    ([from, to]) => {
      const { client } = window as unknown as FallbackWindow;
      const all = Array.from({ length: to - from + 1 }, (_, at) =>
        client.publish("room", from + at),
      );
      return Promise.all(all);
    },
    [from, to] as const,
  );
}

function seen(page: Page): Promise<unknown[]> {
  return page.evaluate(() => (window as unknown as FallbackWindow).seen);
}

function via(page: Page): Promise<string | undefined> {
  return page.evaluate(() => {
    const { state } = (window as unknown as FallbackWindow).client;
    return state.status === "connected" ? state.via : undefined;
  });
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, at) => at + 1);
}

for (const holdsBack of [false, true]) {
  test(`goes by ${holdsBack ? "long poll" : "event stream"} until a WebSocket gets through`, async ({
    page,
    server,
  }) => {
    const proxy = await new HttpProxy(() => server.port, { upgrades: false, holdsBack }).start();
    await follow(page, proxy.url.href);
    expect(await via(page)).toBe("fallback");
    await publish(page, 1, 50);
    await expect.poll(() => seen(page)).toEqual(upTo(50));
    proxy.cut();
    await publish(page, 51, 60);
    await expect.poll(() => seen(page)).toEqual(upTo(60));
    proxy.rules.upgrades = true;
    await expect.poll(() => via(page)).toBe("websocket");
    await publish(page, 61, 70);
    await expect.poll(() => seen(page)).toEqual(upTo(70));
    expect(proxy.asked.get("/v1/history") ?? 0).toBeGreaterThan(holdsBack ? 0 : -1);
    await proxy.stop();
  });
}
