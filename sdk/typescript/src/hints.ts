/** The states of a client in words that a page can show as they are. */

import type { TidingsError } from "./errors.ts";

function count(waiting: number): string {
  return waiting === 1 ? "1 message waits" : `${waiting} messages wait`;
}

function toBeSent(waiting: number): string {
  return waiting === 0 ? "" : ` ${count(waiting)} to be sent.`;
}

export const hints = {
  idle: "Not connected.",
  connecting: "Connecting.",
  connected: "Connected.",
  closed: "Closed.",
  reconnecting: (waiting: number, _cause: TidingsError) =>
    `The network is unstable. Trying again.${toBeSent(waiting)}`,
  offline: (waiting: number, _cause: TidingsError) =>
    `Offline.${toBeSent(waiting) || " Trying again."}`,
  signedOut: (waiting: number, _cause: TidingsError) =>
    `Signed out. Sign in again.${toBeSent(waiting)}`,
  failed: (waiting: number, cause: TidingsError) => {
    const words =
      cause.code === "taken_over"
        ? "Continued in another window."
        : `Cannot connect: ${cause.message}.`;
    return `${words}${toBeSent(waiting)}`;
  },
};
