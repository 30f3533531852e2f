/**
 * Loads a server that one tries the console on: many topics, then messages at a steady rate.
 *
 *     node --import tsx console/scripts/load.ts [--server URL] [--topics N] [--rate N] [--seconds N]
 *
 * It publishes over HTTP, to `tidings dev` at its usual address unless told otherwise.
 */

import { parseArgs } from "node:util";

/** Topics in one request: what a broadcast takes. */
const BROADCAST_MAX = 1000;

/** Time between two requests of the steady rate. */
const TICK_MS = 20;

async function post(address: URL, body: unknown): Promise<void> {
  const response = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok)
    throw new Error(`${address} answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

async function makeTopics(server: string, count: number): Promise<void> {
  const address = new URL("/v1/broadcast", server);
  const begun = performance.now();
  for (let first = 0; first < count; first += BROADCAST_MAX) {
    const size = Math.min(BROADCAST_MAX, count - first);
    const topics = Array.from({ length: size }, (_, index) => `load/topic/${first + index}`);
    await post(address, { topics, data: { made: true } });
  }
  console.log(`${count} topics in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

async function publishSteadily(server: string, rate: number, seconds: number): Promise<void> {
  const address = new URL("/v1/publish/batch", server);
  const begun = performance.now();
  let published = 0;
  while (performance.now() - begun < seconds * 1000) {
    const due = Math.floor(((performance.now() - begun) / 1000) * rate);
    const size = Math.min(1000, due - published);
    if (size > 0) {
      const messages = Array.from({ length: size }, (_, index) => ({
        topic: "load/fast",
        data: { number: published + index, text: "x".repeat(80) },
      }));
      await post(address, { messages });
      published += size;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  const took = (performance.now() - begun) / 1000;
  console.log(
    `${published} messages in ${took.toFixed(1)} s, ${(published / took).toFixed(0)} a second`,
  );
}

const { values } = parseArgs({
  options: {
    server: { type: "string", default: "http://127.0.0.1:8000" },
    topics: { type: "string", default: "100000" },
    rate: { type: "string", default: "1000" },
    seconds: { type: "string", default: "60" },
  },
});
await makeTopics(values.server, Number(values.topics));
await publishSteadily(values.server, Number(values.rate), Number(values.seconds));
