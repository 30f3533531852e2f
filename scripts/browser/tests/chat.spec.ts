/** People chat while everything around them fails. */

import type { Browser, BrowserContext, Locator, Page } from "@playwright/test";
import { expectAccessible, watch } from "./accessible.ts";
import { picture } from "./pictures.ts";
import { expect, type Server, test } from "./server.ts";

/** Somebody at a browser of their own. */
class Person {
  private constructor(
    readonly page: Page,
    readonly context: BrowserContext,
    readonly pageIsClean: () => void,
  ) {}

  static async enter(browser: Browser, server: Server, name: string, options = {}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const watched = watch(page, [new URL(server.url).host]);
    const person = new Person(page, context, () => watched.expectClean());
    await page.goto(server.url);
    await person.signIn(name);
    return person;
  }

  async signIn(name: string): Promise<void> {
    await this.page.getByTestId("sign-in-name").fill(name);
    await this.page.getByTestId("sign-in-submit").click();
    await expect(this.page.getByTestId("sign-out")).toBeVisible();
  }

  async openRoom(name: string): Promise<void> {
    await this.page.goto(`${this.page.url().split("#")[0]}#/room/${name}`);
    const composer = this.page.getByLabel(`Message to ${name}`);
    const join = this.page.getByRole("main").getByRole("button", { name: "Join" });
    await expect(composer.or(join)).toBeVisible();
    if (await join.isVisible()) await join.click();
    await expect(composer).toBeVisible();
  }

  async say(text: string): Promise<void> {
    await this.page.getByTestId("composer").fill(text);
    await this.page.getByTestId("composer").press("Enter");
  }

  get messages(): Locator {
    return this.page.getByTestId("message");
  }

  get banner(): Locator {
    return this.page.getByTestId("banner");
  }

  /** The texts on the page are exactly these, in this order. */
  async sees(texts: readonly string[]): Promise<void> {
    await expect(this.messages.locator(".text")).toHaveText([...texts]);
  }

  async allAre(state: string): Promise<void> {
    const states = () => this.messages.evaluateAll((all) => all.map((one) => one.dataset.state));
    await expect.poll(async () => (await states()).every((one) => one === state)).toBe(true);
  }
}

function texts(word: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => `${word} ${from + at}`);
}

test("two people chat", async ({ browser, server }) => {
  const alice = await Person.enter(browser, server, "alice");
  const bob = await Person.enter(browser, server, "bob", { colorScheme: "dark" });
  for (const room of ["design", "release"]) {
    for (const person of [alice, bob]) await person.openRoom(room);
  }
  await expect(alice.page.getByTestId("presence")).toContainText("bob");

  await alice.say("Good morning! Is the new build out?");
  await bob.sees(["Good morning! Is the new build out?"]);
  await expect(alice.messages.last()).toHaveAttribute("data-state", "read");
  await bob.page.getByTestId("composer").pressSequentially("Nearly: the last test is running.");
  await expect(alice.page.getByTestId("typing")).toContainText("bob");
  await bob.page.getByTestId("composer").press("Enter");
  await alice.say("I kill the server every few minutes. Nothing was lost so far.");
  await bob.say("Half of mine were written on the train, in a tunnel. They left when it was over.");
  await alice.say("Then let's ship it.");
  await expect(alice.messages).toHaveCount(5);
  await expect(alice.messages.last()).toHaveAttribute("data-state", "read");
  await bob.openRoom("design");
  await bob.say("New icons are in!");
  await bob.openRoom("release");
  await expect(alice.page.getByTestId("room-design").getByTestId("unread")).toBeVisible();
  for (const person of [alice, bob]) await expectAccessible(person.page);
  await picture(alice.page, "chat");
  await picture(bob.page, "chat-dark");

  // Markup is text, and nothing of it runs.
  await bob.say('<img src=x onerror="document.title=1"> & <b>done</b>');
  await expect(alice.messages.last()).toContainText('<img src=x onerror="document.title=1"> & <b>');
  for (const person of [alice, bob]) person.pageIsClean();
});

test("what is unread is counted until it is read, also on another day", async ({
  browser,
  server,
}) => {
  const alice = await Person.enter(browser, server, "alice");
  const bob = await Person.enter(browser, server, "bob");
  for (const person of [alice, bob]) await person.openRoom("plans");
  await alice.openRoom("lobby");
  for (const text of texts("plan", 1, 3)) await bob.say(text);
  const unread = alice.page.getByTestId("room-plans").getByTestId("unread");
  await expect(unread).toContainText("3");
  // It is the server that knows, so it is the same after the page is gone.
  await alice.page.reload();
  await expect(unread).toContainText("3");
  await alice.openRoom("plans");
  await alice.sees(texts("plan", 1, 3));
  await expect(unread).toBeHidden();
  await expect(bob.messages.last()).toHaveAttribute("data-state", "read");
});

test("the server is killed and comes back while somebody types", async ({ browser, server }) => {
  const alice = await Person.enter(browser, server, "alice");
  const bob = await Person.enter(browser, server, "bob");
  for (const person of [alice, bob]) await person.openRoom("lobby");
  await alice.say("before 1");
  await bob.sees(["before 1"]);

  await server.kill();
  for (const text of texts("during", 1, 3)) await alice.say(text);
  await alice.page.getByTestId("composer").fill("half a sent");
  await expect(alice.messages.last()).toHaveAttribute("data-state", "pending");
  await expect(alice.banner).toHaveAttribute("data-status", "offline");
  await expect(alice.banner).toContainText("3 messages wait");
  await expect(alice.page.getByTestId("composer")).toHaveValue("half a sent");
  await expectAccessible(alice.page);
  await picture(alice.page, "chat-offline");

  await server.start();
  await expect(alice.banner).toHaveAttribute("data-status", "hidden");
  await expect(alice.page.getByTestId("composer")).toHaveValue("half a sent");
  await bob.sees(["before 1", ...texts("during", 1, 3)]);
  await alice.sees(["before 1", ...texts("during", 1, 3)]);
  await alice.allAre("read");
  await bob.say("after 1");
  await alice.sees(["before 1", ...texts("during", 1, 3), "after 1"]);
});

test("offline for a minute, nothing is missing and nothing comes twice", async ({
  browser,
  server,
}) => {
  const alice = await Person.enter(browser, server, "alice");
  const bob = await Person.enter(browser, server, "bob");
  for (const person of [alice, bob]) await person.openRoom("lobby");
  await alice.say("alice 0");
  await bob.sees(["alice 0"]);
  await alice.context.setOffline(true);
  await expect(alice.banner).toHaveAttribute("data-status", "offline");
  for (const text of texts("alice", 1, 2)) await alice.say(text);
  for (const text of texts("bob", 1, 2)) await bob.say(text);
  await alice.page.waitForTimeout(60_000);
  await expect(alice.messages.last()).toHaveAttribute("data-state", "pending");
  await alice.context.setOffline(false);
  await expect(alice.banner).toHaveAttribute("data-status", "hidden");
  const all = ["alice 0", ...texts("bob", 1, 2), ...texts("alice", 1, 2)];
  for (const person of [alice, bob]) await person.sees(all);
});

test("a reload in the middle loses nothing that was written", async ({ browser, server }) => {
  const alice = await Person.enter(browser, server, "alice");
  await alice.openRoom("lobby");
  let blocked = true;
  await alice.page.routeWebSocket(/\/v1\/ws$/, (socket) => {
    if (blocked) void socket.close({ code: 4403 });
    else socket.connectToServer();
  });
  await alice.page.reload();
  await expect(alice.page.getByTestId("composer")).toBeVisible();
  for (const text of texts("kept", 1, 3)) await alice.say(text);
  await alice.page.getByTestId("composer").fill("a draft");
  await alice.page.reload();
  await alice.sees(texts("kept", 1, 3));
  await expect(alice.page.getByTestId("composer")).toHaveValue("a draft");
  await expect(alice.messages.last()).toHaveAttribute("data-state", "pending");
  blocked = false;
  await alice.page.reload();
  await alice.sees(texts("kept", 1, 3));
  await alice.allAre("sent");
  const bob = await Person.enter(browser, server, "bob");
  await bob.openRoom("lobby");
  await bob.sees(texts("kept", 1, 3));
});

test("two tabs of one person show the same", async ({ browser, server }) => {
  const alice = await Person.enter(browser, server, "alice");
  const other = await alice.context.newPage();
  await other.goto(server.url);
  await other.getByTestId("sign-in-name").fill("alice");
  await other.getByTestId("sign-in-submit").click();
  await alice.openRoom("lobby");
  await alice.say("from one tab");
  await other.goto(`${server.url}/#/room/lobby`);
  await expect(other.getByTestId("message").locator(".text")).toHaveText(["from one tab"]);
  await other.getByTestId("composer").fill("from the other");
  await other.getByTestId("composer").press("Enter");
  await alice.sees(["from one tab", "from the other"]);
  await expect(other.getByTestId("message")).toHaveCount(2);
});

test("a room typed with blanks is told its name, and what is said first is near the field", async ({
  browser,
  server,
}) => {
  const alice = await Person.enter(browser, server, "alice");
  await alice.page.getByTestId("room-name").fill("Launch party");
  await expect(alice.page.getByText("That is the room launch-party.")).toBeVisible();
  await expectAccessible(alice.page);
  await alice.page.getByTestId("room-name").press("Enter");
  await expect(alice.page.getByLabel("Message to launch-party")).toBeVisible();
  await alice.say("first");
  await alice.sees(["first"]);
  const bottom = async (part: Locator) => {
    const box = await part.boundingBox();
    return box === null ? 0 : box.y + box.height;
  };
  const gap = (await bottom(alice.page.getByRole("log"))) - (await bottom(alice.messages.last()));
  expect(gap).toBeLessThan(40);
  await picture(alice.page, "chat-short");
});

test("it is legible on a phone", async ({ browser, server }) => {
  const phone = { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true };
  const alice = await Person.enter(browser, server, "alice", phone);
  await alice.openRoom("lobby");
  await alice.say(
    "A word of many letters: Donaudampfschifffahrtsgesellschaftskapitänswitwe ".repeat(2),
  );
  const overflow = await alice.page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow).toBe(0);
  await expectAccessible(alice.page);
  await picture(alice.page, "chat-phone");
});
