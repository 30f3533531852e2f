// A fan-out on the npm package `ws`: what arrives is sent to every subscriber of its topic.
// Arguments: the address and the port to listen on.
"use strict";

const { WebSocketServer } = require("ws");

const [host, port] = process.argv.slice(2);
const subscribers = new Map();
const offsets = new Map();

const connected = {
  session: "ws", user: "ws", client: "ws", node: "ws", resumed: false, ping_ms: 25000,
  limits: {
    message_bytes: 65536, frame_bytes: 131072, subscriptions: 256, window: 1024,
    publishes_in_flight: 1024,
  },
};

function subscribe(socket, id, topic) {
  const all = subscribers.get(topic) ?? new Set();
  subscribers.set(topic, all.add(socket));
  socket.on("close", () => all.delete(socket));
  const offset = offsets.get(topic) ?? 0;
  const subscribed = { sub: topic, epoch: "ws", offset, first: 1, recovered: true, pending: 0 };
  socket.send(JSON.stringify({ id, subscribed }));
}

function publish(socket, id, { topic, data }) {
  const offset = (offsets.get(topic) ?? 0) + 1;
  offsets.set(topic, offset);
  const name = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const published = { id: name, offset, epoch: "ws", duplicate: false };
  socket.send(JSON.stringify({ id, published }));
  const message = { topic, offset, id: name, data, from: "ws", at: Date.now() };
  const text = JSON.stringify({ message });
  for (const subscriber of subscribers.get(topic) ?? []) {
    subscriber.send(text);
  }
}

const server = new WebSocketServer({
  host, port: Number(port), backlog: 4096, perMessageDeflate: false, clientTracking: false,
});

server.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.on("message", (bytes) => {
    const frame = JSON.parse(bytes);
    if (frame.publish) {
      publish(socket, frame.id, frame.publish);
    } else if (frame.subscribe) {
      subscribe(socket, frame.id, frame.subscribe.topic);
    } else if (frame.connect) {
      socket.send(JSON.stringify({ id: frame.id, connected }));
    }
  });
});
