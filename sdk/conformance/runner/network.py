"""The network of one client: a proxy in front of the server that can do what networks do."""

import asyncio
import json

from wire import Wire


class Network:
    """Listens on one port for as long as the scenario runs, whatever becomes of the server."""

    def __init__(self, name, server, bell, breakage):
        self.name, self.server, self.bell, self.breakage = name, server, bell, breakage
        # How new connections fare: "open", "silent" (nobody answers), or an HTTP answer as bytes.
        self.fate = "open"
        # Bytes at a time and seconds between them, from the server to the client.
        self.pace = None
        # Frames at whose sight the connection is cut: (from whom, kind, whether it gets through).
        self.traps = []
        # What becomes of the next frame of a kind: (from whom, kind, what it becomes).
        self.changes = []
        self.wires, self.seen, self.attempts, self.ends = [], [], [], []
        # The close that follows the frame that is on its way: a code and a reason.
        self.last_word = None
        # How much of what was seen the scenario has looked at.
        self.looked = 0
        self.listener, self.port, self.tasks = None, 0, set()

    async def open(self):
        self.listener = await asyncio.start_server(
            self._accepted, "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self.listener.sockets[0].getsockname()[1]

    def url(self):
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def live(self):
        return [wire for wire in self.wires if not wire.is_over]

    def note(self, origin, wire, frame, is_held=False):
        """Something was seen on its way."""
        held = {"held": True} if is_held else {}
        entry = {"at": round(self.bell.now(), 3), "from": origin, "connection": wire, "frame": frame}
        self.seen.append({**entry, **held})
        self.bell.ring()

    async def _accepted(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        wire = Wire(self, len(self.wires) + 1, reader, writer)
        self.wires.append(wire)
        self.attempts.append(self.bell.now())
        self.bell.ring()
        try:
            await wire.run(self.fate)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.note("network", wire.number, {"broken": str(error)})
        except asyncio.CancelledError:
            # The scenario is over; whoever cancelled waits for the end of this.
            pass
        finally:
            wire.cut()
            self.ends.append(self.bell.now())
            self.bell.ring()
            self.tasks.discard(asyncio.current_task())

    # What a step can make of it.

    async def cut(self, _):
        """Every connection breaks, and new ones are made."""
        for wire in self.live():
            wire.cut()

    async def refuse(self, _):
        """Every connection breaks, and nobody listens."""
        self.listener.close()
        await self.cut(None)

    async def silence(self, _):
        """Nothing gets through any more, and new connections are not answered either."""
        self.fate = "silent"
        await self.freeze(None)

    async def freeze(self, _):
        """The connections that are there go nowhere; nobody tells the client. New ones are fine."""
        for wire in self.live():
            wire.flowing.clear()

    async def answer(self, step):
        """Requests for a WebSocket are answered with a status, as proxies do that know none."""
        body = json.dumps(step.get("body", {})).encode()
        headers = {"Content-Length": len(body), "Connection": "close", **step.get("headers", {})}
        lines = [f"HTTP/1.1 {step['status']} No", *(f"{name}: {value}" for name, value in headers.items())]
        self.fate = "\r\n".join([*lines, "", ""]).encode() + body
        await self.cut(None)

    async def heal(self, _):
        """All is well again, but for what is broken already."""
        self.fate, self.pace = "open", None
        if not self.listener.is_serving():
            await self.open()

    async def slow(self, step):
        """What comes from the server comes a few bytes at a time."""
        self.pace = step.get("bytes", 3), step.get("every_ms", 1) / 1000

    async def cut_at(self, step):
        """The next frame of a kind is the last that is seen: it is lost, or let through."""
        self.traps.append((step["from"], step["frame"], step.get("arrives", False)))

    async def swap(self, step):
        """The next frame of a kind becomes another: the answer to the same request, if it was one."""
        kind, new = step["frame"], step["to"]

        def other(frame):
            self.last_word = step.get("close")
            return {**{name: part for name, part in frame.items() if name != kind}, **new}

        self.changes.append((step["from"], kind, other))

    async def alter(self, step):
        """The next frame of a kind has further fields, in its body and around it."""
        kind, more = step["frame"], step["with"]

        def more_of_it(frame):
            return {**more, **frame, kind: {**more, **frame[kind]}}

        self.changes.append((step["from"], kind, more_of_it))

    def changed(self, origin, frames):
        """These frames with what was asked for; None if that is nothing."""
        spoiled = (self.breakage.on_wire(origin, frame) for frame in frames)
        new = [frame for frame in spoiled if frame is not None]
        for change in list(self.changes):
            changed_from, kind, become = change
            at = next((n for n, f in enumerate(new) if isinstance(f, dict) and kind in f), None)
            if changed_from == origin and at is not None:
                new[at] = become(new[at])
                self.changes.remove(change)
        return new if new != list(frames) else None

    async def inject(self, step):
        """Says something to the client as if the server had."""
        frames = [self.breakage.on_wire("proxy", frame) for frame in step["frames"]]
        text = "\n".join(frame if isinstance(frame, str) else json.dumps(frame) for frame in frames)
        for wire in self.live():
            wire.say(text, frames)

    async def close(self, step):
        """Closes the WebSocket as if the server had; what has `frames` says those first."""
        if "frames" in step:
            await self.inject(step)
        for wire in self.live():
            wire.hang_up(step["code"], step.get("reason", ""))

    def is_trapped(self, origin, frames):
        """Whether one of these frames is what a trap waits for; None, or whether it gets through."""
        for trap in self.traps:
            trapped_from, kind, arrives = trap
            if trapped_from == origin and any(isinstance(f, dict) and kind in f for f in frames):
                self.traps.remove(trap)
                return "arrives" if arrives else "lost"
        return None

    async def end(self):
        if self.listener:
            self.listener.close()
        for wire in self.live():
            wire.cut()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


DEEDS = {
    "cut": Network.cut, "refuse": Network.refuse, "silence": Network.silence, "freeze": Network.freeze,
    "answer": Network.answer, "heal": Network.heal, "slow": Network.slow, "cut_at": Network.cut_at,
    "inject": Network.inject, "swap": Network.swap, "alter": Network.alter, "close": Network.close,
}
