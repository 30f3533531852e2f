"""Load that judges itself: publishers that retry, a durable subscriber, and a check at the end.

What is counted is what the documents promise: nothing acknowledged is lost, nothing is stored twice,
the order is one, and a repeated delivery says that it is one.
"""

import collections
import json
import threading
import time

from server import expect
from wire import Ended, Peer

IN_FLIGHT = 16


class Traffic:
    """Publishers and one subscriber, on threads of their own. Use as a context manager."""

    def __init__(self, server, publishers=2, pause=0.0, size=40, topic="faults"):
        self.server, self.pause, self.topic = server, pause, topic
        # One after the other where there is a pause, also after a cut: what is sent again then must not
        # stay in front of what follows, or each message waits for the pauses of others.
        self.in_flight = 1 if pause else IN_FLIGHT
        self.filler = "x" * size
        self.stop, self.done = threading.Event(), threading.Event()
        self.acknowledged = {}  # number -> offset
        self.latencies = []  # (when answered, seconds)
        self.delivered = []  # (offset, number, attempt)
        self.disconnects, self.refusals, self.errors = 0, collections.Counter(), []
        work = [(self._publish, n) for n in range(publishers)] + [(self._receive, None)]
        self.threads = [threading.Thread(target=self._guard, args=each, daemon=True) for each in work]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        self.done.set()
        for thread in self.threads:
            thread.join(90)

    def _guard(self, work, number):
        try:
            work(number)
        except Exception as error:  # Told by `check`; a thread must not die in silence.
            self.errors.append(f"{work.__name__}: {error!r}")

    def _connect(self):
        while not self.done.is_set():
            try:
                return Peer(self.server.address, timeout=90)
            except (OSError, Ended):
                time.sleep(0.05)
        return None

    def _publish(self, publisher):
        number, waiting = 0, collections.OrderedDict()
        while True:
            peer = self._connect()
            if peer is None:
                return
            try:
                # What has no answer goes out again first, with the same keys and in order.
                for each in list(waiting):
                    waiting[each] = time.monotonic()
                    peer.send(self._frame(each))
                while waiting or not self.stop.is_set():
                    while len(waiting) < self.in_flight and not self.stop.is_set():
                        each = f"{publisher}-{number}"
                        number += 1
                        waiting[each] = time.monotonic()
                        peer.send({**self._frame(each), "id": number})
                        time.sleep(self.pause)
                    self._answer(peer, waiting)
                return
            except (Ended, OSError):
                self.disconnects += 1
                if self.done.is_set() and self.stop.is_set():
                    return
            finally:
                peer.close()

    def _frame(self, each):
        number = int(each.split("-")[1]) + 1
        publish = {"topic": self.topic, "data": [each, self.filler], "key": f"{self.topic}-{each}"}
        return {"id": number, "publish": publish}

    def _answer(self, peer, waiting):
        frame = peer.next()
        each = next((e for e in waiting if int(e.split("-")[1]) + 1 == frame.get("id")), None)
        if each is None:
            return
        if "published" in frame:
            now = time.monotonic()
            self.latencies.append((now, now - waiting.pop(each)))
            self.acknowledged[each] = frame["published"]["offset"]
            return
        error = frame["error"]
        self.refusals[error["code"]] += 1
        expect(error["temporary"] or error["code"] == "storage_unavailable", f"refused: {error}")
        time.sleep(min(error.get("retry_after_ms", 100), 1000) / 1000)
        if self.done.is_set():
            raise Ended("given up")
        peer.send(self._frame(each))

    def _receive(self, _):
        while not self.done.is_set():
            peer = self._connect()
            if peer is None:
                return
            try:
                reply = peer.ask({"subscribe": {"topic": self.topic, "durable": "d", "window": 256}})
                if "error" in reply:
                    time.sleep(0.1)
                    continue
                expect(reply["subscribed"]["recovered"], f"not recovered: {reply}")
                peer.socket.settimeout(1.0)
                while not self.done.is_set():
                    try:
                        frame = peer.next()
                    except TimeoutError:
                        continue
                    message = frame.get("message")
                    if message:
                        self.delivered.append(
                            (message["offset"], message["data"][0], message.get("attempt", 1)))
                        peer.send({"ack": {"sub": self.topic, "offset": message["offset"]}})
            except (Ended, OSError):
                self.disconnects += 1
            finally:
                peer.close()

    def p99_ms(self, since=0.0, until=float("inf")):
        taken = sorted(latency for at, latency in self.latencies if since <= at < until)
        return taken[int(len(taken) * 0.99)] * 1000 if taken else float("nan")

    def acks(self, since=0.0, until=float("inf")):
        return sum(since <= at < until for at, _ in self.latencies)

    def redeliveries(self):
        return sum(attempt > 1 for _, _, attempt in self.delivered)

    def finish(self, drained=True, trimmed=False, marked=True):
        """Stops publishing, waits until all has arrived, and judges. Gives the figures."""
        self.stop.set()
        for thread in self.threads[:-1]:
            thread.join(120)
            expect(not thread.is_alive(), "a publisher does not end")
        if drained:
            begin = time.monotonic()
            wanted = set(self.acknowledged.values())
            while not wanted <= {offset for offset, _, _ in self.delivered}:
                expect(time.monotonic() - begin < 120, "not all that was acknowledged is delivered")
                time.sleep(0.1)
        self.done.set()
        self.threads[-1].join(10)
        return self.check(trimmed, marked)

    def check(self, trimmed=False, marked=True):
        expect(not self.errors, "; ".join(self.errors))
        expect(self.acknowledged, "nothing was acknowledged")
        kept = history(self.server, self.topic)
        # What retention has taken is not lost.
        first_kept = min(kept) if trimmed and kept else 0
        lost = [n for n, offset in self.acknowledged.items()
                if offset >= first_kept and kept.get(offset) != n]
        numbers = list(kept.values())
        twice = len(numbers) - len(set(numbers))
        last, unordered = {}, 0
        for name in numbers:
            publisher, number = name.split("-")
            unordered += int(number) <= last.get(publisher, -1)
            last[publisher] = int(number)
        first, places = set(), {}
        unmarked = 0
        for offset, number, attempt in self.delivered:
            # Retention may have taken the other one from the log meanwhile.
            twice += places.setdefault(number, offset) != offset
            expect(kept.get(offset, number) == number, f"offset {offset} was delivered otherwise")
            unmarked += offset in first and attempt == 1
            first.add(offset)
        expect(not lost, f"{len(lost)} acknowledged messages are lost, such as {lost[:3]}")
        expect(not twice, f"{twice} messages are stored twice")
        # Who is refused and tries again is behind what it sent meanwhile.
        expect(not unordered or self.refusals, f"{unordered} messages are out of their publisher's order")
        expect(not (unmarked and marked), f"{unmarked} deliveries were repeats without saying so")
        return {
            "acknowledged": len(self.acknowledged), "lost": 0, "stored_twice": 0,
            "out_of_order": unordered, "delivered": len(self.delivered),
            "redelivered_marked": self.redeliveries(), "repeated_unmarked": unmarked,
            "disconnects": self.disconnects, **({"refused": dict(self.refusals)} if self.refusals else {}),
        }


def history(server, topic):
    """Everything the log holds: offset -> number."""
    peer, kept, after = Peer(server.address), {}, None
    try:
        while True:
            body = {"topic": topic, "limit": 500, **({"after": after} if after else {})}
            reply = peer.ask({"history": body})["history"]
            for message in reply["messages"]:
                kept[message["offset"]] = message["data"][0]
                after = {"epoch": reply["epoch"], "offset": message["offset"]}
            if not reply["more"] or not reply["messages"]:
                return kept
    finally:
        peer.close()


def settle(traffic, seconds):
    """Lets traffic flow for a while; gives the moment at the end."""
    before = len(traffic.acknowledged)
    time.sleep(seconds)
    expect(not traffic.errors, "; ".join(traffic.errors))
    expect(len(traffic.acknowledged) > before, "no publish was acknowledged: " + json.dumps(
        {"disconnects": traffic.disconnects, "refused": dict(traffic.refusals)}))
    return time.monotonic()
