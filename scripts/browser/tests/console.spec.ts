/** An operator looks at a server, and mends what went wrong on it. */

import type { Browser, Page } from "@playwright/test";
import type * as Sdk from "../../../sdk/typescript/src/index.ts";
import { expectAccessible, watch } from "./accessible.ts";
import { serveBlankPage } from "./blank_page.ts";
import { picture } from "./pictures.ts";
import { expect, type Server, test } from "./server.ts";

type SdkWindow = Window & { sdk: typeof Sdk };

let blank: { url: string; close(): void };
test.beforeAll(async () => {
  blank = await serveBlankPage();
});
test.afterAll(() => blank.close());

/** Opens the console with the key in the address, as `tidings dev` prints it. */
async function enter(page: Page, server: Server, place = "/"): Promise<() => void> {
  const hosts = [server.url, server.operatorUrl].map((url) => new URL(url).host);
  const watched = watch(page, hosts);
  await page.goto(`${server.operatorUrl}/console/#key=${encodeURIComponent(server.operatorKey)}`);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await visit(page, place);
  return () => watched.expectClean();
}

async function visit(page: Page, place: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `#${place}`);
}

/** A consumer that gives up what it is told to, and acks everything else. */
async function consume(browser: Browser, server: Server, unwanted: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(blank.url);
  await page.evaluate(
    async ([url, unwanted]) => {
      const { sdk } = window as unknown as SdkWindow;
      const client = sdk.createClient({ url, client: "worker" });
      const subscription = client.subscribe("jobs/mail", {
        durable: "mailer",
        ack: "manual",
        onDelivery: (delivery) => {
          const isUnwanted = JSON.stringify(delivery.data).includes(unwanted);
          if (isUnwanted) delivery.giveUp("no such recipient");
          else delivery.ack();
        },
      });
      await subscription.ready;
    },
    [server.url, unwanted] as const,
  );
  return page;
}

async function deadLetters(server: Server): Promise<number> {
  const answer = await fetch(`${server.operatorUrl}/v1/dead-letters`);
  const { kept } = (await answer.json()) as { kept: number };
  return kept;
}

test("asks for the operator's key, keeps it over a reload, and forgets it", async ({
  page,
  server,
}) => {
  await page.goto(`${server.operatorUrl}/console/`);
  await page.getByLabel("Operator key").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("does not take this key");
  await expectAccessible(page);
  await page.getByLabel("Operator key").fill(server.operatorKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.reload();
  await expect(page.getByLabel("Operator key")).toBeVisible();
});

test("takes the key from the address and leaves it nowhere to be seen", async ({
  page,
  server,
}) => {
  const expectClean = await enter(page, server);
  expect(page.url()).not.toContain("key");
  await page.goBack();
  expect(page.url()).not.toContain("key");
  expectClean();
});

test("takes a key that is pasted over the address of an open console", async ({ page, server }) => {
  await page.goto(`${server.operatorUrl}/console/`);
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  await page.goto(`${server.operatorUrl}/console/#key=${encodeURIComponent(server.operatorKey)}`);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  expect(page.url()).not.toContain("key=");
});

test("follows a topic while the server is killed and started again", async ({ page, server }) => {
  const expectClean = await enter(page, server, "/topics/room%2F42");
  await expect(page.getByText("Following")).toBeVisible();
  await server.publish("room/42", { text: "before" });
  await expect(page.getByText('{"text":"before"}').first()).toBeVisible();
  await server.kill();
  await server.start();
  await server.publish("room/42", { text: "after" });
  await expect(page.getByText('{"text":"after"}').first()).toBeVisible();
  await picture(page, "console-topic");
  await visit(page, "/topics/room%2F42?view=publish");
  await page.getByRole("button", { name: "Publish" }).click();
  await expect(page.getByText("Published at offset 3.")).toBeVisible();
  await expectAccessible(page);
  await visit(page, "/topics/room%2F42?view=history");
  await expect(page.getByRole("list", { name: "Messages, the newest first" })).toContainText(
    "before",
  );
  expectClean();
});

test("edits a dead letter and replays it to the one who gave it up", async ({
  page,
  server,
  browser,
}) => {
  await consume(browser, server, "nobody@");
  await server.publish("jobs/mail", { to: "nobody@example.org" });
  await server.publish("jobs/mail", { to: "alice@example.org" });
  await expect.poll(() => deadLetters(server)).toBe(1);
  const expectClean = await enter(page, server, "/dead-letters");
  await expect(page.getByRole("cell", { name: "no such recipient" })).toBeVisible();
  await expectAccessible(page);
  await page.getByRole("link", { name: "№ 1" }).click();
  await expect(page.getByRole("table", { name: "Attempts" })).toContainText("refused");
  await picture(page, "console-dead-letter");
  await page.locator(".facts .id").click();
  await expect(page.locator(".entries")).toContainText("attempt 1: no such recipient");
  await expect(page.locator(".timeline")).toContainText("no such recipient");
  await page.goBack();
  await page.getByRole("textbox", { name: "Data" }).fill('{"to":"bob@example.org"}');
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await expect(page.getByText("Published again to")).toBeVisible();
  await expect.poll(() => deadLetters(server)).toBe(0);
  expect(await server.history("jobs/mail")).toContainEqual({ to: "bob@example.org" });
  await page.locator(".notice .id").click();
  await expect(page.getByRole("table", { name: /How it stands/ })).toContainText("settled");
  await expect(page.locator(".entries")).toContainText("from dead letter 1");
  await expectAccessible(page);
  await picture(page, "console-story");
  expectClean();
});

test("purges many dead letters, and says how many", async ({ page, server, browser }) => {
  await consume(browser, server, "nobody@");
  for (let n = 0; n < 5; n += 1) await server.publish("jobs/mail", { to: `nobody@${n}` });
  await expect.poll(() => deadLetters(server)).toBe(5);
  await enter(page, server, "/dead-letters?reason=recipient");
  await page.getByRole("button", { name: "Purge many…" }).click();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Purge them for good" }).click();
  await expect(page.getByRole("dialog")).toContainText("5 purged, 0 dead letters are kept");
  expect(await deadLetters(server)).toBe(0);
});

test("keeps the filters of dead letters behind a line on a phone", async ({
  page,
  server,
  browser,
}) => {
  await consume(browser, server, "nobody@");
  await server.publish("jobs/mail", { to: "nobody@example.org" });
  await expect.poll(() => deadLetters(server)).toBe(1);
  await page.setViewportSize({ width: 360, height: 740 });
  await enter(page, server, "/dead-letters");
  await expect(page.getByRole("link", { name: "№ 1" })).toBeInViewport();
  await expect(page.getByLabel("Reason")).toBeHidden();
  await page.getByText("Filters", { exact: true }).click();
  await page.getByLabel("Reason").fill("something else");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Show" }).click();
  await expect(page.getByText("None that the filters leave.")).toBeVisible();
  await expect(page.getByText("Filters: 1 set")).toBeVisible();
  await expect(page.getByLabel("Reason")).toBeHidden();
});

test("counts what was refused before somebody looked, and since", async ({ page, server }) => {
  const refuse = async () => {
    const body = JSON.stringify({ topic: "a/+", data: 1 });
    const headers = { "content-type": "application/json" };
    await fetch(`${server.url}/v1/publish`, { method: "POST", headers, body });
  };
  await refuse();
  await enter(page, server);
  const row = page
    .getByRole("table", { name: /Errors told/ })
    .getByRole("row", { name: "bad_topic" });
  await expect(row.getByRole("cell").nth(1)).toHaveText("1");
  await expect(row.getByRole("cell").nth(2)).toHaveText("0");
  await refuse();
  await expect(row.getByRole("cell").nth(1)).toHaveText("2");
  await expect(row.getByRole("cell").nth(2)).toHaveText("+1");
});

test("sends a user away and says why the connection ended", async ({ page, server, browser }) => {
  await consume(browser, server, "nobody@");
  await enter(page, server, "/users");
  await page.getByRole("link", { name: "dev", exact: true }).click();
  await expect(page.getByRole("region", { name: "Connections" })).toContainText("worker");
  await page.getByRole("button", { name: "Disconnect…" }).click();
  await page.getByRole("button", { name: "Disconnect dev" }).click();
  await expect(page.getByText("No connection to this node.")).toBeVisible();
  await visit(page, "/disconnects?user=dev");
  await expect(page.getByRole("cell", { name: "forbidden" })).toBeVisible();
  await expectAccessible(page);
});

test("has a client that subscribes, publishes and shows its frames", async ({ page, server }) => {
  const expectClean = await enter(page, server, "/client");
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByRole("button", { name: "Subscribe", exact: true }).click();
  await expect(page.getByRole("button", { name: "Unsubscribe from room/42" })).toBeVisible();
  await page.getByRole("button", { name: "Publish" }).click();
  const messages = page.getByRole("list", { name: "Messages, the newest first" });
  await expect(messages).toContainText('{"hello":"console"}');
  const frames = page.getByRole("list", { name: "Frames, the newest first" });
  await expect(frames).toContainText('"subscribed"');
  await expectAccessible(page);
  expectClean();
});

const PLACES = [
  ["/", "Overview"],
  ["/topics", "Topics"],
  ["/topics/room%2F1?view=about", "room/1"],
  ["/messages", "Story of a message"],
  ["/scheduled", "Scheduled"],
  ["/users", "Users"],
  ["/subscriptions", "Subscriptions"],
  ["/groups", "Groups"],
  ["/disconnects", "Disconnects"],
  ["/node", "Node"],
  ["/configuration", "Configuration"],
  ["/errors", "Error codes"],
] as const;

for (const { name, width, colorScheme } of [
  { name: "light", width: 1200, colorScheme: "light" },
  { name: "dark", width: 1200, colorScheme: "dark" },
  { name: "phone", width: 360, colorScheme: "light" },
] as const) {
  test(`every page is accessible and fits: ${name}`, async ({ page, server }) => {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await server.publish("room/1", { text: "a message" });
    const expectClean = await enter(page, server);
    for (const [place, heading] of PLACES) {
      await visit(page, place);
      await expect(page.getByRole("heading", { name: heading, level: 1 })).toBeVisible();
      await expect(page.getByText("Asking the server…")).toHaveCount(0);
      await expectAccessible(page);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess, `${place} is wider than the screen`).toBeLessThanOrEqual(0);
      await picture(page, `console-${name}-${heading.replace(/\W+/g, "-").toLowerCase()}`);
    }
    expectClean();
  });
}

test("works by keyboard alone", async ({ page, server }) => {
  await enter(page, server, "/users/nobody");
  await expect(page.getByText("Nothing is known of this user")).toBeVisible();
  await page.reload();
  await expect(page.getByText("Nothing is known of this user")).toBeVisible();
  await expect(page.getByRole("button", { name: "Disconnect…" })).toHaveCount(0);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Skip to the page" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  const revoke = page.getByRole("button", { name: "Revoke tokens…" });
  await expect(revoke).toBeFocused();
  // Both ways out of a question lead back to where it was asked.
  for (const key of ["Escape", "Enter"]) {
    await page.keyboard.press("Enter");
    await expect(page.getByRole("button", { name: "Leave it" })).toBeFocused();
    await page.keyboard.press(key);
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(revoke).toBeFocused();
  }
});
