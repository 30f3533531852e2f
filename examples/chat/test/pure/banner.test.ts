/** What is said about the connection, and when. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type State, TidingsError } from "@tidings/client";
import {
  type Banner,
  bannerOf,
  type Health,
  healthAfter,
  healthAtFirst,
} from "../../src/banner.ts";

const cause = new TidingsError("connection_lost", "the connection was lost");
const connected: State = {
  status: "connected",
  user: "alice",
  client: "web",
  node: "n1",
  resumed: false,
  via: "websocket",
  waiting: 0,
  hint: "",
};

function reconnecting(retryAt: number): State {
  return { status: "reconnecting", attempt: 1, retryAt, cause, waiting: 0, hint: "" };
}

function offline(retryAt: number): State {
  return { status: "offline", since: 0, attempt: 4, retryAt, cause, waiting: 0, hint: "" };
}

type Look = readonly [now: number, state: State, waiting?: number];

/** The banners of a connection that has these states at these times. */
function banners(...looks: readonly Look[]) {
  let health: Health = healthAtFirst(0);
  return looks.map(([now, state, waiting]): Banner => {
    health = healthAfter(health, state, now);
    return bannerOf(health, state, waiting ?? 0, now);
  });
}

function statuses(...looks: readonly Look[]): readonly string[] {
  return banners(...looks).map(({ status }) => status);
}

test("a break of less than two seconds is not mentioned, nor its end", () => {
  const told = statuses([0, connected], [10_000, reconnecting(10_500)], [11_900, connected]);
  assert.deepEqual(told, ["hidden", "hidden", "hidden"]);
});

test("a longer break is mentioned, then how things stand, and its end for a moment", () => {
  const told = statuses(
    [0, connected],
    [10_000, reconnecting(10_500)],
    [12_000, reconnecting(12_500)],
    [14_999, offline(19_000)],
    [15_000, offline(19_000)],
    [20_000, connected],
    [22_499, connected],
    [22_500, connected],
  );
  const escalated = ["hidden", "hidden", "connecting", "connecting", "offline"];
  assert.deepEqual(told, [...escalated, "connected", "connected", "hidden"]);
});

test("offline it says how many messages wait and when the next attempt is", () => {
  const [, , none, one, three] = banners(
    [0, connected],
    [10_000, offline(19_000)],
    [15_000, offline(20_000)],
    [15_500, offline(20_000), 1],
    [20_500, offline(20_000), 3],
  );
  const retry = (retryInSeconds: number, text: string) => ({
    status: "offline",
    text,
    retryInSeconds,
  });
  assert.deepEqual(none, retry(5, "Offline. What you write is kept and sent later."));
  assert.deepEqual(one, retry(5, "Offline. 1 message waits to be sent."));
  assert.deepEqual(three, retry(0, "Offline. 3 messages wait to be sent."));
});

test("an attempt while offline does not take back that one is offline", () => {
  const trying: State = { status: "connecting", attempt: 1, hint: "" };
  const told = statuses([0, connected], [1, offline(9)], [5_001, offline(9)], [6_000, trying]);
  assert.deepEqual(told, ["hidden", "hidden", "offline", "offline"]);
});

test("a page that cannot connect at first says so after two seconds", () => {
  const trying: State = { status: "connecting", attempt: 1, hint: "" };
  assert.deepEqual(statuses([1_999, trying], [2_000, trying]), ["hidden", "connecting"]);
});

test("who was signed out is told at once, and of the end of it", () => {
  const signedOut: State = { status: "signedOut", cause, waiting: 0, hint: "" };
  const told = statuses([0, connected], [10, signedOut], [5_000, connected]);
  assert.deepEqual(told, ["hidden", "signed-out", "connected"]);
});

test("a failure says what is wrong", () => {
  const [told] = banners([0, { status: "failed", cause, waiting: 0, hint: "" }]);
  assert.deepEqual(told, {
    status: "failed",
    text: "The connection has ended: the connection was lost",
  });
});
