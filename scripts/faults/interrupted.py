"""R6: calls that are interrupted, and reads and writes that take only a part."""

import struct
import subprocess
from pathlib import Path

from server import Server, expect, need, require
from traffic import Traffic, settle

# As in interrupted.c: how often each was interrupted, and how often cut short.
KINDS = ("file_writes", "syncs", "file_reads", "socket_writes", "socket_reads", "waits")
STORAGE = '[storage]\nsegment_bytes = "1MiB"\n[[topic]]\nmatch = "faults"\nretention_bytes = "64MiB"\n'


def interrupted(quick):
    """R6: an eighth of all calls is interrupted, a third of reads and writes takes only a part."""
    need("cc", "gcc")
    with Server(STORAGE) as server, Traffic(server, size=2000, pause=0.001) as traffic:
        library, counts = server.directory / "interrupted.so", server.directory / "counts"
        source = Path(__file__).with_name("interrupted.c")
        made = subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"],
                              capture_output=True, text=True)
        require(made.returncode == 0, f"cc: {made.stderr[-200:]}")
        counts.write_bytes(bytes(16 * 8))
        server.environment = {"LD_PRELOAD": str(library), "INTERRUPTED_COUNTS": str(counts)}
        for life in range(2 if quick else 6):
            server.start()
            settle(traffic, 2 if quick else 8)
            if life % 2:
                server.signal(15)
                expect(server.wait() == 0, f"it did not end well: {server.tail()}")
            else:
                server.kill()
        # The log is judged by a server to which nothing is done.
        server.environment = {}
        server.start()
        figures = traffic.finish(trimmed=True)
        damaged = server.metric("store_damaged")
        numbers = struct.unpack("<16Q", counts.read_bytes())
    expect(not damaged, f"{damaged:.0f} records of the log are damaged")
    done = {kind: list(numbers[2 * n:2 * n + 2]) for n, kind in enumerate(KINDS)}
    for kind in ("file_writes", "socket_writes"):
        expect(min(done[kind]) > 50, f"hardly any {kind} were touched: {done}")
    for kind in ("syncs", "socket_reads"):
        expect(done[kind][0] > 50, f"hardly any {kind} were interrupted: {done}")
    return {"interrupted_and_cut_short": done, "damaged": 0, **figures}
