"""One connection of a client through the proxy to the server, looked at frame by frame."""

import asyncio
import contextlib
import json

from websocket_frames import BINARY, CLOSE, TEXT, Messages, Parser, pack, pack_close

READ_BYTES = 1 << 16


class Wire:
    def __init__(self, network, number, reader, writer):
        self.network, self.number = network, number
        self.reader, self.writer = reader, writer
        self.upstream, self.flowing = None, asyncio.Event()
        self.flowing.set()
        self.is_over, self.is_hung_up = False, False

    async def run(self, fate):
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.network.note("client", self.number, {"request": head.split(b"\r\n")[0].decode()})
        if fate == "silent":
            await self.reader.read()
            return
        if fate != "open":
            self.writer.write(fate)
            await self.writer.drain()
            self.writer.close()
            return
        if not self.network.server.process:
            return
        from_server, self.upstream = await asyncio.open_connection(*self.network.server.public)
        self.upstream.write(head)
        answer = await from_server.readuntil(b"\r\n\r\n")
        self.writer.write(answer)
        is_websocket = answer.startswith(b"HTTP/1.1 101")
        self.network.note("server", self.number, {"answer": answer.split(b"\r\n")[0].decode()})
        pump = self._pump_frames if is_websocket else self._pump_bytes
        both = [
            asyncio.create_task(pump("client", self.reader, self.upstream)),
            asyncio.create_task(pump("server", from_server, self.writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self.is_hung_up:
                # The client has the last word: it answers the close, or goes.
                await both[0]
            else:
                await asyncio.sleep(0)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            await self._part()

    async def _part(self):
        """Ends both sides in good order, unless they were cut."""
        for writer in (self.writer, self.upstream):
            if writer and not self.is_over:
                with contextlib.suppress(OSError):
                    writer.close()
                    await writer.wait_closed()

    async def _pump_bytes(self, _, reader, writer):
        while data := await reader.read(READ_BYTES):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()

    async def _pump_frames(self, origin, reader, writer):
        parser, messages = Parser(), Messages()
        while data := await reader.read(READ_BYTES):
            for piece in parser.feed(data):
                await self.flowing.wait()
                if self.is_hung_up and origin == "server":
                    return
                frames, raw = told(messages.feed(piece)), piece.raw
                changed = self.network.changed(origin, frames)
                if changed is not None:
                    frames, raw = changed, packed(changed, origin)
                trap = self.network.is_trapped(origin, frames)
                for frame in frames:
                    self.network.note(origin, self.number, frame, is_held=trap == "lost")
                if trap != "lost" and not self.is_hung_up:
                    await self._write(origin, writer, raw)
                if last_word := self.network.last_word:
                    self.network.last_word = None
                    self.hang_up(last_word["code"], last_word["reason"])
                if trap:
                    await self._break_behind(writer)
                    return

    async def _write(self, origin, writer, data):
        pace = self.network.pace if origin == "server" else None
        if pace is None:
            writer.write(data)
        else:
            bytes_at_once, pause = pace
            for at in range(0, len(data), bytes_at_once):
                writer.write(data[at : at + bytes_at_once])
                await writer.drain()
                await asyncio.sleep(pause)
        await writer.drain()

    async def _break_behind(self, writer):
        """Cuts the client off, once what was let through is out of the proxy's hands."""
        with contextlib.suppress(OSError):
            await writer.drain()
        self.writer.transport.abort()
        if self.upstream:
            # The server reads to the end what had arrived, and then finds the client gone.
            self.upstream.close()

    def say(self, text, frames):
        for frame in frames:
            self.network.note("proxy", self.number, frame)
        self.writer.write(pack(text))

    def hang_up(self, code, reason):
        self.is_hung_up = True
        self.network.note("proxy", self.number, {"close": {"code": code, "reason": reason}})
        self.writer.write(pack_close(code, reason))
        if self.upstream:
            self.upstream.transport.abort()

    def cut(self):
        """Breaks both sides at once, as a network does that is gone."""
        self.is_over = True
        self.flowing.set()
        for writer in (self.writer, self.upstream):
            if writer:
                writer.transport.abort()


def packed(frames, origin):
    """Frames that were changed, as bytes; none at all, if none are left."""
    text = "\n".join(json.dumps(frame) for frame in frames)
    return pack(text, is_masked=origin == "client") if frames else b""


def told(message):
    """The frames of the protocol in a message of WebSocket; of what is none, what it is."""
    if message is None:
        return []
    opcode, payload = message
    if opcode == TEXT:
        return [parsed(line) for line in payload.splitlines() if line.strip()]
    if opcode == CLOSE:
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
        return [{"close": {"code": code, "reason": payload[2:].decode(errors="replace")}}]
    return [{"binary": len(payload)}] if opcode == BINARY else []


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return {"unreadable": line[:200].decode(errors="replace")}
