/**
 * The name of this device, for the server: one per tab, since a durable subscription belongs to one
 * connection at a time, and the same again after a reload, since what waits to be sent is kept under it.
 *
 * A tab holds a lock on its number for as long as it lives. A new tab takes the number of one that was
 * closed while messages of it waited, else the lowest that is free.
 */

/** A number of this user's tabs in this browser. */
export interface Device {
  /** Unique among all devices of the user. */
  readonly name: string;
  /** Under which name the SDK keeps what waits. */
  readonly storageName: string;
  /** Notes how many messages wait here, for the next tab if this one is closed. */
  noteWaiting(count: number): void;
  release(): void;
}

/** Tabs of one user in one browser; beyond them the last number is shared and taken over. */
const TABS_MAX = 16;

/** How long a reload waits for the lock of the page that it replaces. */
const RELOAD_WAIT_MS = 2_000;

export async function claimDevice(user: string): Promise<Device> {
  const mine = Number(sessionStorage.getItem(`chat/${user}/tab`) ?? "0");
  const lock =
    (mine > 0 ? await claim(user, mine, RELOAD_WAIT_MS) : undefined) ?? (await claimAny(user));
  sessionStorage.setItem(`chat/${user}/tab`, String(lock.tab));
  const storageName = `chat/${user}/${lock.tab}`;
  return {
    name: `${browserName()}-${lock.tab}`,
    storageName,
    noteWaiting: (count) => noteWaiting(storageName, count),
    release: lock.release,
  };
}

interface Claimed {
  readonly tab: number;
  readonly release: () => void;
}

async function claimAny(user: string): Promise<Claimed> {
  const tabs = Array.from({ length: TABS_MAX }, (_, index) => index + 1);
  const isLeft = (tab: number) => localStorage.getItem(`chat/${user}/${tab}/waiting`) !== null;
  for (const tab of [...tabs.filter(isLeft), ...tabs.filter((tab) => !isLeft(tab))]) {
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

function noteWaiting(storageName: string, count: number): void {
  if (count > 0) {
    localStorage.setItem(`${storageName}/waiting`, String(count));
  } else {
    localStorage.removeItem(`${storageName}/waiting`);
  }
}
