/** Keeps the list of who is in one place, from the presence events of its subscription. */

import type { Client, Subscription } from "@tidings/client";
import { type Members, membersOf, peopleOf, withChange } from "./members.ts";
import { Observed } from "./observed.ts";

export class Presence {
  /** Who is here, each once, by name. */
  readonly people = new Observed<readonly string[]>([]);
  readonly #client: Client;
  readonly #topic: string;
  #members: Members = new Map();

  constructor(client: Client, topic: string, subscription: Subscription) {
    this.#client = client;
    this.#topic = topic;
    subscription.on("subscribed", () => this.#ask());
    subscription.on("presence", (change) => {
      if (change.reset) {
        this.#ask();
      } else {
        this.#show(withChange(this.#members, change));
      }
    });
  }

  #ask(): void {
    this.#client
      .presence(this.#topic)
      .then((present) => this.#show(membersOf(present.members)))
      .catch(() => {
        // The connection has ended; after the next one it is asked again.
      });
  }

  #show(members: Members): void {
    this.#members = members;
    const people = peopleOf(members);
    // Devices come and go more often than people; the page need not look then.
    if (people.join("/") !== this.people.value.join("/")) {
      this.people.value = people;
    }
  }
}
