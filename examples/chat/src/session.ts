/**
 * Who is signed in, and the client that belongs to them.
 *
 * There are no passwords: `POST /dev/token` gives a token to whoever asks. An application's own
 * backend stands in its place and looks at a cookie first.
 */

import { type Client, createClient, TidingsError } from "@tidings/client";
import { claimDevice, type Device } from "./device.ts";
import { Observed } from "./observed.ts";

export type SignIn =
  | { readonly phase: "signedOut"; readonly suggested: string }
  | { readonly phase: "entering"; readonly user: string }
  | { readonly phase: "signedIn"; readonly session: Session };

export interface Session {
  readonly user: string;
  readonly device: Device;
  readonly client: Client;
}

/** The tab remembers who is signed in, so that two tabs can be two people. */
const USER_OF_TAB = "chat/user";
/** The browser remembers the last name for the form. */
const LAST_USER = "chat/last-user";

export const signIn = new Observed<SignIn>({
  phase: "signedOut",
  suggested: localStorage.getItem(LAST_USER) ?? "",
});

/** Goes on as whoever was signed in before a reload, whether the server can be reached or not. */
export async function continueSession(): Promise<void> {
  const user = sessionStorage.getItem(USER_OF_TAB);
  if (user !== null) {
    signIn.value = { phase: "entering", user };
    await enter(user);
  }
}

/** Signs in. Throws an error with words for the page if that is refused, or nobody answers. */
export async function signInAs(user: string): Promise<void> {
  await fetchToken(user);
  sessionStorage.setItem(USER_OF_TAB, user);
  localStorage.setItem(LAST_USER, user);
  await enter(user);
}

/** Signs out. What waits to be sent stays on this device, and leaves when the user is back. */
export async function signOut(session: Session): Promise<void> {
  sessionStorage.removeItem(USER_OF_TAB);
  signIn.value = { phase: "signedOut", suggested: session.user };
  await session.client.close();
  session.device.release();
}

async function enter(user: string): Promise<void> {
  const device = await claimDevice(user);
  const client = createClient({
    url: location.origin,
    getToken: () => fetchToken(user),
    client: device.name,
    // All tabs of a user: what one leaves to be sent, another one sends.
    storageName: `chat/${user}`,
  });
  client.on("problem", (error) => console.warn(`${error.message} (${error.help})`));
  signIn.value = { phase: "signedIn", session: { user, device, client } };
  client.connect().catch(() => {
    // The state says what is wrong, and the page shows it.
  });
}

/** Asks the backend for a token. Throws if there is none now; the client asks again later. */
async function fetchToken(user: string): Promise<string> {
  const response = await fetch("/dev/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  }).catch(() => {
    throw new Error("The server cannot be reached. Is it running? Try again in a moment.");
  });
  const answer: unknown = await response.json().catch(() => undefined);
  const token = textOf(answer, "token");
  if (!response.ok || token === undefined) {
    const detail =
      textOf(answer, "detail") ?? `The server answered with status ${response.status}.`;
    const temporary = response.status >= 500 || response.status === 429;
    throw new TidingsError("token_failed", detail, { temporary });
  }
  return token;
}

function textOf(answer: unknown, name: string): string | undefined {
  if (typeof answer !== "object" || answer === null) {
    return undefined;
  }
  const value: unknown = Object.getOwnPropertyDescriptor(answer, name)?.value;
  return typeof value === "string" ? value : undefined;
}
