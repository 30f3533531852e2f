"""R4: power cuts with torn and reordered writes, from the recording of a disk under ext4."""

import collections
import concurrent.futures
import mmap
import multiprocessing
import os
import random
import shutil
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import recorder
from disks import run
from server import Failed, Server, expect, need, need_root, require
from traffic import Traffic, history, settle
from wire import Peer

DISK_MIB = 256
CONFIGURATION = (
    '[storage]\nsegment_bytes = "4MiB"\n[[topic]]\nmatch = "loose"\ndurability = "async"\n'
    '[[topic]]\nmatch = "faults"\nretention_bytes = "16MiB"\n')
# What becomes of the writes since the last flush, in pieces of so many bytes.
FATES = {"none": None, "all": 0, "by_4096": 4096, "by_512": 512}
# Two seconds are wanted; three more are for a busy machine.
START_MAX = 5.0


class Stamped(dict):
    """A ledger that notes how much the disk had been told when each entry came."""

    def __init__(self, counter):
        super().__init__()
        self.counter, self.stamps = counter, {}

    def __setitem__(self, name, offset):
        self.stamps[name] = struct.unpack("<Q", self.counter[:])[0]
        super().__setitem__(name, offset)


def record(folder, seconds):
    """Loads a server on a recorded disk; gives the notes and the stamped ledger."""
    image, notes, counter = folder / "image", folder / "notes", folder / "counter"
    image.write_bytes(b"")
    os.truncate(image, DISK_MIB << 20)
    run("mkfs.ext4", "-q", str(image))
    shutil.copy(image, folder / "base")
    counter.write_bytes(bytes(8))
    (folder / "fuse").mkdir()
    (folder / "disk").mkdir()
    try:
        handle = recorder.mount(folder / "fuse")
    except OSError as error:
        require(False, f"needs /dev/fuse: {error}")
    serve = recorder.Recorder(handle, image, notes, counter).run
    # Forked, so that it has the open file.
    served = multiprocessing.get_context("fork").Process(target=serve, daemon=True)
    served.start()
    os.close(handle)
    try:
        run("mount", "-o", "loop", str(folder / "fuse" / "disk"), str(folder / "disk"))
        with open(counter, "r+b") as file:
            seen = mmap.mmap(file.fileno(), 8)
        with Server(CONFIGURATION, folder / "disk" / "data") as server, \
                Traffic(server, publishers=4, pause=0.001, size=2000) as traffic:
            traffic.acknowledged = Stamped(seen)
            server.start()
            settle(traffic, seconds)
            traffic.finish(trimmed=True)
    finally:
        subprocess.run(["umount", str(folder / "disk")], capture_output=True)
        subprocess.run(["umount", str(folder / "fuse")], capture_output=True)
        served.join(20)
    return recorder.read_notes(notes), traffic.acknowledged


def survivors(pending, piece, chance):
    """Which bytes of the writes since the last flush are on the disk: (position, bytes)."""
    for position, data in pending if piece is not None else ():
        if not piece:
            yield position, data
            continue
        for at in range(0, len(data), piece):
            if chance.random() < 0.5:
                yield position + at, data[at:at + piece]


def judge(image, acknowledged, fate):
    """Starts a server on what a cut has left; gives what it took, or what was broken."""
    point = Path(tempfile.mkdtemp(prefix="tidings-cut-"))
    try:
        run("mount", "-o", "loop", str(image), str(point))
        try:
            # A power cut comes with another boot of the machine.
            boot = image.with_suffix(".boot")
            boot.write_text(str(uuid.uuid4()) + "\n")
            script = f'mount --bind {boot} /proc/sys/kernel/random/boot_id && exec "$0" "$@"'
            prefix = ["unshare", "-m", "sh", "-c", script]
            with Server(CONFIGURATION, point / "data", prefix=prefix) as server:
                took = server.start()
                return took, check(server, acknowledged), "cut_bytes=0" not in server.log.read_text()
        except Failed as broken:
            return None, f"{fate} of {image.name}: {broken}", False
        finally:
            subprocess.run(["umount", str(point)], capture_output=True)
    finally:
        image.unlink()
        image.with_suffix(".boot").unlink(missing_ok=True)
        point.rmdir()


def check(server, acknowledged):
    """What was acknowledged is where it was, once, in order; the next offset is a new one."""
    kept = history(server, "faults")
    first = min(kept, default=0)
    lost = [n for n, at in acknowledged.items() if at >= first and kept.get(at) != n]
    expect(kept or not acknowledged, "everything is lost")
    expect(not lost, f"{len(lost)} of {len(acknowledged)} are lost, such as {lost[:3]}")
    numbers = list(kept.values())
    expect(len(numbers) == len(set(numbers)), "messages are there twice")
    last = {}
    for name in numbers:
        publisher, number = name.split("-")
        expect(int(number) > last.get(publisher, -1), "out of their publisher's order")
        last[publisher] = int(number)
    peer = Peer(server.address)
    offset = peer.ask({"publish": {"topic": "faults", "data": ["9-0"]}})["published"]["offset"]
    peer.close()
    expect(offset > max(acknowledged.values(), default=0), "an offset was given twice")
    return len(kept)


def torn_writes(quick):
    """R4: the power goes at any write; of those since the last flush any part is on the disk."""
    need_root()
    need("mkfs.ext4", "e2fsprogs")
    cuts = int(os.environ.get("FAULT_CUTS", 10 if quick else 500))
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    print(f"FAULT_SEED={seed}", flush=True)
    chance = random.Random(seed)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="tidings-torn-", dir=memory) as folder:
        folder = Path(folder)
        begin = time.monotonic()
        notes, ledger = record(folder, 5 if quick else 60)
        recorded = time.monotonic() - begin
        began = min(ledger.stamps.values())
        writes = [n for n, (kind, *_) in enumerate(notes) if kind == recorder.WRITE and n >= began]
        chosen = sorted(chance.sample(writes, min(cuts, len(writes))))
        results = try_cuts(folder, notes, ledger, chosen, chance)
    broken = [said for took, said, _ in results if took is None]
    expect(not broken, f"{len(broken)} of {len(results)}: {broken[:3]}")
    slowest = max(took for took, _, _ in results)
    expect(slowest <= START_MAX, f"a start took {slowest:.1f} s")
    kinds = collections.Counter(kind for kind, *_ in notes)
    return {"seed": seed, "recorded_s": round(recorded), "writes": kinds[recorder.WRITE],
            "flushes": kinds[recorder.FLUSH], "acknowledged": len(ledger), "cuts": len(chosen),
            "images": len(results), "lost": 0, "stored_twice": 0, "offsets_given_twice": 0,
            "torn_tails_cut": sum(torn for *_, torn in results),
            "start_s_max": round(slowest, 2)}


def try_cuts(folder, notes, ledger, chosen, chance):
    """Every cut with every fate of what was not flushed."""
    base, pending, at, results, waiting = folder / "base", [], 0, [], set()
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for cut in chosen:
            with open(base, "r+b") as file:
                for kind, position, data in notes[at:cut + 1]:
                    if kind == recorder.WRITE:
                        pending.append((position, data))
                        continue
                    for earlier, kept in pending:
                        file.seek(earlier)
                        file.write(kept)
                    pending = []
            at = cut + 1
            owed = {n: ledger[n] for n, stamp in ledger.stamps.items() if stamp <= cut + 1}
            for fate, piece in FATES.items():
                image = folder / f"cut-{cut}-{fate}"
                shutil.copy(base, image)
                with open(image, "r+b") as file:
                    for position, data in survivors(pending, piece, chance):
                        file.seek(position)
                        file.write(data)
                waiting.add(pool.submit(judge, image, owed, fate))
                if len(waiting) >= 4:
                    done, waiting = concurrent.futures.wait(
                        waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                    results += [each.result() for each in done]
        results += [each.result() for each in waiting]
    return results
