/**
 * The name of this device, for the server: one per tab, since a durable subscription belongs to one
 * connection at a time, and the same again after a reload, so that the cursors are the same.
 *
 * A tab holds a lock on its number for as long as it lives; a new tab takes the lowest that is free.
 */

/** One of this user's tabs in this browser. */
export interface Device {
  /** Unique among all devices of the user. */
  readonly name: string;
  release(): void;
}

/** Tabs of one user in one browser. Those beyond share the last number and take over from each other. */
const TABS_MAX = 16;

/** How long a reload waits for the lock of the page that it replaces. */
const RELOAD_WAIT_MS = 2_000;

export async function claimDevice(user: string): Promise<Device> {
  const before = Number(sessionStorage.getItem(`chat/${user}/tab`) ?? "0");
  const again = before > 0 ? await claim(user, before, RELOAD_WAIT_MS) : undefined;
  const { tab, release } = again ?? (await claimLowest(user));
  sessionStorage.setItem(`chat/${user}/tab`, String(tab));
  return { name: `${browserName()}-${tab}`, release };
}

interface Claimed {
  readonly tab: number;
  readonly release: () => void;
}

async function claimLowest(user: string): Promise<Claimed> {
  for (let tab = 1; tab <= TABS_MAX; tab += 1) {
    const claimed = await claim(user, tab, 0);
    if (claimed !== undefined) {
      return claimed;
    }
  }
  return { tab: TABS_MAX, release: () => undefined };
}

/** Takes the lock of a tab's number; nothing if another tab has it for longer than `waitMs`. */
function claim(user: string, tab: number, waitMs: number): Promise<Claimed | undefined> {
  // Without locks (pages that are neither https nor on this machine) tabs cannot know of each other.
  if (!("locks" in navigator)) {
    return Promise.resolve({ tab, release: () => undefined });
  }
  return new Promise((resolve) => {
    const how = waitMs > 0 ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true };
    const held = (lock: Lock | null) =>
      lock === null
        ? resolve(undefined)
        : new Promise<void>((release) => resolve({ tab, release: () => release() }));
    navigator.locks.request(`tidings-chat/${user}/${tab}`, how, held).catch(() => {
      // The wait was over. If the lock had been given before, this does nothing.
      resolve(undefined);
    });
  });
}

/** A random name for this browser, made once. */
function browserName(): string {
  const known = localStorage.getItem("chat/browser");
  if (known !== null) {
    return known;
  }
  const name = crypto.getRandomValues(new Uint32Array(1)).join("");
  localStorage.setItem("chat/browser", name);
  return name;
}
