/** How a tab comes into a subscription that runs: nobody may miss a message because of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Joining, joiningOf } from "../../src/tabs/joining.ts";

const standing = { sub: "room", epoch: "e", offset: 20, first: 3, recovered: true, pending: 5 };
/** The server answered when the log ended at 20, and has sent what is up to 18 since. */
const place = { epoch: "e", offset: 18 };
const at = (offset: number, epoch = "e") => ({ epoch, offset });

test("joins where it can, and has the server start again only where that is safe for all", () => {
  const cases: readonly (readonly [ask: object, joining: Joining])[] = [
    [{}, { kind: "join", upTo: at(20), pending: 0 }],
    [{ from: "new" }, { kind: "join", upTo: at(20), pending: 0 }],
    [{ from: "first" }, { kind: "restart", start: { from: "first" } }],
    [{ from: "last" }, { kind: "restart", start: { after: at(18) } }],
    [{ after: at(18) }, { kind: "join", upTo: at(18), pending: 2 }],
    [{ after: at(20) }, { kind: "join", upTo: at(20), pending: 0 }],
    [{ after: at(7) }, { kind: "restart", start: { after: at(7) } }],
    [{ after: at(7, "f") }, { kind: "restart", start: { after: at(7, "f") } }],
    // It may only be ahead of what this link has heard: starting there would skip 19 to 30 for others.
    [{ after: at(30) }, { kind: "look" }],
  ];
  for (const [ask, joining] of cases) {
    assert.deepEqual(joiningOf(ask, standing, place, false), joining, JSON.stringify(ask));
  }
  const ahead = { after: at(30) };
  assert.deepEqual(joiningOf(ahead, standing, place, true), { kind: "restart", start: ahead });
});

test("a filter with wildcards has no place: whoever joins gets what comes", () => {
  const joining = { kind: "join", upTo: undefined, pending: 0 };
  assert.deepEqual(joiningOf({}, { sub: "room/#" }, undefined, false), joining);
});
