"""The real server of one scenario: its configuration, its process, and what is asked of it by HTTP."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import urllib.parse

from bell import Broken
from tokens import API_KEY, EVERYTHING, SECRET

BASE = {
    "auth": {
        "leeway": "0s",
        "keys": [{"algorithm": "HS256", "secret": SECRET}],
        "api_keys": [{"name": "shop", "key": API_KEY, "caps": EVERYTHING}],
    },
    "log": {"format": "json"},
    # Small files: many servers start at once.
    "storage": {"segment_bytes": "1MiB"},
}
START_SECONDS = 20


def toml(tables, prefix=""):
    """A configuration as TOML: tables of plain values, and lists of such tables."""
    lines, below = [], []
    for name, value in tables.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            below.append(f"[{path}]\n{toml(value, path + '.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict) and name != "caps":
            below += [f"[[{path}]]\n{toml(one, path + '.')}" for one in value]
        else:
            lines.append(f"{name} = {inline(value)}")
    return "\n".join(lines + below) + "\n"


def inline(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {inline(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(one) for one in value) + "]"
    return json.dumps(value)


def merged(base, more):
    """`more` over `base`, table by table."""
    both = dict(base)
    for name, value in more.items():
        is_table = isinstance(value, dict) and isinstance(base.get(name), dict)
        both[name] = merged(base[name], value) if is_table else value
    return both


class Server:
    """A server that can be killed, drained, wiped and started again on the same data."""

    def __init__(self, binary, directory, configuration):
        self.binary, self.data = binary, directory / "data"
        self.file, self.log = directory / "tidings.toml", directory / "server.log"
        self.file.write_text(toml(merged(BASE, configuration)))
        self.process, self.reading, self.public, self.operator = None, None, None, None

    async def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDINGS_")}
        self.process = await asyncio.create_subprocess_exec(
            self.binary, "serve", "-c", str(self.file), "--data", str(self.data),
            "--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, env=environment, limit=1 << 22,
        )
        try:
            await asyncio.wait_for(self._serving(), START_SECONDS)
        except asyncio.TimeoutError:
            raise Broken(f"the server did not start within {START_SECONDS} s") from None
        self.reading = asyncio.create_task(self._drain_log())

    async def _serving(self):
        """Reads its log up to the line that has its addresses."""
        seen = []
        while line := await self.process.stderr.readline():
            self._note(line)
            seen.append(line.decode(errors="replace").strip())
            if b'"serving"' in line:
                fields = json.loads(line)
                fields = fields.get("fields", fields)
                self.public = address(fields["public"])
                self.operator = address(fields["operator"])
                return
        raise Broken(f"the server ended at its start: {' / '.join(seen[-3:])}")

    async def _drain_log(self):
        while line := await self.process.stderr.readline():
            self._note(line)

    def _note(self, line):
        with open(self.log, "ab") as log:
            log.write(line)

    async def kill(self):
        if self.process and self.process.returncode is None:
            self.process.kill()
        await self.ended()

    def drain(self):
        self.process.send_signal(signal.SIGTERM)

    async def ended(self):
        if self.process:
            await self.process.wait()
            if self.reading:
                await self.reading
            self.process = None

    async def wipe(self):
        """Takes its log away, as if the disk had been lost."""
        if self.process:
            raise ValueError("the server runs; kill or drain it before its data is wiped")
        shutil.rmtree(self.data)

    async def ask(self, method, path, body=None, at="public", headers=()):
        """One HTTP request; gives the status and what the JSON of the answer says."""
        if not self.process:
            raise ValueError(f"the server does not run, so it cannot be asked for {path}")
        return await asyncio.to_thread(self._ask, method, path, body, at, headers)

    def _ask(self, method, path, body, at, headers):
        host, port = self.public if at == "public" else self.operator
        connection = http.client.HTTPConnection(host, port, timeout=20)
        try:
            said = {"X-API-Key": API_KEY} if at == "public" else {}
            content = None
            if body is not None:
                content, said["Content-Type"] = json.dumps(body), "application/json"
            connection.request(method, path, content, {**said, **dict(headers)})
            got = connection.getresponse()
            text = got.read()
            return got.status, json.loads(text) if text else None
        finally:
            connection.close()

    async def publish(self, messages):
        """Publishes by HTTP; gives the results, one for each."""
        results = []
        for at in range(0, len(messages), 500):
            batch = {"messages": messages[at : at + 500]}
            status, answer = await self.ask("POST", "/v1/publish/batch", batch)
            refused = [one for one in (answer or {}).get("results", []) if "error" in one]
            if status != 200 or refused:
                raise Broken(f"the server refused a publish by HTTP: {status} {refused or answer}")
            results += answer["results"]
        return results

    async def history(self, topic):
        """All messages of a topic, oldest first."""
        messages, cursor = [], ""
        while True:
            path = f"/v1/history?topic={urllib.parse.quote(topic, safe='')}&limit=500{cursor}"
            status, answer = await self.ask("GET", path)
            if status != 200:
                raise Broken(f"no history of {topic}: {status} {answer}")
            messages += answer["messages"]
            if not answer["more"]:
                return messages
            cursor = f"&cursor={urllib.parse.quote(answer['cursor'], safe='')}"


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)
