"""Starting the real server, and looking at it from outside."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


class Skip(Exception):
    """The fault cannot be had on this machine; says what is missing."""


class Failed(Exception):
    """A promise was broken."""


def require(condition, missing):
    if not condition:
        raise Skip(missing)


def expect(condition, what):
    if not condition:
        raise Failed(what)


def need_root():
    require(os.geteuid() == 0, "needs root")


def need(program, package=None):
    require(shutil.which(program), f"needs {program}: apt-get install {package or program}")


def binary():
    """The server to test: TIDINGS_BIN, or what was built for release."""
    named = os.environ.get("TIDINGS_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(named) if named else target / "release" / "tidings"
    require(path.exists(), f"{path} is missing: cargo build --release -p tidings, or set TIDINGS_BIN")
    return str(path.resolve())


def eventually(what, holds, seconds=60.0):
    """Waits until it holds; gives the seconds that took."""
    begin = time.monotonic()
    while not holds():
        expect(time.monotonic() - begin < seconds, f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)
    return time.monotonic() - begin


def free_port():
    import random
    import socket

    while True:
        # Below those the system gives out by itself: a client must not meet itself.
        port = random.randrange(10000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Server:
    """A server with a configuration of its own. Stops, and is cleaned up, at the end of `with`."""

    def __init__(self, configuration="", data=None, prefix=(), environment=None, listen="127.0.0.1"):
        self.directory = Path(tempfile.mkdtemp(prefix="tidings-fault-"))
        self.data = Path(data) if data else self.directory / "data"
        self.port, self.operator = free_port(), free_port()
        self.address = (listen, self.port)
        self.prefix, self.environment = list(prefix), environment or {}
        file = self.directory / "tidings.toml"
        file.write_text("[auth]\nopen = true\n" + configuration)
        self.log = self.directory / "server.log"
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, ready=True):
        for _ in range(3):
            self._launch()
            if not ready:
                return None
            try:
                return eventually("the server", self._ready_or_dead)
            except Failed:
                # Another program may take a port between two looks at it.
                if "Address already in use" not in self.tail(1):
                    raise
                self.port, self.operator = free_port(), free_port()
                self.address = (self.address[0], self.port)
        raise Failed(f"no port is left: {self.tail(1)}")

    def _launch(self):
        command = [
            *self.prefix, binary(), "serve", "-c", str(self.directory / "tidings.toml"),
            "--data", str(self.data), "--listen", f"{self.address[0]}:{self.port}",
            "--operator", f"127.0.0.1:{self.operator}",
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDINGS_")}
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"),
            env={**environment, **self.environment},
        )

    def _ready_or_dead(self):
        expect(self.process.poll() is None, f"the server ended: {self.tail()}")
        return self.health() == 200

    def health(self):
        """The status of /readyz, or None if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.operator}/readyz", timeout=5) as got:
                return got.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operator}/metrics", timeout=30) as got:
            lines = got.read().decode().splitlines()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}

    def metric(self, name):
        return self.metrics().get("tidings_" + name, 0.0)

    def pid(self):
        """The server's own process, below whatever it was started with."""
        pid = self.process.pid
        while True:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name == "tidings":
                return pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            expect(children, f"{name} has started no server")
            pid = int(children[0])

    def status(self, field):
        for line in Path(f"/proc/{self.pid()}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def rss_mib(self):
        return self.status("VmRSS") / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid()}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid()}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def signal(self, which):
        os.kill(self.pid(), which)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds=60):
        return self.process.wait(seconds)

    def tail(self, lines=6):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def disk_mib(self, part="."):
        total = 0
        for path in (self.data / part).rglob("*"):
            try:
                total += path.stat().st_blocks * 512
            except FileNotFoundError:  # Renamed or deleted meanwhile.
                pass
        return total / (1 << 20)
