/**
 * What the line at the top says about the connection. Most breaks are over before anybody notices, so
 * it says nothing at first, then little, then how things stand and what can be done.
 */

import type { State } from "@tidings/client";

export type Banner =
  | { readonly status: "hidden" }
  | { readonly status: "connecting"; readonly text: string }
  | {
      readonly status: "offline";
      readonly text: string;
      /** Whole seconds to the next attempt; 0 while one is made. */
      readonly retryInSeconds: number;
    }
  | { readonly status: "connected"; readonly text: string }
  | { readonly status: "signed-out"; readonly text: string }
  | { readonly status: "failed"; readonly text: string };

/** How the connection has been lately. */
export type Health =
  | { readonly health: "good"; readonly since: number; readonly afterBreak: boolean }
  | {
      readonly health: "lost";
      readonly since: number;
      /** The worst that was said since; it is not taken back before the connection is. */
      readonly said: "nothing" | "connecting" | "offline";
    };

/** A break that is shorter than this is nobody's business. */
export const SILENT_MS = 2_000;

/** A break that is longer than this is more than a hiccup. */
export const HICCUP_MS = 5_000;

/** How long it is said that all is well again. */
export const RELIEF_MS = 2_500;

/** A page that has just been opened. */
export function healthAtFirst(now: number): Health {
  return { health: "lost", since: now, said: "nothing" };
}

/** How the connection has been, after a look at its state. */
export function healthAfter(before: Health, state: State, now: number): Health {
  if (state.status === "connected") {
    return before.health === "good"
      ? before
      : { health: "good", since: now, afterBreak: before.said !== "nothing" };
  }
  const lost: Health =
    before.health === "lost" ? before : { health: "lost", since: now, said: "nothing" };
  const { status } = bannerOf(lost, state, 0, now);
  switch (status) {
    case "hidden":
    case "connected":
      return lost;
    case "connecting":
      return lost.said === "nothing" ? { ...lost, said: "connecting" } : lost;
    case "offline":
    case "signed-out":
    case "failed":
      return lost.said === "offline" ? lost : { ...lost, said: "offline" };
  }
}

/** What to show now. `waiting` are messages that wait to be sent. */
export function bannerOf(health: Health, state: State, waiting: number, now: number): Banner {
  switch (state.status) {
    case "connected": {
      const isRelief =
        health.health === "good" && health.afterBreak && now - health.since < RELIEF_MS;
      return isRelief ? { status: "connected", text: "Connected" } : { status: "hidden" };
    }
    case "signedOut":
      return { status: "signed-out", text: "You were signed out. Sign in to go on." };
    case "failed":
      return { status: "failed", text: `The connection has ended: ${state.cause.message}` };
    case "closed":
      return { status: "hidden" };
    case "idle":
    case "connecting":
    case "reconnecting":
    case "offline":
      return lostBanner(health, state, waiting, now);
  }
}

type Lost = Extract<State, { status: "idle" | "connecting" | "reconnecting" | "offline" }>;

function lostBanner(health: Health, state: Lost, waiting: number, now: number): Banner {
  if (now - health.since < SILENT_MS) {
    return { status: "hidden" };
  }
  const wasSaid = health.health === "lost" && health.said === "offline";
  const isOffline = state.status === "offline" && now - health.since >= HICCUP_MS;
  if (!isOffline && !wasSaid) {
    return { status: "connecting", text: "Connecting…" };
  }
  const retryAt = "retryAt" in state ? state.retryAt : now;
  return {
    status: "offline",
    text: `Offline. ${waitingText(waiting)}`,
    retryInSeconds: Math.max(0, Math.ceil((retryAt - now) / 1_000)),
  };
}

function waitingText(waiting: number): string {
  switch (waiting) {
    case 0:
      return "What you write is kept and sent later.";
    case 1:
      return "1 message waits to be sent.";
    default:
      return `${waiting} messages wait to be sent.`;
  }
}
