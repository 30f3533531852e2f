"""O4: a long run with faults at random. What a server takes must stay flat, within each of its lives
and from life to life."""

import os
import random
import signal
import socket
import statistics
import struct
import time

from disks import strace
from server import Server, expect, need
from traffic import Traffic, settle
from wire import Ended, Peer

CONFIGURATION = (
    '[storage]\nsegment_bytes = "4MiB"\ndedup_window = "60s"\n'
    '[[topic]]\nmatch = "#"\nretention_age = "60s"\n[limits]\nsession_expiry = "10s"\n')
LIVES, GUESTS = 5, 20
# What a life takes until it has reached its level: retention and sessions have to expire once, and the
# first checkpoints, each of more than the one before, have to come: memory rises in steps until then.
WARM_UP = 200


def cut(server, _chance):
    """Guests whose connections are reset, half of them in the middle of a frame."""
    for n in range(GUESTS):
        guest = Peer(server.address)
        guest.ask({"subscribe": {"topic": f"cut/{n}"}})
        if n % 2:
            guest.socket.sendall(b"\x81\xfe\x01\x00\x00\x00")
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        guest.close()


def garbage(server, chance):
    """Bytes that are no request, and bytes that are no frame."""
    with socket.create_connection(server.address, 5) as stranger:
        stranger.sendall(chance.randbytes(500))
    guest = Peer(server.address)
    guest.socket.sendall(chance.randbytes(500))
    guest.close()


def stop(server, chance):
    """Stands still."""
    server.signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 2))
    server.signal(signal.SIGCONT)


def slow_disk(server, _chance):
    """Each sync takes 50 ms more, for three seconds."""
    with strace(server, "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=50000"):
        time.sleep(3)


def guests(server, turn):
    """Clients that come, subscribe, and leave."""
    here = [Peer(server.address) for _ in range(GUESTS)]
    for n, guest in enumerate(here):
        guest.ask({"subscribe": {"topic": f"guest/{turn % 500}/{n}"}})
    time.sleep(0.5)
    for guest in here:
        guest.close()
    time.sleep(0.5)


def slope(points):
    """The rise per hour of the line through (seconds, value) that fits best."""
    times, values = zip(*points)
    middle, level = statistics.fmean(times), statistics.fmean(values)
    spread = sum((at - middle) ** 2 for at in times)
    return 3600 * sum((at - middle) * (value - level) for at, value in points) / spread


def live(server, chance, seconds, done):
    """One life: guests and faults; gives samples of (second, memory, descriptors, threads, disk)."""
    samples, begin, fault_at = [], time.monotonic(), 5.0
    while time.monotonic() - begin < seconds:
        try:
            guests(server, sum(done.values()))
            done["guests"] += GUESTS
            samples.append((time.monotonic() - begin, server.rss_mib(), server.descriptors(),
                            server.status("Threads"), server.disk_mib()))
            if time.monotonic() - begin > fault_at:
                fault = chance.choice((cut, garbage, stop, slow_disk))
                fault(server, chance)
                done[fault.__name__] += 1
                fault_at += chance.uniform(3, 12)
        except (Ended, OSError) as error:
            expect(server.process.poll() is None, f"the server died: {error}: {server.tail()}")
            raise
    return samples


def soak(quick):
    """O4: clients that come and go, and faults at random: all that it takes stays flat."""
    need("strace")
    seconds, warm = (60, 4) if quick else (int(os.environ.get("SOAK_SECONDS", 3000)), WARM_UP)
    expect(seconds / LIVES > warm, f"SOAK_SECONDS has to be more than {LIVES * warm}")
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"SOAK_SEED={seed}", flush=True)
    chance, lives = random.Random(seed), []
    done = dict.fromkeys(("guests", "cut", "garbage", "stop", "slow_disk", "kill"), 0)
    with Server(CONFIGURATION) as server, Traffic(server, pause=0.001) as traffic:
        server.start()
        settle(traffic, 2)
        begin = time.monotonic()
        for life in range(LIVES):
            if life:
                server.kill()
                done["kill"] += 1
                server.start()
            lives.append([s for s in live(server, chance, seconds / LIVES, done) if s[0] >= warm])
        thirds = [traffic.p99_ms(begin + n * seconds / 3, begin + (n + 1) * seconds / 3)
                  for n in range(3)]
        figures = traffic.finish(trimmed=True)
    return {"seconds": seconds, "seed": seed, "done": done, **levels(lives, quick),
            "p99_ms_by_thirds": [round(each, 1) for each in thirds], **figures}


def levels(lives, quick):
    """The level of each life and the slopes within; fails if one rises."""
    names, figures = ("rss_mib", "descriptors", "threads", "disk_mib"), {}
    allowed = {"rss_mib": 4, "descriptors": 4, "threads": 1, "disk_mib": 8}
    for column, name in enumerate(names, 1):
        level = [statistics.median(s[column] for s in life) for life in lives]
        rise = [slope([(s[0], s[column]) for s in life]) for life in lives]
        figures[name] = [round(each, 1) for each in level]
        figures[name + "_slope_per_hour"] = round(statistics.median(rise), 1)
        if quick:
            continue
        bound = level[0] * 1.1 + allowed[name]
        expect(level[-1] <= bound, f"{name} grew from life to life: {level}")
        # Over the whole of a life, and in most of them: one may have met a fault at its end.
        within = statistics.median(rise) * lives[0][-1][0] / 3600
        expect(within <= level[0] * 0.1 + allowed[name], f"{name} grows within a life: {rise}")
    return figures
