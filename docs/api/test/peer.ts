/** A client of the WebSocket that holds every frame against asyncapi.json. */

import assert from "node:assert/strict";
import { frameFaults } from "./frames.ts";
import { asObject, type JsonObject, parseJson } from "./json.ts";

/** How long a frame may take to come. */
const PATIENCE_MS = 10_000;

/** One connection. */
export class Peer {
  readonly #socket: WebSocket;
  readonly #frames: JsonObject[] = [];
  readonly #faults: string[] = [];
  #wake: () => void = () => {};
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
  }

  /** Opens a connection and says `connect`. */
  static async connect(address: string, client: string): Promise<Peer> {
    const url = `${address.replace("http", "ws")}/v1/ws`;
    const socket = new WebSocket(url, ["tidings.v1.json"]);
    const peer = new Peer(socket);
    await new Promise((opened, failed) => {
      socket.addEventListener("open", opened, { once: true });
      socket.addEventListener("error", failed, { once: true });
    });
    await peer.ask("connect", { client });
    return peer;
  }

  /** Sends a request, and gives the reply. A request that is taken has to be described. */
  async ask(kind: string, body: JsonObject): Promise<JsonObject> {
    this.#id += 1;
    const id = this.#id;
    const frame = { id, [kind]: body };
    this.#socket.send(JSON.stringify(frame));
    const reply = await this.next((candidate) => candidate.id === id);
    if (!("error" in reply)) assert.deepEqual(frameFaults("client", frame, "closed"), []);
    return reply;
  }

  /** The next frame of a kind that was not taken yet. */
  async take(kind: string): Promise<JsonObject> {
    const frame = await this.next((candidate) => kind in candidate && !("id" in candidate));
    return asObject(frame[kind], kind);
  }

  /** The first frame that `fits`. */
  async next(fits: (frame: JsonObject) => boolean): Promise<JsonObject> {
    const late = Date.now() + PATIENCE_MS;
    for (;;) {
      const index = this.#frames.findIndex(fits);
      const [frame] = index < 0 ? [] : this.#frames.splice(index, 1);
      if (frame !== undefined) return frame;
      assert.ok(Date.now() < late, `nothing fits: ${JSON.stringify(this.#frames)}`);
      await new Promise<void>((resume) => {
        this.#wake = resume;
        setTimeout(resume, 100);
      });
    }
  }

  /** What of the server's frames is not described. */
  get faults(): readonly string[] {
    return this.#faults;
  }

  /** Closes the connection. */
  close(): void {
    this.#socket.close();
  }

  #receive(text: string): void {
    for (const line of text.split("\n").filter((line) => line.trim() !== "")) {
      const frame = asObject(parseJson(line), line);
      this.#faults.push(
        ...frameFaults("server", frame, "closed").map((fault) => `${line}: ${fault}`),
      );
      this.#frames.push(frame);
    }
    this.#wake();
  }
}
