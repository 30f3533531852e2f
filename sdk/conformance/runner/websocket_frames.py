"""Frames of WebSocket (RFC 6455) as bytes: taken apart to be looked at, put together to be sent."""

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def pack(payload, opcode=TEXT, is_masked=False):
    """A whole frame. Clients mask theirs; a mask of zeros is as good as any other on loopback."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size, mask = len(payload), 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, mask | 127, size)
    return head + (b"\0\0\0\0" if is_masked else b"") + payload


def pack_close(code, reason=""):
    return pack(struct.pack("!H", code) + reason.encode(), CLOSE)


class Piece:
    """One frame: its bytes as they came, and what is in it."""

    def __init__(self, raw, opcode, is_last, payload):
        self.raw, self.opcode, self.is_last, self.payload = raw, opcode, is_last, payload


class Parser:
    """Cuts a stream of bytes into frames."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        """Takes bytes in, and gives the frames that are whole now."""
        self.buffer += data
        pieces = []
        while (piece := self._next()) is not None:
            pieces.append(piece)
        return pieces

    def _next(self):
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        size, head = buffer[1] & 0x7F, 2
        if size == 126:
            if len(buffer) < 4:
                return None
            size, head = struct.unpack_from("!H", buffer, 2)[0], 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            size, head = struct.unpack_from("!Q", buffer, 2)[0], 10
        is_masked = bool(buffer[1] & 0x80)
        start = head + (4 if is_masked else 0)
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        if is_masked:
            payload = unmask(payload, bytes(buffer[head : head + 4]))
        piece = Piece(bytes(buffer[: start + size]), buffer[0] & 0x0F, bool(buffer[0] & 0x80), payload)
        del buffer[: start + size]
        return piece


def unmask(payload, key):
    if not payload:
        return payload
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")


class Messages:
    """Puts the frames of one direction together to messages, for those who only look on."""

    def __init__(self):
        self.parts, self.opcode = [], TEXT

    def feed(self, piece):
        """The whole message that ends with this frame, as (opcode, payload); or None."""
        if piece.opcode >= CLOSE:
            return piece.opcode, piece.payload
        if piece.opcode != CONTINUATION:
            self.parts, self.opcode = [], piece.opcode
        self.parts.append(piece.payload)
        return (self.opcode, b"".join(self.parts)) if piece.is_last else None
