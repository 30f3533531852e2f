/** Requests that change nothing and so are simply asked again: history and presence. */

import { serverError, TidingsError } from "./errors.ts";
import type { ServerFrame } from "./frames.ts";
import { QUESTIONS_IN_FLIGHT_MAX, QUESTIONS_MAX } from "./limits.ts";
import type { Line, Saying } from "./line.ts";

/** Something asked, and who waits. */
interface Question {
  readonly saying: Saying;
  readonly resolve: (reply: ServerFrame) => void;
  readonly reject: (error: TidingsError) => void;
}

/** Questions until they are answered, over reconnects. */
export class Questions {
  #waiting: Question[] = [];
  readonly #inFlight = new Set<Question>();
  #line: Line | undefined;

  /** Asks, now or with the next connection. Rejects with what the server refuses it with. */
  ask(saying: Saying): Promise<ServerFrame> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= QUESTIONS_MAX) {
        const words = `${QUESTIONS_MAX} requests wait already`;
        throw new TidingsError("limit_reached", words, { temporary: true });
      }
      this.#waiting.push({ saying, resolve, reject });
      this.#send();
    });
  }

  connected(line: Line): void {
    this.#line = line;
    this.#send();
  }

  disconnected(): void {
    this.#line = undefined;
  }

  close(error: TidingsError): void {
    const all = [...this.#inFlight, ...this.#waiting];
    this.#line = undefined;
    this.#waiting = [];
    this.#inFlight.clear();
    for (const question of all) {
      question.reject(error);
    }
  }

  #send(): void {
    const line = this.#line;
    while (line !== undefined && this.#inFlight.size < QUESTIONS_IN_FLIGHT_MAX) {
      const question = this.#waiting.shift();
      if (question === undefined) {
        return;
      }
      this.#inFlight.add(question);
      line.ask(question.saying, (reply) => this.#answered(question, reply));
    }
  }

  #answered(question: Question, reply: ServerFrame | undefined): void {
    if (!this.#inFlight.delete(question)) {
      return;
    }
    if (reply === undefined) {
      this.#waiting.push(question);
    } else if (reply.kind === "error") {
      question.reject(serverError(reply.body));
    } else {
      question.resolve(reply);
    }
    this.#send();
  }
}
