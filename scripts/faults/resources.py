"""O1 to O3 and O5: too little memory, descriptors, processor; logs that grow."""

import contextlib
import os
import threading
import time
from pathlib import Path

from crowds import many_files, p99, round_trips
from server import Server, eventually, expect, need, need_root, require
from traffic import Traffic, settle
from wire import Ended, Peer

GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def group(controller, **limits):
    """A control group (version 1) of its own; gives its folder and the prefix to start in it."""
    need_root()
    folder = GROUPS / controller / f"tidings-fault-{os.getpid()}"
    require((GROUPS / controller).is_dir(), f"needs {GROUPS / controller} (cgroup version 1)")
    folder.mkdir()
    try:
        for name, value in limits.items():
            (folder / name.replace("__", ".")).write_text(str(value))
        yield folder, ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$0" "$@"']
    finally:
        eventually("the group to be empty", lambda: not (folder / "cgroup.procs").read_text(), 10)
        folder.rmdir()


def memory(quick):
    """O1: 256 MiB for three times the connections that have seats, and for large publishes."""
    seats = 500 if quick else 2000
    many_files()
    with group("memory", memory__limit_in_bytes="256M") as (folder, prefix):
        configuration = (
            f"[server]\nconnections_max = {seats}\n"
            '[storage]\nqueue_bytes_max = "32MiB"\n'
            '[[topic]]\nmatch = "#"\nretention_bytes = "256MiB"\n')
        with Server(configuration, prefix=prefix) as server:
            server.start()
            crowd, refused = [], 0
            # Readers that do not read, and three times as many as there are seats for.
            for n in range(3 * seats):
                try:
                    peer = Peer(server.address, source=f"127.0.0.{2 + n % 8}", timeout=20)
                    peer.ask({"subscribe": {"topic": "faults"}})
                    crowd.append(peer)
                    if len(crowd) == seats - 12:
                        break
                except (Ended, OSError):
                    refused += 1
            with Traffic(server, publishers=8, size=60_000) as traffic:
                settle(traffic, 2)
                for n in range(2 * seats):
                    try:
                        crowd.append(Peer(server.address, source=f"127.0.0.{2 + n % 8}", timeout=20))
                    except (Ended, OSError):
                        refused += 1
                settle(traffic, 3 if quick else 15)
                for peer in crowd:
                    peer.close()
                figures = traffic.finish(drained=False, trimmed=True)
            expect(server.process.poll() is None, f"the server died: {server.tail()}")
            peak = int((folder / "memory.max_usage_in_bytes").read_text()) / 2**20
            control = (folder / "memory.oom_control").read_text().split()
            kills = int(control[control.index("oom_kill") + 1])
            expect(kills == 0, "the system killed the server for its memory")
            expect(refused >= seats, f"only {refused} connections were refused")
            return {"connections_refused": refused, "oom_kills": 0, "peak_mib_with_cache": round(peak),
                    "rss_mib": round(server.rss_mib()), **figures}


def descriptors(quick):
    """O2: the process is out of descriptors while connections keep coming."""
    need("prlimit", "util-linux")
    many_files()
    with Server('[limits]\nhandshake_timeout = "5m"\n', prefix=["prlimit", "--nofile=200:200"]) as server:
        server.start()
        other = Peer(server.address)
        other.ask({"subscribe": {"topic": "others"}})
        round_trips(other, 100, "x")
        calm = p99(round_trips(other, 300, "x"))
        import socket
        crowd = [socket.create_connection(server.address) for _ in range(400)]
        time.sleep(1)
        begin, cpu = time.monotonic(), server.cpu_seconds()
        time.sleep(3 if quick else 10)
        spent = (server.cpu_seconds() - cpu) / (time.monotonic() - begin) * 100
        lines = len(server.log.read_text().splitlines())
        full = p99(round_trips(other, 300, "x"))
        held = server.descriptors()
        for each in crowd:
            each.close()
        again = eventually("a new connection", lambda: accepts(server), 30)
        other.close()
        expect(held >= 195, f"only {held} descriptors were in use")
        expect(spent < 5, f"{spent:.1f} % of a core while full")
        return {"cpu_percent_while_full": round(spent, 2), "log_lines": lines,
                "p99_ms": round(calm, 2), "p99_ms_while_full": round(full, 2),
                "accepts_again_after_s": round(again, 2)}


def accepts(server):
    try:
        Peer(server.address, timeout=2).close()
        return True
    except (Ended, OSError):
        return False


def processor(quick):
    """O3: a fifth of a core for five hundred clients and a flood of publishes."""
    clients, seconds = (100, 10) if quick else (500, 60)
    with group("cpu", cpu__cfs_period_us=100000, cpu__cfs_quota_us=20000) as (_, prefix):
        configuration = '[limits]\nping_interval = "5s"\npong_timeout = "5s"\n'
        with Server(configuration, prefix=prefix) as server:
            server.start()
            crowd = [Peer(server.address) for _ in range(clients)]
            stop, lost = threading.Event(), []

            def answer():
                while not stop.is_set():
                    for peer in list(crowd):
                        peer.socket.settimeout(0.001)
                        try:
                            peer.next()
                        except TimeoutError:
                            pass
                        except (Ended, OSError) as error:
                            lost.append(str(error))
                            crowd.remove(peer)

            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            with Traffic(server, publishers=4) as traffic:
                settle(traffic, seconds)
                stop.set()
                thread.join(10)
                figures = traffic.finish()
            expired = server.metric('closes_total{code="pong_timeout"}')
            expect(not lost and not expired, f"{len(lost)} lost, {expired:.0f} expired: {lost[:3]}")
            for peer in crowd:
                peer.close()
            return {"clients": clients, "false_disconnects": 0,
                    "publish_p99_ms": round(traffic.p99_ms()), **figures}


def retention(quick):
    """O5: the log outgrows its bounds while a durable consumer is away."""
    total_mib, size = (100 if quick else 400), 60_000
    configuration = (
        '[storage]\nsegment_bytes = "4MiB"\ndisk_bytes_max = "128MiB"\n'
        '[[topic]]\nmatch = "faults"\nretention_bytes = "32MiB"\n')
    with Server(configuration) as server:
        server.start()
        durable = {"subscribe": {"topic": "faults", "durable": "away", "window": 64}}
        consumer, publisher = Peer(server.address), Peer(server.address)
        consumer.ask(durable)
        publisher.ask({"publish": {"topic": "faults", "data": [0, ""]}})
        consumer.next()
        consumer.ask({"ack": {"sub": "faults", "offset": 1}})
        consumer.close()
        count, refused, filler = total_mib * 2**20 // size, 0, "x" * size
        peak, whole = 0.0, 0.0
        for n in range(1, count):
            while True:
                reply = publisher.ask({"publish": {"topic": "faults", "data": [n, filler]}})
                if "published" in reply:
                    break
                expect(reply["error"]["temporary"], f"refused for good: {reply}")
                refused += 1
                time.sleep(reply["error"].get("retry_after_ms", 50) / 1000)
            if n % 50 == 0:
                # The bound is for the log; checkpoints of what it adds up to come on top.
                peak = max(peak, server.disk_mib("log"))
                whole = max(whole, server.disk_mib())
        consumer = Peer(server.address)
        place = consumer.ask(durable)["subscribed"]
        expect(not place["recovered"] and place["reason"] == "trimmed", f"not told: {place}")
        first = consumer.next()["message"]
        at = first["offset"]
        expect(at >= place["first"] > 2, f"starts at {at}, first is {place['first']}")
        told, gaps = at, 0
        while at < place["offset"]:
            consumer.send({"ack": {"sub": "faults", "offset": at}})
            frame = consumer.next()
            if "reset" in frame:
                told = frame["reset"]["first"]
                gaps += 1
            elif "message" in frame:
                expect(frame["message"]["offset"] in (at + 1, told), f"a gap after {at} not told")
                at = frame["message"]["offset"]
        expect(peak <= 128, f"{peak:.2f} MiB of disk, 128 allowed; refused {refused}")
        return {"published_mib": total_mib, "log_mib_peak": round(peak, 2),
                "disk_mib_peak": round(whole, 2), "disk_mib_max": 128,
                "told": place["reason"], "messages_left": place["offset"] - place["first"] + 1,
                "silent_gaps": 0, "refused_for_space": refused}
