/** Requests against a real server of HTTP, and what is made of its answers. */

import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { ApiError, asApiError, isAborted, Requester } from "../src/api/request.ts";

/** Asks a server that answers so; gives what was thrown. */
async function refusalOf(
  answer: RequestListener,
  refused: () => void = () => {},
): Promise<ApiError> {
  return withServer(answer, async (base) => {
    const requester = new Requester(() => "secret", refused);
    return requester.json({ path: `${base}/v1/x` }).then(
      () => assert.fail("it was answered"),
      (error: unknown) => asApiError(error),
    );
  });
}

async function withServer<Value>(
  answer: RequestListener,
  act: (base: string) => Promise<Value>,
): Promise<Value> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A server that listens on a port has an address of this form.
  const { port } = server.address() as AddressInfo;
  try {
    return await act(`http://127.0.0.1:${port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

test("shows the key, and sends what the query and the body say", async () => {
  const told = await withServer(
    (request, response) => {
      let body = "";
      request.on("data", (piece) => {
        body += piece;
      });
      request.on("end", () => {
        const { url, method, headers } = request;
        response.end(JSON.stringify({ url, method, key: headers.authorization, body }));
      });
    },
    (base) =>
      new Requester(
        () => "secret",
        () => {},
      ).json({
        method: "POST",
        path: `${base}/v1/x`,
        query: { topic: "a/b #", empty: "", none: undefined, limit: 3 },
        body: { a: 1 },
      }),
  );
  assert.deepEqual(told, {
    url: "/v1/x?topic=a%2Fb+%23&limit=3",
    method: "POST",
    key: "Bearer secret",
    body: '{"a":1}',
  });
});

test("an error has the words, the code and the request of the server", async () => {
  const problem = {
    code: "overloaded",
    detail: "too much waits",
    temporary: true,
    request_id: "R",
  };
  const error = await refusalOf((_, response) => {
    response.writeHead(503, { "content-type": "application/problem+json" });
    response.end(JSON.stringify(problem));
  });
  assert.ok(error instanceof ApiError);
  assert.deepEqual(
    [error.code, error.message, error.status, error.temporary, error.requestId],
    ["overloaded", "too much waits", 503, true, "R"],
  );
});

test("an answer that is no problem of ours still says its status", async () => {
  const error = await refusalOf((_, response) => {
    response.writeHead(502).end("<html>");
  });
  assert.deepEqual([error.code, error.status], ["http_502", 502]);
});

test("a key that is not taken is told once to whoever asks for keys", async () => {
  let refused = 0;
  const count = (): void => {
    refused += 1;
  };
  await refusalOf((_, response) => response.writeHead(401).end(), count);
  await refusalOf((_, response) => response.writeHead(403).end(), count);
  assert.equal(refused, 1);
});

test("no answer is a temporary error", async () => {
  const error = await refusalOf((request) => request.socket.destroy());
  assert.deepEqual([error.code, error.temporary], ["unreachable", true]);
});

test("an error of the SDK keeps its code", () => {
  const error = Object.assign(new Error("no"), { code: "bad_filter" });
  assert.equal(asApiError(error).code, "bad_filter");
  assert.equal(asApiError(new Error("no")).code, "page_fault");
});

test("a question that was given up is no error of the server", async () => {
  const stop = new AbortController();
  stop.abort();
  const asked = new Requester(
    () => undefined,
    () => {},
  ).json({ path: "http://127.0.0.1:1/", signal: stop.signal });
  await assert.rejects(asked, (error) => isAborted(error));
});
