"""T1 to T3: clocks that jump, processes that stop, machines that boot again."""

import glob
import signal
import subprocess
import time

from server import Server, expect, need, need_root, require
from traffic import Traffic, settle
from wire import Peer

KEPT = '[[topic]]\nmatch = "#"\nretention_age = "3650d"\n'


def faked(server):
    """Has the server's wall clock be what a file says; gives the file."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    require(found, "needs libfaketime: apt-get install faketime")
    file = server.directory / "clock"
    file.write_text("+0\n")
    server.environment = {
        "LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return file


def stamp(server):
    """When the latest message was published, as the server has it; seconds since 1970."""
    peer = Peer(server.address)
    peer.ask({"subscribe": {"topic": "faults", "from": "last"}})
    at = peer.next()["message"]["at"] / 1000
    peer.close()
    return at


def unmoved(figures):
    expect(figures["redelivered_marked"] == 0, "a jump of the clock caused redeliveries")
    expect(figures["disconnects"] == 0, "a jump of the clock cost connections")
    return figures


def clock_edges(quick):
    """T1: the wall clock passes the ends of 32 bits, with and without a sign, and a leap second."""
    with Server(KEPT) as server:
        file = faked(server)
        server.start()
        with Traffic(server, pause=0.002) as traffic:
            settle(traffic, 1)
            passed = []
            for edge in (2**31, 2**32):
                file.write_text(f"{edge - int(time.time()) - 2:+d}\n")
                settle(traffic, 1)
                before = stamp(server)
                expect(edge - 3 < before < edge, f"not before {edge} but at {before}")
                settle(traffic, 4)
                expect(stamp(server) >= edge, f"{edge} did not pass")
                passed.append(edge)
                # A leap second, as Linux has it: one second comes twice.
                file.write_text(f"{edge - int(time.time()):+d}\n")
                settle(traffic, 1)
                file.write_text(f"{edge - int(time.time()) - 1:+d}\n")
                settle(traffic, 2)
            # Ten years is the most that is kept: what is older by the clock has gone.
            figures = unmoved(traffic.finish(trimmed=True))
        return {"passed": passed, "leap_seconds": len(passed), **figures}


def clock_jumps(quick):
    """T1: the wall clock jumps by hours and years, both ways, under load."""
    with Server(KEPT) as server:
        file = faked(server)
        server.start()
        with Traffic(server, pause=0.002) as traffic:
            begin = settle(traffic, 1)
            calm = traffic.p99_ms(until=begin)
            for jump in ("+3600", "-3600", "+31536000", "-31536000", "+0", "-86400", "+0"):
                file.write_text(jump + "\n")
                settle(traffic, 1 if quick else 3)
                if jump == "+31536000":
                    expect(stamp(server) > time.time() + 3e7, "the server's clock did not jump")
            worst = traffic.p99_ms(since=begin)
            figures = unmoved(traffic.finish())
        return {**figures, "p99_ms_before": round(calm, 1), "p99_ms_jumping": round(worst, 1)}


def stopped(quick):
    """T2: the server stands still (SIGSTOP) for 1, 10 and 60 seconds under load."""
    with Server() as server:
        server.start()
        with Traffic(server, pause=0.002) as traffic:
            recovered = {}
            for seconds in (1, 10) if quick else (1, 10, 60):
                settle(traffic, 1)
                server.signal(signal.SIGSTOP)
                time.sleep(seconds)
                before = len(traffic.acknowledged)
                begin = time.monotonic()
                server.signal(signal.SIGCONT)
                while len(traffic.acknowledged) == before:
                    expect(time.monotonic() - begin < 30, "no ack after the stop")
                    time.sleep(0.005)
                recovered[f"first_ack_ms_after_{seconds}s"] = round(
                    (time.monotonic() - begin) * 1000)
            settle(traffic, 1)
            figures = traffic.finish()
        return {**figures, **recovered}


def rebooted(quick):
    """T3: after a restart the monotonic clock starts at another value, higher and lower."""
    need_root()
    need("unshare", "util-linux")
    probe = ["unshare", "--time", "--monotonic", "1", "true"]
    require(subprocess.run(probe, capture_output=True).returncode == 0, "needs time namespaces")
    with Server(KEPT) as server, Traffic(server, pause=0.002) as traffic:
        for seconds in (0, 1_000_000, 5, 40_000_000, 0):
            ahead = ["unshare", "--time", "--fork", "--boottime", str(seconds), "--monotonic",
                     str(seconds)]
            server.prefix = ahead if seconds else []
            server.start()
            settle(traffic, 1 if quick else 3)
            server.kill()
        server.prefix = []
        server.start()
        return traffic.finish()
