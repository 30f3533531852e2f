/**
 * What servers said in the stories of `crates/server/testdata` is described.
 *
 * A story is rewritten by a real server and compared with it by the server's own tests, so it is what
 * is said over real sockets. What differs from run to run stands there as a name, which is given a
 * value here.
 */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { eventFaults, exchangeFaults } from "./answers.ts";
import { ROOT, read } from "./documents.ts";
import { frameFaults } from "./frames.ts";
import { asObject, type JsonObject, parseJson } from "./json.ts";

const FOLDER = "crates/server/testdata/";

const VALUES: readonly (readonly [RegExp, string])[] = [
  [/<time>|\$soon|\$half-a-minute-ago/g, "1795000000000"],
  [/<wait>/g, "1200"],
  [/"\$message-(\d)"/g, '"01JD0M2Q8G000000000000000$1"'],
  [/\$message-(\d)/g, "01JD0M2Q8G000000000000000$1"],
  [/\$epoch-(\d)/g, "Zr$1"],
  [
    /"limits":\{…\}/g,
    '"limits":{"message_bytes":65536,"frame_bytes":1048576,"subscriptions":256,"window":1024,"publishes_in_flight":1024}',
  ],
];

/** A request that is not answered yet. */
interface Asked {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

interface Counts {
  frames: number;
  answers: number;
  events: number;
}

const LINES = {
  frame: /^(\S+) (->|<-) (\{.*\})$/,
  asked: /^(\S+) (?:asks|waits) ([A-Z]+) (\S+)(?: (\{.*\}))?(?: as \$\w+)?$/,
  answer: /^(\S+) <- (\d{3})(?: (.*))?$/,
  event: /^\S+ <- (ready|message|reset|goaway)(?: id=\S+)? (\{.*\})$/,
};

test("what is said in stories is described", () => {
  const names = readdirSync(new URL(FOLDER, ROOT)).filter((name) => name.endsWith(".txt"));
  const counts: Counts = { frames: 0, answers: 0, events: 0 };
  for (const name of names) {
    assert.deepEqual(faultsOf(read(FOLDER + name), counts), [], name);
  }
  assert.ok(
    counts.frames > 100 && counts.answers > 25 && counts.events > 15,
    JSON.stringify(counts),
  );
});

/** What of a story is not described. */
function faultsOf(story: string, counts: Counts): string[] {
  const told = new Telling(counts);
  const found = story.split("\n").flatMap((raw) => {
    const line = VALUES.reduce((text, [name, value]) => text.replace(name, value), raw);
    return told.faults(line).map((fault) => `${raw}\n  ${fault}`);
  });
  return [...found, ...told.unanswered()];
}

/** A story as far as it is told: what waits for its answer. */
class Telling {
  readonly #counts: Counts;
  readonly #requests = new Map<string, Asked[]>();
  /** What is wrong with frames that may yet be refused, by who sent them under which id. */
  readonly #doubtful = new Map<string, string[]>();

  constructor(counts: Counts) {
    this.#counts = counts;
  }

  faults(line: string): string[] {
    const [, who = "", direction, frame] = LINES.frame.exec(line) ?? [];
    if (frame !== undefined) {
      this.#counts.frames += 1;
      const value = asObject(parseJson(frame), frame);
      return direction === "->" ? this.#sent(who, value) : this.#received(who, value);
    }
    const [, event, data] = LINES.event.exec(line) ?? [];
    if (event !== undefined && data !== undefined) {
      this.#counts.events += 1;
      return eventFaults(event, data);
    }
    const [, asker = "", method, target, body = ""] = LINES.asked.exec(line) ?? [];
    if (method === undefined || target === undefined) return this.#answered(line);
    this.#requests.set(asker, [...(this.#requests.get(asker) ?? []), { method, target, body }]);
    return [];
  }

  /** What is wrong and was not refused. */
  unanswered(): string[] {
    return [...this.#doubtful.values()].flat();
  }

  #sent(who: string, frame: JsonObject): string[] {
    const found = frameFaults("client", frame, "closed");
    if (found.length > 0) this.#doubtful.set(`${who} ${frame.id}`, found);
    return [];
  }

  #received(who: string, frame: JsonObject): string[] {
    const sent = `${who} ${frame.id}`;
    const doubts = "error" in frame ? [] : (this.#doubtful.get(sent) ?? []);
    this.#doubtful.delete(sent);
    return [...doubts, ...frameFaults("server", frame, "closed")];
  }

  #answered(line: string): string[] {
    const [, who = "", status, answer = ""] = LINES.answer.exec(line) ?? [];
    if (status === undefined) return [];
    // A stream that is refused was not asked for by a line of its own.
    const stream = { method: "GET", target: "/v1/stream", body: "" };
    const asked = this.#requests.get(who)?.shift() ?? stream;
    this.#counts.answers += 1;
    const port = who === "operator" ? "operator" : "public";
    return exchangeFaults({ port, ...asked, status: Number(status), answer });
  }
}
