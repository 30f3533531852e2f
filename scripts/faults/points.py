"""R2: kill -9 at every named place of the sources (crates/storage/src/fault_point.rs)."""

import collections
import concurrent.futures
import os
import random
import re
import signal
import subprocess
import time
import uuid

from deliveries import CONFIGURATION, Deliveries
from server import ROOT, Failed, Server, expect, need_root, require
from traffic import Traffic

CALL = re.compile(r'fault_point\("([a-z-]+)"\)')
STORAGE = '[storage]\nsegment_bytes = "2MiB"\n'
# With so little, segments are used again and checkpoints made within seconds.
TIGHT = STORAGE + 'disk_bytes_max = "24MiB"\n'
NEED_TIGHT = ("spare-", "segment-removed", "segment-empt", "checkpoint-removed")
# Sessions expire after 4 s, and segments are emptied after some rounds of upkeep.
PATIENT = ("expired-", "spare-", "segment-removed", "segment-empt", "checkpoint-removed")
BOOT = "/proc/sys/kernel/random/boot_id"


def names():
    """All of them, as they stand in the sources."""
    found = collections.Counter()
    for file in ROOT.glob("crates/*/src/**/*.rs"):
        found.update(CALL.findall(file.read_text()))
    again = [name for name, count in found.items() if count > 1]
    expect(not again, f"fault points with one name: {again}")
    return sorted(found)


def binary():
    """The server with the places in it: FAULT_POINTS_BIN, or a build beside the usual one."""
    named = os.environ.get("FAULT_POINTS_BIN")
    if named:
        return named
    target = os.path.join(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "fault-points")
    build = ["cargo", "build", "--release", "-p", "tidings", "--features", "fault-points",
             "--target-dir", target]
    done = subprocess.run(build, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    require(done.returncode == 0, f"{' '.join(build)}: {done.stderr[-300:]}")
    return os.path.join(target, "release", "tidings")


class Round:
    """One name: the server dies there, several times, and must have lost nothing."""

    def __init__(self, name, server, deliveries):
        self.name, self.server, self.deliveries, self.kills = name, server, deliveries, 0
        self.another_boot = name.startswith("skip-")

    def start(self, point, ready):
        self.deliveries.restarted()
        self.server.environment = {"FAULT_POINT": point} if point else {}
        if self.another_boot:
            need_root()
            boot = self.server.directory / "boot_id"
            boot.write_text(str(uuid.uuid4()) + "\n")
            script = f'mount --bind {boot} {BOOT} && exec "$0" "$@"'
            self.server.prefix = ["unshare", "-m", "sh", "-c", script]
        self.server.start(ready)

    def die(self, point, patience):
        """Starts it with the place armed; whether it died there. One that did not ends by SIGTERM,
        on the way of which there are more places."""
        self.start(point, ready=False)
        process, begin = self.server.process, time.monotonic()
        while process.poll() is None and time.monotonic() - begin < patience:
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired as stuck:
                raise Failed(f"SIGTERM does not end it: {self.server.tail()}") from stuck
        died = process.returncode == -signal.SIGKILL
        expect(died or process.returncode == 0,
               f"it ended by itself ({process.returncode}): {self.server.tail()}")
        self.kills += died
        return died

    def tear(self):
        """Zeroes the end of the last batch: the write that the crash has cut short."""
        expect(self.die("log-written@200", 20), "no batch to tear")
        # The latest segment may be prepared and not begun: only its head is written.
        for file in sorted((self.server.data / "log").glob("*"), reverse=True):
            content = file.read_bytes()
            end = len(content.rstrip(b"\0"))
            if end > 4096:
                with open(file, "r+b") as opened:
                    opened.seek(end - 40)
                    opened.write(bytes(40))
                return
        raise Failed("no segment has anything in it")

    def go(self, hit):
        patience = 40 if self.name.startswith(PATIENT) else 8
        if self.name.startswith("cut-"):
            self.tear()
        if self.name.startswith(NEED_TIGHT):
            # An orderly end makes a checkpoint. Segments are emptied and given back behind one.
            for _ in range(2):
                self.start(None, ready=True)
                time.sleep(2)
                self.server.process.send_signal(signal.SIGTERM)
                expect(self.server.wait() == 0, f"it did not end well: {self.server.tail()}")
        if self.name.startswith("skip-"):
            expect(self.die("log-written@200", 20), "there is nothing to skip")
        expect(self.die(self.name, patience), f"{self.name} was not reached")
        # Again, on what the crash has left; and later, when more has happened.
        self.die(self.name, patience)
        self.die(f"{self.name}@{hit}", 3)
        self.start(None, ready=True)
        time.sleep(0.3)


def try_one(name, hit, program):
    """One place on a directory of its own; gives kills and figures, or what was broken."""
    os.environ["TIDINGS_BIN"] = program
    tight = name.startswith(NEED_TIGHT)
    with Server(CONFIGURATION + (TIGHT if tight else STORAGE)) as server:
        try:
            # Offsets that a torn batch may have had are skipped, and subscribers told of the gap.
            gaps = name.startswith(("cut-", "skip-"))
            # Where there is no space at times, sessions cannot be saved either.
            with Deliveries(server, gaps, not tight) as all_kinds, Traffic(server, size=4000, pause=0.002) as bulk:
                turn = Round(name, server, all_kinds)
                turn.go(hit)
                figures = collections.Counter(all_kinds.finish())
                more = bulk.finish(trimmed=True)
                figures.update({key: n for key, n in more.items() if isinstance(n, int)})
                return turn.kills, dict(figures)
        except Failed as broken:
            return 0, f"{name}@{hit}: {broken}"


def fault_points(quick):
    """R2: kill -9 at each named place: write, sync, index, ack, deliver, dead letter, checkpoint …"""
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    only = os.environ.get("FAULT_ONLY")
    print(f"FAULT_SEED={seed}", flush=True)
    chance, program = random.Random(seed), binary()
    hits = {name: chance.choice((2, 3, 5, 9, 20)) for name in names()}
    chosen = [n for n in hits if not only or n in only.split(",")][:: 6 if quick else 1]
    kills, totals, broken = {}, collections.Counter(), []
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, (count, figures) in zip(chosen, pool.map(
                try_one, chosen, (hits[n] for n in chosen), (program for _ in chosen))):
            kills[name] = count
            if isinstance(figures, str):
                broken.append(figures)
                print(figures, flush=True)
            else:
                totals.update(figures)
    figures = {"places": len(kills), "kills": sum(kills.values()), "seed": seed, **totals}
    expect(not broken, f"{' | '.join(broken)}; the others: {figures}")
    return figures
