"""The native protocol over a plain socket: just enough of it to load a server and judge it."""

import base64
import json
import os
import socket
import struct

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Ended(Exception):
    """The connection is over."""


def request(host="localhost"):
    """The upgrade request."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Protocol: tidings.v1.json\r\n\r\n"
    ).encode()


def pack(text, opcode=TEXT):
    """A masked frame; the mask is zero, which is as good as any other for a test."""
    payload = text.encode() if isinstance(text, str) else text
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def unpack(buffer):
    """Takes the whole messages off the front of a bytearray: a list of (opcode, payload)."""
    found, at = [], 0
    while len(buffer) - at >= 2:
        size, head = buffer[at + 1] & 0x7F, 2
        if size == 126:
            if len(buffer) - at < 4:
                break
            size, head = struct.unpack_from("!H", buffer, at + 2)[0], 4
        elif size == 127:
            if len(buffer) - at < 10:
                break
            size, head = struct.unpack_from("!Q", buffer, at + 2)[0], 10
        if len(buffer) - at < head + size:
            break
        found.append((buffer[at] & 0x0F, bytes(buffer[at + head : at + head + size])))
        at += head + size
    del buffer[:at]
    return found


class Peer:
    """A connection, blocking; answers pings by itself."""

    def __init__(self, address, timeout=60.0, source=None, session=None):
        self.socket = socket.create_connection(address, timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input, self.frames, self.next_id = bytearray(), [], 1
        try:
            self.socket.sendall(request())
            while b"\r\n\r\n" not in self.input:
                self._read()
            head, _, rest = bytes(self.input).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise Ended(head.split(b"\r\n")[0].decode())
            self.input = bytearray(rest)
            connect = {"session": session} if session else {}
            self.connected = self.ask({"connect": connect})["connected"]
        except BaseException:
            self.close()
            raise

    def _read(self):
        try:
            got = self.socket.recv(1 << 16)
        except socket.timeout:
            raise
        except OSError as error:
            raise Ended(str(error)) from error
        if not got:
            raise Ended("closed by the server")
        self.input += got

    def send(self, *frames):
        """Sends frames, one message each, in one write."""
        try:
            self.socket.sendall(b"".join(pack(json.dumps(frame)) for frame in frames))
        except socket.timeout:
            raise
        except OSError as error:
            raise Ended(str(error)) from error

    def next(self):
        """The next frame that is no ping."""
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if "ping" in frame and "id" not in frame:
                    self.send({"pong": {}})
                elif "goaway" in frame:
                    raise Ended(frame["goaway"]["reason"])
                else:
                    return frame
            for opcode, payload in unpack(self.input):
                if opcode == TEXT:
                    self.frames += [json.loads(line) for line in payload.splitlines() if line]
                elif opcode == CLOSE:
                    raise Ended(f"close {struct.unpack('!H', payload[:2])[0]}")
            if not self.frames:
                self._read()

    def ask(self, body):
        """Sends a request and gives its answer; frames in between stay for `next`."""
        identity, self.next_id = self.next_id, self.next_id + 1
        self.send({"id": identity, **body})
        others = []
        try:
            while True:
                frame = self.next()
                if frame.get("id") == identity:
                    return frame
                others.append(frame)
        finally:
            self.frames[:0] = others

    def close(self):
        self.socket.close()
