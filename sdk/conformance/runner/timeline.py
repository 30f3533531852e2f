"""What a client has told, and how far a scenario has followed it.

Events form streams: the messages of one subscription, its resets, the states of the connection, and
so on. In a strict stream the next event is the expected one or the scenario fails: that is how
missing, repeated and disordered messages are found. States, and that a subscription stands, may come
more often than a scenario says, since a connection may take any number of attempts; there what is
expected is looked for further on.
"""

from bell import Broken
from matching import difference

STRICT = ("message", "reset", "ended")
LOOSE = ("state", "subscribed", "presence", "token_asked", "hello", "refused", "missed")


class Timeline:
    def __init__(self, adapter):
        self.adapter = adapter
        # Of each stream, how many of all events were looked at.
        self.followed = {}
        self.taken = set()

    def next_in(self, stream):
        """The next event of a stream, with its place; None if it has not come yet."""
        kind, sub = stream
        for at in range(self.followed.get(stream, 0), len(self.adapter.events)):
            event = self.adapter.events[at]
            if at not in self.taken and event["event"] == kind and (sub is None or event.get("sub") == sub):
                return at, event
        return None

    def take(self, at, stream):
        self.taken.add(at)
        self.followed[stream] = at + 1

    async def expect(self, kind, matcher, patience):
        """Follows one stream to the event that matches; gives it."""
        if kind not in STRICT + LOOSE:
            raise ValueError(f"there are no `{kind}` events: there are {', '.join(STRICT + LOOSE)}")
        stream = kind, matcher.get("sub")

        def found():
            while candidate := self.next_in(stream):
                at, event = candidate
                wrong = difference(matcher, event)
                if not wrong:
                    self.take(at, stream)
                    return event
                if kind in STRICT:
                    of_what = f"the next {kind} of {stream[1] or 'all'}"
                    told = f"{of_what} is another: {wrong}; it is {brief(event)}"
                    raise Broken(f"{self.adapter.name}: {told}")
                if event.get("status") == "ended":
                    told = f"has given up, and was to tell {kind} {brief(matcher)}"
                    raise Broken(f"{self.adapter.name} {told}: {brief(event)}")
                self.followed[stream] = at + 1
            return None

        def complaint():
            last = [brief(event) for event in self.adapter.events[-3:]]
            return f"{self.adapter.name} to tell {kind} {brief(matcher)}; the last it told is {last}"

        return await self.adapter.until(found, patience, complaint)

    def left_over(self):
        """Strict events that nobody expected."""
        events = enumerate(self.adapter.events)
        return [event for at, event in events if event["event"] in STRICT and at not in self.taken]


async def shared_out(timelines, sub, values, bell, patience):
    """Each of these values comes to exactly one of the clients, in any order."""
    missing = list(values)

    def found():
        for timeline in timelines:
            while candidate := timeline.next_in(("message", sub)):
                at, event = candidate
                if event.get("data") not in missing:
                    told = f"got what nobody was to get any more: {brief(event)}"
                    raise Broken(f"{timeline.adapter.name} {told}")
                missing.remove(event["data"])
                timeline.take(at, ("message", sub))
        return not missing

    names = " and ".join(timeline.adapter.name for timeline in timelines)
    await bell.until(found, patience, lambda: f"{names} to share {missing}")


def brief(event):
    text = str(event)
    return text if len(text) <= 300 else f"{text[:300]}…"
