"""Ways in which an SDK can be wrong, each with a scenario that has to find it.

Nobody writes broken SDKs to try a suite out. So the runner spoils what a good one does: what its
adapter tells, what it is told, or what it sends and hears over the wire. `run --prove SDK` fails if
a breakage goes unnoticed.
"""

import itertools


class Breakage:
    """A good SDK as it is, in all three places; each kind of breakage spoils one."""

    def __init__(self, name, caught_by):
        self.name, self.caught_by = name, caught_by

    def told(self, event):
        """The events that the runner hears for one that the adapter told."""
        return [event]

    def swallows(self, _command):
        """Whether the adapter never hears of a command, and answers all the same."""
        return False

    def on_wire(self, _origin, frame):
        """The frame that gets through for one that was sent; None if none does."""
        return frame


class Told(Breakage):
    def __init__(self, name, caught_by, kind, spoil):
        super().__init__(name, caught_by)
        self.kind, self.spoil, self.count = kind, spoil, itertools.count(1)

    def told(self, event):
        return self.spoil(event, next(self.count)) if event["event"] == self.kind else [event]


class Unheard(Breakage):
    def __init__(self, name, caught_by, command):
        super().__init__(name, caught_by)
        self.command = command

    def swallows(self, command):
        return command["do"] == self.command


class OnWire(Breakage):
    def __init__(self, name, caught_by, origin, kind, spoil):
        super().__init__(name, caught_by)
        self.origin, self.kind, self.spoil, self.count = origin, kind, spoil, itertools.count(1)

    def on_wire(self, origin, frame):
        if origin != self.origin or not isinstance(frame, dict) or self.kind not in frame:
            return frame
        body = self.spoil(dict(frame[self.kind]), next(self.count))
        return None if body is None else {**frame, self.kind: body}


class Deaf(Breakage):
    def on_wire(self, origin, frame):
        """To a client that does not listen, the end is a connection that was lost."""
        is_end = isinstance(frame, dict) and ("goaway" in frame or "close" in frame)
        return None if origin == "server" and is_end else frame


def without(*names):
    return lambda body, _: {name: value for name, value in body.items() if name not in names}


def up_to(body, _):
    """An ack of some that takes everything before them along."""
    offsets = body.get("offsets", [body.get("offset", 1)])
    return {**without("offsets")(body, 0), "offset": max(offsets)}


def with_new_key(body, count):
    return {**body, "key": f"key-{count}"}


def losing(number):
    return lambda event, count: [] if count == number else [event]


def repeating(number):
    return lambda event, count: [event, event] if count == number else [event]


def always(**fields):
    return lambda event, _: [{**event, **fields}]


def all_breakages():
    """Made anew for each use: some count."""
    return [
        Told("loses a message", "cut-between-messages", "message", losing(7)),
        Told("hands a message out twice", "held-over-a-cut", "message", repeating(2)),
        Told("tells a first attempt always", "crashed-application", "message", always(attempt=1)),
        Told("keeps a reset to itself", "another-log", "reset", lambda *_: []),
        Told("keeps the end of a subscription to itself", "durable-taken-over", "ended", lambda *_: []),
        Unheard("drops acks", "ack", "ack"),
        Unheard("drops nacks", "nack-with-delay", "nack"),
        Unheard("drops extends", "extend", "extend"),
        Unheard("stays subscribed", "unsubscribe", "unsubscribe"),
        Unheard("stays when it is closed", "connect", "close"),
        OnWire("hides its session", "session-shown", "client", "connect", without("session")),
        OnWire("hides its name", "connect", "client", "connect", without("client")),
        OnWire("forgets its place", "cut", "client", "subscribe", without("after")),
        OnWire("forgets where it began", "cut-before-the-first-message", "client", "subscribe",
               without("after")),
        OnWire("makes a new key for a repeat", "answer-lost", "client", "publish", with_new_key),
        OnWire("sends no keys", "publish", "client", "publish", without("key")),
        OnWire("forgets headers", "whole-message", "client", "publish", without("headers")),
        OnWire("publishes at once", "scheduled", "client", "publish", without("deliver_at")),
        OnWire("keeps what it cannot use", "inbox-nobody-wants", "client", "unsubscribe",
               lambda *_: None),
        OnWire("acks too much", "ack-out-of-order", "client", "ack", up_to),
        OnWire("acks what is other members'", "shared", "client", "ack", up_to),
        OnWire("acks in a filter without the topic", "shared-filter", "client", "ack", without("topic")),
        OnWire("acks messages of another log", "ack-of-another-log", "client", "ack",
               up_to),
        OnWire("nacks at once", "nack-with-delay", "client", "nack", without("delay_ms")),
        OnWire("nacks what it gives up", "give-up", "client", "nack", without("dead")),
        OnWire("shows no fresh token", "token-refreshed", "client", "refresh", lambda *_: None),
        OnWire("answers no ping", "heartbeat", "client", "pong", lambda *_: None),
        OnWire("does not hear when to come back", "goaway-waits", "proxy", "goaway",
               without("retry_after_ms")),
        Deaf("does not hear that it was sent away", "sent-away"),
    ]
