"""The adapter of the SDK under test: a process that is told what to do, one JSON object a line."""

import asyncio
import json
import os
import signal

from bell import Broken

# Longer lines are no conformance; a history of all that a scenario publishes is far below.
LINE_BYTES_MAX = 16 << 20
FAREWELL_SECONDS = 5


class Adapter:
    """One client. What it tells is kept in the order in which it came."""

    def __init__(self, name, bell, errors, breakage):
        self.name, self.bell, self.errors, self.breakage = name, bell, errors, breakage
        self.events, self.answers, self.asked = [], {}, {}
        self.process, self.reading, self.next_id, self.ending = None, None, 1, None

    async def start(self, command, directory):
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=open(self.errors, "ab"), limit=LINE_BYTES_MAX,
            # What it starts itself ends with it.
            start_new_session=True,
        )
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        try:
            while line := await self.process.stdout.readline():
                self._take(line)
            self.ending = "it ended"
        except ValueError as error:
            self.ending = str(error)
        self.bell.ring()

    def _take(self, line):
        try:
            said = json.loads(line)
        except ValueError:
            raise ValueError(f"it wrote what is no JSON to standard output: {line[:200]!r}") from None
        if not isinstance(said, dict) or not ("event" in said or "id" in said):
            raise ValueError(f"a line is an `event`, or an answer with `id`: {line[:200]!r}")
        if "event" in said:
            at = round(self.bell.now(), 3)
            self.events += [{"at": at, **event} for event in self.breakage.told(said)]
        elif said["id"] not in self.asked or said["id"] in self.answers:
            raise ValueError(f"it answered what was not asked, or twice: {line[:200]!r}")
        else:
            self.answers[said["id"]] = said
        self.bell.ring()

    def ask(self, command):
        """Tells it to do something; gives the id that the answer will carry."""
        identity, self.next_id = self.next_id, self.next_id + 1
        self.asked[identity] = command
        if self.ending:
            raise Broken(f"the adapter of {self.name} is gone: {self.ending}{self.last_words()}")
        if self.breakage.swallows(command):
            self.answers[identity] = {"id": identity, "ok": {}}
            return identity
        self.process.stdin.write(json.dumps({"id": identity, **command}).encode() + b"\n")
        return identity

    async def answer(self, identity, patience):
        def waiting_for():
            return f"an answer of {self.name} to {self.asked[identity]}"

        return await self.until(lambda: self.answers.get(identity), patience, waiting_for)

    async def until(self, holds, patience, complaint):
        """Waits for something it tells; an adapter that has gone is told at once."""
        def looked():
            answer = holds()
            if not answer and self.ending:
                raise Broken(f"{complaint()}, but its adapter is gone: {self.ending}{self.last_words()}")
            return answer

        return await self.bell.until(looked, patience, complaint)

    def last_words(self):
        try:
            text = self.errors.read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""
        return f"; it said: {text[-400:]}" if text else ""

    async def stop(self):
        """Ends the process: by the end of its input, and if it does not listen, by a signal."""
        if not self.process:
            return
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), FAREWELL_SECONDS)
        except asyncio.TimeoutError:
            pass
        self.kill()
        await self.process.wait()
        if self.reading:
            self.reading.cancel()

    def kill(self):
        """Ends it without a word, with whatever it has started: its group is its own."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
