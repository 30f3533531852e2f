"""Waiting for something to become true, without looking again and again."""

import asyncio
import time


class Broken(Exception):
    """A scenario did not go as it says."""


class Bell:
    """Whoever changes something rings; whoever waits looks once for each ring."""

    def __init__(self):
        self.rung = asyncio.Event()
        self.begin = time.monotonic()

    def now(self):
        """Seconds since the scenario began."""
        return time.monotonic() - self.begin

    def ring(self):
        self.rung.set()
        self.rung = asyncio.Event()

    async def until(self, holds, seconds, complaint):
        """Gives the first true answer of `holds`; in vain after so many seconds."""
        deadline = self.now() + seconds
        while True:
            rung = self.rung
            if answer := holds():
                return answer
            left = deadline - self.now()
            if left <= 0:
                raise Broken(f"waited {seconds:g} s in vain: {complaint()}")
            try:
                await asyncio.wait_for(rung.wait(), left)
            except asyncio.TimeoutError:
                pass

    async def pass_by(self, seconds):
        """Lets a little time go by between two looks at what does not ring."""
        await asyncio.sleep(seconds)


def seconds(text):
    """Seconds of a duration such as "250ms" or "3s"; "-5s" is one of the past."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        number = text.removesuffix(unit)
        if number != text and number.removeprefix("-").replace(".", "", 1).isdigit():
            return float(number) * factor
    raise ValueError(f"`{text}` is no duration; write it like 250ms, 3s or 1h")
