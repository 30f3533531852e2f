"""Load of every kind of delivery at once, with a ledger: durable and shared subscriptions that ack,
nack and give up, dead letters replayed and purged, messages for later and cancelled ones, sessions,
revoked tokens, trimmed topics. At the end nothing that was answered may be missing or there twice.
"""

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request

from server import expect
from wire import Ended, Peer

SECRET = "a secret of the fault suite, 32 bytes and more"
CONFIGURATION = f"""
[[auth.keys]]
algorithm = "HS256"
secret = "{SECRET}"
[limits]
session_expiry = "4s"
[server]
drain_timeout = "2s"
[[topic]]
match = "faults"
retention_bytes = "4MiB"
[[topic]]
match = "short"
retention_messages = 50
[[topic]]
match = "loose"
durability = "async"
[[topic]]
match = "#"
attempts_max = 3
backoff_base = "10ms"
backoff_cap = "50ms"
"""
# A session that is held is saved anew at half of its life; a restart takes its part of the rest.
RESUMED_WITHIN = 1.2


def token(user):
    """A token that allows its user to read its inbox."""
    def text(part):
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    claims = {"sub": user, "iat": int(time.time()) - 60, "exp": int(time.time()) + 3600}
    signed = text(b'{"alg":"HS256"}') + b"." + text(json.dumps(claims).encode())
    return (signed + b"." + text(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


class Deliveries:
    """Runs until `finish`, through any number of restarts. Use as a context manager."""

    def __init__(self, server, resets_allowed=False, sessions_last=True):
        self.server, self.life, self.resets_allowed = server, 0, resets_allowed
        self.sessions_last = sessions_last
        self.stop, self.done, self.errors = threading.Event(), threading.Event(), []
        self.acknowledged = {kind: {} for kind in ("jobs", "work", "loose", "timed")}
        self.scheduled, self.cancelled, self.cancel_asked = {}, set(), set()
        self.taken, self.purge_asked, self.tokens, self.revoked = set(), set(), {}, set()
        self.seen, self.repeats, self.unmarked, self.last_new = {}, 0, 0, {}
        self.replayed = self.resumed = self.revocations = 0
        self.lock = threading.Lock()
        work = [self._publish, self._consume, self._operate, self._come_and_go, self._revoke,
                lambda: self._be_a_member(0), lambda: self._be_a_member(1)]
        self.threads = [threading.Thread(target=self._guard, args=(w,), daemon=True) for w in work]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.done.set()
        for thread in self.threads:
            thread.join(30)

    def restarted(self):
        """To be called before each start of the server: what comes now comes from another life."""
        self.life += 1

    def _guard(self, work):
        """Repeats the work on a new connection for as long as there is any."""
        while not self.done.is_set():
            try:
                if work():
                    return
            except (Ended, OSError):
                time.sleep(0.05)
            except Exception as error:  # Told by `finish`; a thread must not die in silence.
                self.errors.append(repr(error))
                return

    def _accepted(self, peer, publish):
        """The answer to a publish, which is tried again for as long as it is refused for now."""
        while True:
            reply = peer.ask({"publish": publish})
            if "error" not in reply:
                return reply
            expect(reply["error"]["temporary"], f"refused for good: {reply}")
            if self.done.is_set():
                raise Ended("given up")
            time.sleep(min(reply["error"].get("retry_after_ms", 50), 200) / 1000)

    def _publish(self):
        """One of each kind in turn; what has no answer goes out again under its key."""
        peer = Peer(self.server.address, timeout=30)
        try:
            while not self.stop.is_set():
                n = len(self.acknowledged["timed"])
                for kind, into in self._kinds(n):
                    if n in self.acknowledged[kind]:
                        continue
                    reply = self._accepted(peer, {"data": [n], "key": f"{kind}-{n}", **into})
                    self.acknowledged[kind][n] = reply.get("published") or reply["scheduled"]
                time.sleep(0.002)
            return True
        finally:
            peer.close()

    def _kinds(self, n):
        # Every fifth is for much later, and is cancelled before.
        self.scheduled.setdefault(n, int(time.time() * 1000) + (600_000 if n % 5 == 4 else 150))
        yield "jobs", {"topic": "jobs"}
        yield "work", {"topic": f"work/{n % 2}", "order_key": f"k{n % 5}"}
        yield "loose", {"topic": "loose"}
        self._accepted_short(n)
        yield "timed", {"topic": "timed", "deliver_at": self.scheduled[n]}

    def _accepted_short(self, n):
        with_http(self.server.port, "POST", "/v1/publish", {"topic": "short", "data": n})

    def _note(self, message, life, stream):
        """A delivery; gives its number and whether it is a replay."""
        place, attempt = (message["topic"], message["offset"]), message.get("attempt", 1)
        number = message["data"][0]
        replay = "tidings-replay" in message.get("headers", {})
        with self.lock:
            before = self.seen.get(place)
            if before is not None:
                self.repeats += 1
                # What lay in the socket of an earlier life may be read late.
                self.unmarked += attempt == 1 and before <= life
            else:
                self.seen[place] = life
                if not replay:
                    late = number < self.last_new.get(stream, -1)
                    expect(not late, f"{place}: {number} came after {self.last_new.get(stream)}")
                    self.last_new[stream] = number
        return number, replay

    def _consume(self):
        """A durable subscriber that gives up every third, by nacks or at once."""
        peer = Peer(self.server.address, timeout=30)
        life = self.life
        try:
            answer = peer.ask({"subscribe": {"topic": "jobs", "durable": "d", "window": 16}})
            if "error" in answer:
                return
            expect(answer["subscribed"]["recovered"], f"not recovered: {answer}")
            for message in messages(peer, self.done, self.resets_allowed):
                number, replay = self._note(message, life, "jobs")
                if number % 3 or replay:
                    # Before the ack: what is acked is not sent again, and must be in the ledger.
                    self.taken.add(("jobs", number))
                    peer.send({"ack": {"sub": "jobs", "offsets": [message["offset"]]}})
                else:
                    how = {"dead": True} if number % 2 else {"delay_ms": 5, "reason": "no"}
                    peer.send({"nack": {"sub": "jobs", "offset": message["offset"], **how}})
        finally:
            peer.close()

    def _be_a_member(self, which):
        """One of two members, which leave together now and then."""
        peer = Peer(self.server.address, timeout=30)
        life, leave_at = self.life, time.monotonic() + 2 + which / 10
        try:
            answer = peer.ask({"subscribe": {"filter": "work/#", "group": "g", "window": 8}})
            if "error" in answer:
                return
            for message in messages(peer, self.done, self.resets_allowed):
                topic, key = message["topic"], message["order_key"]
                number, replay = self._note(message, life, (topic, key))
                about = {"sub": "work/#", "topic": topic}
                if number % 7 or replay:
                    self.taken.add(("work", number))
                    peer.send({"ack": {**about, "offsets": [message["offset"]]}})
                else:
                    peer.send({"nack": {**about, "offset": message["offset"], "dead": True}})
                if time.monotonic() > leave_at and not self.stop.is_set():
                    peer.ask({"unsubscribe": {"sub": "work/#"}})
                    return
        finally:
            peer.close()

    def _operate(self):
        """Replays dead letters, purges some of them, and cancels what is for much later."""
        ask = lambda *request: with_http(self.server.operator, *request)
        page = ask("GET", "/v1/dead-letters?limit=20")
        for letter in (page or {}).get("dead_letters", ()):
            one = f"/v1/dead-letters/{letter['offset']}"
            whole = ask("GET", one) or {}
            number = whole.get("data", [None])[0]
            if number is not None and number % 9 == 0 and letter["topic"] == "jobs":
                self.purge_asked.add(number)
                ask("DELETE", one)
            elif ask("POST", one + "/replay", {}):
                self.replayed += 1
        for n in range(4, len(self.scheduled), 5):
            accepted = self.acknowledged["timed"].get(n)
            if accepted and n not in self.cancelled:
                self.cancel_asked.add(n)
                if ask("DELETE", f"/v1/scheduled/{accepted['id']}") is not None:
                    self.cancelled.add(n)
        time.sleep(0.05)

    def _come_and_go(self):
        """Clients whose sessions must be there after a crash, and some that never come back."""
        if self.stop.is_set():
            return True
        Peer(self.server.address, timeout=30).close()
        peer, life = Peer(self.server.address, timeout=30), self.life
        held, session = time.monotonic(), peer.connected["session"]
        try:
            while not self.stop.is_set():
                peer.ask({"subscribe": {"topic": "mine", "durable": "s"}})
                peer.ask({"unsubscribe": {"sub": "mine"}})
                # A group of one topic has its first cursor saved before it begins.
                group = f"g{time.monotonic_ns()}"
                peer.ask({"subscribe": {"topic": "mine", "group": group}})
                peer.ask({"unsubscribe": {"sub": "mine"}})
                time.sleep(0.05)
            return True
        except (Ended, OSError):
            died = time.monotonic()
        finally:
            peer.close()
        while time.monotonic() < died + RESUMED_WITHIN:
            try:
                again = Peer(self.server.address, timeout=30, session=session)
            except (Ended, OSError):
                time.sleep(0.02)
                continue
            back = time.monotonic()
            again.close()
            # It is saved as it begins, without anybody waiting for that.
            if self.sessions_last and died - held > 0.5 and back < died + RESUMED_WITHIN and life < self.life:
                expect(again.connected["resumed"], "a session was lost")
                self.resumed += 1
            return False
        return False

    def _revoke(self):
        """Revokes tokens that were good; each user's twice, so that one takes another's place."""
        if self.stop.is_set():
            return True
        user = f"u{self.revocations // 2}"
        if user not in self.tokens:
            self.tokens[user] = token(user)
            expect(self._is_let_in(self.tokens[user]), "a good token is refused")
        if with_http(self.server.operator, "POST", f"/v1/users/{user}/revoke", {}) is not None:
            self.revoked.add(user)
            self.revocations += 1
        time.sleep(0.05)
        return False

    def _is_let_in(self, shown):
        """Whether the token counts, whatever it allows."""
        status = status_of(self.server.port, "/v1/history?topic=elsewhere", shown)
        if status is None:
            raise Ended("nobody is there")
        return status != 401

    def finish(self):
        """Ends the publishing, waits until all is settled, and judges. Gives the figures."""
        self.stop.set()
        begin = time.monotonic()
        while not self.errors and (left := self._unsettled()):
            expect(time.monotonic() - begin < 60, f"waited 60 s in vain: {left}")
            time.sleep(0.1)
        self.done.set()
        for thread in self.threads:
            thread.join(30)
        expect(not self.errors, "; ".join(self.errors))
        expect(self.acknowledged["timed"], "nothing was acknowledged")
        self._judge_logs()
        for user in self.revoked:
            expect(not self._is_let_in(self.tokens[user]), f"the revocation of {user} was lost")
        expect(not self.unmarked, f"{self.unmarked} deliveries were repeats without saying so")
        return {"acknowledged": sum(map(len, self.acknowledged.values())), "lost": 0,
                "stored_twice": 0, "replayed": self.replayed, "repeats_marked": self.repeats,
                "cancelled": len(self.cancelled), "revoked": len(self.revoked),
                "sessions_resumed": self.resumed}

    def _unsettled(self):
        """What is still to come, in words; empty if all is settled."""
        owed = {(kind, n) for kind in ("jobs", "work") for n in self.acknowledged[kind]}
        owed -= self.taken | {("jobs", n) for n in self.purge_asked}
        page = with_http(self.server.operator, "GET", "/v1/dead-letters") or {"kept": "?"}
        waiting = with_http(self.server.operator, "GET", "/v1/scheduled") or {"total": "?"}
        if not owed and not page["kept"] and not waiting["total"]:
            return ""
        return (f"{len(owed)} such as {sorted(owed)[:3]} are not taken, {page['kept']} dead letters "
                f"and {waiting['total']} scheduled messages are left")

    def _judge_logs(self):
        logs = {kind: log(self.server, kind) for kind in ("jobs", "loose", "timed")}
        logs["work"] = log(self.server, "work/0") + log(self.server, "work/1")
        for kind, accepted in self.acknowledged.items():
            first = [m for m in logs[kind] if "tidings-replay" not in m.get("headers", {})]
            again = [m for m in logs[kind] if "tidings-replay" in m.get("headers", {})]
            for which in (first, again):
                numbers = [m["data"][0] for m in which]
                expect(len(numbers) == len(set(numbers)), f"{kind}: messages are stored twice")
            for topic in {m["topic"] for m in first} if kind != "timed" else ():
                numbers = [m["data"][0] for m in first if m["topic"] == topic]
                expect(numbers == sorted(numbers), f"{topic}: out of order")
            wanted = set(accepted) - (self.cancel_asked if kind == "timed" else set())
            lost = wanted - {m["data"][0] for m in first}
            expect(not lost, f"{kind}: {len(lost)} are lost, such as {sorted(lost)[:3]}")
            places = {m["data"][0]: m["offset"] for m in first}
            moved = [n for n, a in accepted.items() if a.get("offset", places.get(n)) != places.get(n)]
            expect(not moved or kind == "timed", f"{kind}: {moved[:3]} are elsewhere than was said")
        fired = {m["data"][0] for m in logs["timed"]}
        expect(not fired & self.cancelled, "what was cancelled was published")
        early = [m["data"][0] for m in logs["timed"] if m["at"] < self.scheduled[m["data"][0]]]
        expect(not early, f"{early[:3]} were published before their time")


def messages(peer, done, resets_allowed):
    """The messages that come, until it is over."""
    peer.socket.settimeout(0.5)
    while not done.is_set():
        try:
            frame = peer.next()
        except TimeoutError:
            continue
        if "message" in frame:
            yield frame["message"]
        expect("reset" not in frame or resets_allowed, f"a reset: {frame}")


def log(server, topic):
    """All messages of a topic."""
    peer, found, after = Peer(server.address), [], None
    try:
        while True:
            body = {"topic": topic, "limit": 500, **({"after": after} if after else {})}
            reply = peer.ask({"history": body})["history"]
            found += reply["messages"]
            if not reply["more"] or not reply["messages"]:
                return found
            after = {"epoch": reply["epoch"], "offset": found[-1]["offset"]}
    finally:
        peer.close()


def with_http(port, method, path, body=None):
    """The answer to a request; None if it failed or nobody answered."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as got:
            return json.loads(got.read() or b"{}")
    except (OSError, ValueError, http.client.HTTPException):
        return None


def status_of(port, path, shown):
    """The status of a request with a token; None if nobody answered."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {shown}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None
