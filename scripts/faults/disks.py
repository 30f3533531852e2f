"""R: crashes at every system call, power cuts, disks that fail, fill up, or are slow."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from server import Server, eventually, expect, need, need_root, require
from traffic import Traffic, settle
from wire import Ended, Peer

SMALL = '[storage]\nsegment_bytes = "1MiB"\n[[topic]]\nmatch = "faults"\nretention_bytes = "128MiB"\n'

# What the server asks the system for on its way from a publish to an ack, and in its upkeep.
CALLS = ("pwrite64", "write", "fdatasync", "fsync", "openat", "rename", "renameat", "unlink",
         "ftruncate", "fallocate", "sendto", "writev", "epoll_wait")

EXT4_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    require(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def strace(server, *arguments):
    """Injects into the running server; detaches at the end, if both still live."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(server.pid()), *arguments],
        stderr=subprocess.PIPE)
    time.sleep(0.5)
    ended = tracer.poll() is not None and server.process.poll() is None
    require(not ended, "needs strace with the right to trace (root, or ptrace_scope 0)")
    try:
        yield tracer
    finally:
        tracer.terminate()
        tracer.wait()


def killed_at_calls(quick):
    """R2: kill -9 at the n-th call of each kind that the server makes, under load."""
    need("strace")
    reached, rounds = {}, 0
    with Server(SMALL) as server, Traffic(server, size=2000, pause=0.002) as traffic:
        server.start()
        for call in CALLS:
            for nth in (1, 7) if quick else (1, 2, 7, 40):
                settle(traffic, 0.3)
                inject = f"inject={call}:signal=KILL:when={nth}"
                with strace(server, "-e", f"trace={call}", "-e", inject):
                    begin = time.monotonic()
                    while server.process.poll() is None and time.monotonic() - begin < 3:
                        time.sleep(0.01)
                rounds += 1
                if server.process.poll() is not None:
                    reached[call] = reached.get(call, 0) + 1
                    server.start()
        figures = traffic.finish(trimmed=True)
    expect(sum(reached.values()) >= rounds / 3, f"too few kills happened: {reached}")
    return {"kills": sum(reached.values()), "at": reached, **figures}


@contextlib.contextmanager
def loop_disk(mib):
    """An ext4 file system of its own, in a file."""
    need_root()
    need("mkfs.ext4", "e2fsprogs")
    with tempfile.TemporaryDirectory(prefix="tidings-disk-") as directory:
        image, point = Path(directory, "image"), Path(directory, "mounted")
        image.write_bytes(b"")
        os.truncate(image, mib << 20)
        point.mkdir()
        run("mkfs.ext4", "-q", str(image))
        mount = ["mount", "-o", "loop", str(image), str(point)]
        run(*mount)
        try:
            yield point, mount
        finally:
            subprocess.run(["umount", "-l", str(point)], capture_output=True)


def power_cut(quick):
    """R3: the power goes: what was not synced is gone, and so is the file system's journal."""
    with loop_disk(512) as (point, mount):
        with Server(data=point / "data") as server, Traffic(server) as traffic:
            restarts = []
            for cut in range(4 if quick else 40):
                restarts.append(server.start())
                settle(traffic, 0.4 + 0.1 * (cut % 4))
                # By turns the server dies with the machine, or sees its disk fail first.
                if cut % 2:
                    server.kill()
                handle = os.open(point, os.O_RDONLY)
                fcntl.ioctl(handle, EXT4_SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
                os.close(handle)
                if not cut % 2:
                    time.sleep(0.2)
                    server.kill()
                run("umount", str(point))
                run(*mount)
            server.start()
            # What a power cut took back of the deliveries may come again without a mark.
            figures = traffic.finish(marked=False)
        return {"cuts": len(restarts), "restart_s_max": round(max(restarts), 2), **figures}


def sync_fails(quick):
    """R5: one fdatasync fails, then all is well again: no ack afterwards, reads go on."""
    need("strace")
    with Server() as server, Traffic(server, pause=0.002) as traffic:
        server.start()
        settle(traffic, 1)
        with strace(server, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=20"):
            eventually("the store to stop", lambda: server.metric("store_writable") == 0)
            failed = len(traffic.acknowledged)
            time.sleep(3)
            expect(len(traffic.acknowledged) == failed, "acknowledged after a failed sync")
        health = server.health()
        expect(health != 200, "ready, though nothing can be written")
        reader = Peer(server.address)
        messages = reader.ask({"history": {"topic": "faults"}})["history"]["messages"]
        expect(len(messages) == 100, "reads do not go on")
        reader.close()
        refused = dict(traffic.refusals)
        server.kill()
        server.start()
        settle(traffic, 1)
        figures = traffic.finish()
        return {"acks_after_the_error": 0, "readyz": health, "refused_while_stopped": refused,
                **figures}


def disk_full(quick):
    """R6: the disk fills up under load, and has space again."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="tidings-full-") as point:
        run("mount", "-t", "tmpfs", "-o", "size=48m", "none", point)
        try:
            configuration = '[storage]\nsegment_bytes = "1MiB"\ndisk_bytes_max = "1GiB"\n'
            with Server(configuration, Path(point, "data")) as server, \
                    Traffic(server, size=4000, pause=0.001) as traffic:
                server.start()
                settle(traffic, 1)
                ballast = Path(point, "ballast")
                with contextlib.suppress(OSError), open(ballast, "wb") as file:
                    while True:
                        file.write(b"x" * (1 << 20))
                        file.flush()
                eventually("a refusal", lambda: traffic.refusals["storage_full"] > 0, 120)
                full = len(traffic.acknowledged)
                reader = Peer(server.address)
                expect(reader.ask({"history": {"topic": "faults"}})["history"]["messages"],
                       "no reads on a full disk")
                reader.close()
                time.sleep(1)
                ballast.unlink()
                resumed = eventually(
                    "publishes to resume", lambda: len(traffic.acknowledged) > full + 20, 30)
                expect(resumed <= 5, f"publishes resumed only after {resumed:.1f} s")
                figures = traffic.finish()
                return {"resumed_s": round(resumed, 2), **figures}
        finally:
            subprocess.run(["umount", "-l", point], capture_output=True)


def disk_slow(quick):
    """R9: each fdatasync takes half a second."""
    need("strace")
    with Server() as server, Traffic(server, publishers=4) as traffic:
        server.start()
        begin = settle(traffic, 3)
        reader = Peer(server.address)
        reading = lambda: read_p99(reader, 200)
        calm, before = reading(), server.rss_mib()
        slow = time.monotonic()
        with strace(server, "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=500000"):
            settle(traffic, 4 if quick else 15)
            during, peak = reading(), server.rss_mib()
            end = time.monotonic()
        reader.close()
        figures = traffic.finish()
        expect(peak <= before + 64, f"memory grew from {before:.0f} to {peak:.0f} MiB")
        return {**figures, "publish_p99_ms": round(traffic.p99_ms(until=begin), 1),
                "publish_p99_ms_slow": round(traffic.p99_ms(slow, end)),
                "read_p99_ms": round(calm, 1), "read_p99_ms_slow": round(during, 1),
                "rss_mib": round(before), "rss_mib_slow": round(peak)}


def read_p99(reader, times):
    taken = []
    for _ in range(times):
        begin = time.monotonic()
        reader.ask({"history": {"topic": "faults", "limit": 10}})
        taken.append((time.monotonic() - begin) * 1000)
    return sorted(taken)[int(times * 0.99)]


def directory_taken(quick):
    """R12: a second server on the same directory; a directory that becomes read-only."""
    with Server() as server, Traffic(server, pause=0.002) as traffic:
        server.start()
        settle(traffic, 1)
        with Server(data=server.data) as second:
            second.start(ready=False)
            status = second.wait()
            expect(status != 0, "a second server took the directory")
            said = second.tail(1)
        settle(traffic, 1)
        figures = traffic.finish()
    return {"second_server_said": said[-160:], **read_only(), **figures}


def read_only():
    if os.geteuid() != 0:
        return {"read_only": "skipped: needs root"}
    with loop_disk(256) as (point, mount), Server(data=point / "data") as server:
        server.start()
        peer = Peer(server.address)
        publish = {"publish": {"topic": "faults", "data": ["0-0"]}}
        offset = peer.ask(publish)["published"]["offset"]
        # With files open for writing the system refuses a polite remount.
        run("umount", "-l", str(point))
        peer.close()
        server.kill()
        run(*mount)
        run("mount", "-o", "remount,ro", str(point))
        server.start(ready=False)
        try:
            status = server.wait(20)
            expect(status != 0, "started on a read-only directory")
            told = server.tail(1)[-160:]
        except subprocess.TimeoutExpired:
            with contextlib.suppress(Ended):
                reply = Peer(server.address).ask(publish)
                expect("error" in reply, f"acknowledged on a read-only disk: {reply}")
            told = "serves, and refuses to write"
            server.kill()
        run("mount", "-o", "remount,rw", str(point))
        server.start()
        peer = Peer(server.address)
        expect(peer.ask(publish)["published"]["offset"] > offset, "an offset was given twice")
        peer.close()
        return {"read_only": told}
