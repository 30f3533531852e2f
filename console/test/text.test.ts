/** How values are written, and read from forms and addresses. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { UserState } from "../src/api/types.ts";
import { ago, bytes, cut, duration, iso, short, whole } from "../src/format.ts";
import { carrierOf, draftOf, headersOf, headersText, previewOf } from "../src/message-data.ts";
import { chosenFilters, filtersInWords } from "../src/pages/dead-letter-filters.ts";
import { isNothingKnown } from "../src/pages/user-known.ts";
import { publicAddress } from "../src/public-address.ts";
import { countedReasons, shortReasons } from "../src/reasons.ts";
import { hrefOf, keyInFragment, parseRoute } from "../src/route.ts";
import { settingsOf, settingText } from "../src/setting.ts";

test("numbers, sizes and durations", () => {
  assert.equal(whole(1234567), "1,234,567");
  assert.equal(whole(null), "–");
  assert.equal(short(0.25), "0.25");
  assert.equal(short(12_400), "12.4K");
  assert.equal(bytes(1023), "1023 B");
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(68_157_440), "65.0 MiB");
  assert.equal(duration(0.4), "400 µs");
  assert.equal(duration(12), "12 ms");
  assert.equal(duration(1500), "1.5 s");
  assert.equal(duration(61_000), "1 min 1 s");
  assert.equal(duration(86_403_000), "1 d");
  assert.equal(duration(90_000_000), "1 d 1 h");
  assert.equal(ago(1000, 61_000), "1 min ago");
  assert.equal(ago(1000, 13_900), "12 s ago");
  assert.equal(ago(1000, 1900), "now");
  assert.equal(ago(61_000, 1000), "in 1 min");
  assert.equal(cut("abcdef", 4), "abc…");
  assert.equal(iso(Number.MAX_VALUE), String(Number.MAX_VALUE));
});

test("an address leads back to what it was written from, whatever the name", () => {
  for (const subject of ["room/42", "ü #?&=%/", "a%2Fb", "$dead-letters"]) {
    const route = parseRoute(hrefOf("topics", subject, { view: "history", cursor: "a b&c" }));
    assert.deepEqual(route, {
      page: "topics",
      subject,
      query: { view: "history", cursor: "a b&c" },
    });
  }
  assert.deepEqual(parseRoute(""), { page: "overview", subject: undefined, query: {} });
  assert.deepEqual(parseRoute("#/topics/%E0%A4%A"), {
    page: "topics",
    subject: "%E0%A4%A",
    query: {},
  });
  assert.equal(hrefOf("users", undefined, { prefix: "", cursor: undefined }), "#/users");
});

test("a key is found in the fragment alone", () => {
  assert.equal(keyInFragment("#key=a%2Bb"), "a+b");
  assert.equal(keyInFragment("#/topics?key=x"), undefined);
});

test("data goes into a form and comes back as it was", () => {
  for (const carrier of [
    { data: { a: [1, null] } },
    { data: "text" },
    { data_base64: "AAEC" },
    { data: null },
  ]) {
    assert.deepEqual(carrierOf(draftOf(carrier)), carrier);
  }
  assert.deepEqual(draftOf({ data: "text" }), { kind: "text", text: "text" });
  assert.throws(() => carrierOf({ kind: "json", text: "{" }), /no JSON/);
  assert.throws(() => carrierOf({ kind: "base64", text: "ä" }), /no base64/);
  assert.equal(previewOf({ data_base64: "AAEC" }), "3 bytes");
  assert.equal(previewOf({ data_base64: "AAE=" }), "2 bytes");
});

test("headers are read a line at a time, and a line that is none is named", () => {
  assert.deepEqual(headersOf("a=1\n\n b = x=y "), { a: "1", b: "x=y" });
  assert.deepEqual(headersOf(headersText({ lang: "de", q: "a=b" })), { lang: "de", q: "a=b" });
  assert.throws(() => headersOf("nothing"), /“nothing” is no header/);
});

test("filters of dead letters leave out what says nothing", () => {
  assert.deepEqual(
    chosenFilters({
      topic: "jobs/#",
      user: "",
      since: "2026-11-18T11:06:40Z",
      order: "newest",
      x: "1",
    }),
    {
      topic: "jobs/#",
      since: 1_795_000_000_000,
    },
  );
  assert.deepEqual(chosenFilters({ until: "soon" }), {});
  assert.equal(filtersInWords({}), "every dead letter there is");
  assert.match(filtersInWords({ topic: "a", since: 0 }), /topic a, since 1970-01-01/);
});

test("reasons that come again are counted", () => {
  assert.equal(shortReasons("db down; full; db down; db down"), "3 × db down; full");
  assert.equal(shortReasons("no such recipient"), "no such recipient");
  assert.equal(shortReasons(""), undefined);
  assert.equal(shortReasons(null), undefined);
  assert.equal(countedReasons(["a; b", "a; b"]), "2 × a; b");
});

test("a user is unknown of whom there is nothing but the name", () => {
  const nobody: UserState = {
    user: "nobody",
    online: false,
    last_seen: null,
    connections: [],
    connections_total: 0,
    sessions: [],
    cursors: [],
  };
  const cursor = { durable: "d", topic: "t", next: 1, pending: 0, saved_at: 1 };
  assert.equal(isNothingKnown(nobody), true);
  assert.equal(isNothingKnown({ ...nobody, online: true }), false);
  assert.equal(isNothingKnown({ ...nobody, last_seen: 1 }), false);
  assert.equal(isNothingKnown({ ...nobody, connections_total: 1 }), false);
  assert.equal(isNothingKnown({ ...nobody, sessions: [{ client: "c", expires_at: 1 }] }), false);
  assert.equal(isNothingKnown({ ...nobody, cursors: [cursor] }), false);
});

test("settings are named as the documentation names them", () => {
  assert.deepEqual(
    settingsOf("", { server: { listen: "x" }, topic: [{ match: "a" }, { match: "b" }] }),
    [
      { name: "server.listen", value: "x" },
      { name: "topic[0].match", value: "a" },
      { name: "topic[1].match", value: "b" },
    ],
  );
  assert.deepEqual(settingsOf("http.cors_origins", []), [{ name: "http.cors_origins", value: [] }]);
});

test("settings are written as in the file", () => {
  assert.equal(settingText("1MiB"), '"1MiB"');
  assert.equal(settingText('a "b"\n\\\u007f'), '"a \\"b\\"\\n\\\\\\u007F"');
  assert.equal(settingText(1000000), "1000000");
  assert.equal(settingText(true), "true");
  assert.equal(settingText(false), "false");
  assert.equal(settingText(["a", "b"]), '["a", "b"]');
  assert.equal(settingText([]), "[]");
  assert.equal(
    settingText({ match: "a", ops: ["pub"], kid: null }),
    '{ match = "a", ops = ["pub"] }',
  );
  assert.equal(settingText(null), undefined);
});

test("the public port is looked for on the host of the console", () => {
  const node = (address: string, tls = false) => ({
    public: { address, tls, websocket_path: "/v1/ws" },
  });
  assert.equal(publicAddress(node("127.0.0.1:8000"), "localhost"), "ws://localhost:8000/v1/ws");
  assert.equal(publicAddress(node("0.0.0.0:443", true), "h"), "wss://h:443/v1/ws");
  assert.equal(publicAddress(node("[::]:8000"), "[::1]"), "ws://[::1]:8000/v1/ws");
});
