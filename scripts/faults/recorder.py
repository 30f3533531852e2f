"""A disk that remembers: a file served over /dev/fuse that notes every write and every flush, in
their order. With a loop device on it, a real file system lies on top. The protocol is spoken here,
so no library is needed; just what one file takes.
"""

import ctypes
import errno
import mmap
import os
import stat
import struct
import time

WRITE, FLUSH = 0, 1
NOTE = struct.Struct("<BxxxxxxxQQ")  # kind, position, size; the bytes follow
HEADER, REPLY = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
WRITE_MAX = 128 * 1024
NAME = b"disk"
(LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITES, STATFS, RELEASE, FSYNC, CLOSES, INIT,
 DESTROY, BATCH_FORGET, INTERRUPT) = 1, 2, 3, 4, 14, 15, 16, 17, 18, 20, 25, 26, 38, 42, 36
ROOT, DISK = 1, 2


def mount(point):
    """Mounts an empty file system there; gives the file to answer its requests by."""
    handle = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={handle},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorder", os.fsencode(point), b"fuse", 0, options) != 0:
        code = ctypes.get_errno()
        os.close(handle)
        raise OSError(code, f"mounting fuse: {os.strerror(code)}")
    return handle


class Recorder:
    """Answers for one file, whose bytes are in `image`, and notes in `notes` what it is told."""

    def __init__(self, handle, image, notes, counter):
        self.handle = handle
        self.image = os.open(image, os.O_RDWR)
        self.size = os.fstat(self.image).st_size
        self.notes = open(notes, "wb")
        with open(counter, "r+b") as file:
            self.counter = mmap.mmap(file.fileno(), 8)
        self.noted = 0

    def run(self):
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(self.handle, WRITE_MAX + 8192)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                if error.errno == errno.ENODEV:
                    break
                raise
            _, code, unique, node, *_ = HEADER.unpack_from(request)
            if code in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            answer = self.answer(code, node, memoryview(request)[HEADER.size:])
            error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
            try:
                os.write(self.handle, REPLY.pack(REPLY.size + len(body), error, unique) + body)
            except OSError as gone:  # Whoever asked does not wait any more.
                if gone.errno != errno.ENOENT:
                    raise
            if code == DESTROY:
                break
        self.notes.close()

    def note(self, kind, position=0, data=b""):
        self.notes.write(NOTE.pack(kind, position, len(data)))
        self.notes.write(data)
        self.noted += 1
        self.counter[:] = struct.pack("<Q", self.noted)

    def answer(self, code, node, body):
        """The body of the answer, or an error number."""
        if code == INIT:
            flags = 1 << 5 | 1 << 22  # Large writes, and so many pages at once.
            return struct.pack("<IIIIHHIIHHII24x", 7, 31, 0, flags, 16, 12, WRITE_MAX, 1,
                               WRITE_MAX // 4096, 0, 0, 0)
        if code == LOOKUP:
            if node != ROOT or bytes(body).rstrip(b"\0") != NAME:
                return errno.ENOENT
            return struct.pack("<QQQQII", DISK, 1, 3600, 3600, 0, 0) + self.attributes(DISK)
        if code in (GETATTR, SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self.attributes(node)
        if code == OPEN:
            return struct.pack("<QII", 0, 0, 0)
        if code == READ:
            _, position, size = struct.unpack_from("<QQI", body)
            return os.pread(self.image, size, position)
        if code == WRITES:
            _, position, size = struct.unpack_from("<QQI", body)
            data = bytes(body[40:40 + size])
            os.pwrite(self.image, data, position)
            self.note(WRITE, position, data)
            return struct.pack("<II", size, 0)
        if code == FSYNC:
            self.note(FLUSH)
            return b""
        if code == STATFS:
            return struct.pack("<QQQQQIII28x", self.size // 4096, 0, 0, 2, 0, 4096, 255, 4096)
        if code in (RELEASE, CLOSES, DESTROY):
            return b""
        return errno.ENOSYS

    def attributes(self, node):
        is_disk = node == DISK
        mode = stat.S_IFREG | 0o600 if is_disk else stat.S_IFDIR | 0o700
        size, now = self.size if is_disk else 0, int(time.time())
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, now, now, now, 0, 0, 0,
                           mode, 1, 0, 0, 0, 4096, 0)


def read_notes(path):
    """What was noted: (kind, position, bytes), in order."""
    found = []
    with open(path, "rb") as file:
        while len(head := file.read(NOTE.size)) == NOTE.size:
            kind, position, size = NOTE.unpack(head)
            found.append((kind, position, file.read(size)))
    return found
