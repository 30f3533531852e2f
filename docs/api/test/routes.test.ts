/** openapi.json has the routes that the server has, and no others. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { operations, type Port } from "./documents.ts";
import { routersOf, routesOf, sources } from "./routers.ts";

/** Where the router of each port is made. */
const ROUTERS: ReadonlyMap<Port, string> = new Map([
  ["public", "crates/server/src/http.rs"],
  ["operator", "crates/server/src/operator.rs"],
]);

/** Pages for people are no part of the interface. */
const PAGES = /^[A-Z]+ \/($|console)/;

const FILES = sources("crates/server/src/");

for (const [port, file] of ROUTERS) {
  test(`the routes of the ${port} port are those of openapi.json`, () => {
    const routed = routesOf(FILES, { file, name: "router" });
    const described = operations
      .filter((operation) => operation.ports.includes(port))
      .map(({ method, path }) => `${method} ${path}`);
    assert.ok(routed.length >= 8, `${routed.length} routes were found in the source`);
    assert.deepEqual(
      [...new Set(routed.filter((route) => !PAGES.test(route)))].sort(),
      described.sort(),
    );
  });
}

test("no route is added anywhere else", () => {
  const known = [...ROUTERS.values()].flatMap((file) => routersOf(FILES, { file, name: "router" }));
  const byName = new Map(known.map((router) => [`${router.path} ${router.name}`, router]));
  const inside = FILES.filter(({ path }) => /\/(http|operator)(\.rs$|\/)/.test(path));
  assert.ok(inside.length > 15);
  for (const { path, text } of inside) {
    const count = text.split(".route(").length - 1;
    const found = [...byName.values()].filter((router) => router.path === path);
    const reached = found.reduce((sum, router) => sum + router.text.split(".route(").length - 1, 0);
    assert.equal(reached, count, `${path} has routes that neither port's router leads to`);
  }
});

test("routes are found however they are written", () => {
  const http = `
const HERE: &str = "/here";
pub(crate) fn router(env: &Env) -> Router {
    let some = topics(env);
    Router::new()
        .route(HERE, any(upgrade))
        .merge(some)
        .merge(deep::routes())
}

fn topics(env: &Env) -> Router<Port> {
    crate::other::shared().route("/a/{b}", get(async || f((1, 2))).delete(remove))
}
`;
  const files = [
    { path: "http.rs", text: http },
    {
      path: "http/deep.rs",
      text: `pub(super) fn routes() -> axum::Router {\n    axum::Router::new()\n        .route(\n            "/long",\n            post(many),\n        )\n}\n`,
    },
    {
      path: "other.rs",
      text: `pub(crate) fn shared() -> Router {\n    Router::new().route("/shared", put(f))\n}\nfn unused() -> Router {\n    Router::new().route("/unused", get(f))\n}\n`,
    },
  ];
  const found = routesOf(files, { file: "http.rs", name: "router" });
  assert.deepEqual(found.sort(), [
    "DELETE /a/{b}",
    "GET /a/{b}",
    "GET /here",
    "POST /long",
    "PUT /shared",
  ]);
  const dynamic = [
    {
      path: "http.rs",
      text: "fn router() -> Router {\n    Router::new().route(PATHS[0], get(f))\n}\n",
    },
  ];
  assert.throws(() => routesOf(dynamic, { file: "http.rs", name: "router" }), /PATHS\[0\]/);
});
