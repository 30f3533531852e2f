"""N5 and N6: thousands of readers that stop reading, crowds that come back at once."""

import collections
import contextlib
import json
import multiprocessing
import random
import resource
import select
import signal
import socket
import time

from server import Server, eventually, expect
from wire import TEXT, Peer, pack, request, unpack


def many_files(wanted=0):
    """Takes as many descriptors as there may be, and more if that is wanted and allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # Root may.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted),) * 2)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def p99(taken):
    return sorted(taken)[int(len(taken) * 0.99)] * 1000


def kernel_mib():
    """What the kernel holds for all TCP sockets of the machine."""
    with open("/proc/net/sockstat") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
    return int(words[words.index("mem") + 1]) * resource.getpagesize() / 2**20


def round_trips(peer, count, filler):
    """Publishes to its own subscription, and waits until each has come."""
    taken = []
    for _ in range(count):
        begin = time.monotonic()
        peer.ask({"publish": {"topic": "others", "data": filler}})
        while "message" not in peer.next():
            pass
        taken.append(time.monotonic() - begin)
    return taken


def slow_readers(quick):
    """N5: thousands of subscribers stop reading while their topic goes on."""
    crowd, messages, size = (500 if quick else 5000), 2000, 1024
    many_files()
    # The readers do not answer pings either; the heartbeat is another fault's matter.
    with Server('[limits]\nping_interval = "10m"\npong_timeout = "10m"\n') as server:
        server.start()
        other = Peer(server.address)
        other.ask({"subscribe": {"topic": "others"}})
        readers = []
        for n in range(crowd):
            reader = Peer(server.address, timeout=120, source=f"127.0.0.{2 + n % 8}")
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reader.ask({"subscribe": {"topic": "crowd"}})
            readers.append(reader)
        calm, before = p99(round_trips(other, 300, "x")), server.rss_mib()
        kernel, kernel_peak = kernel_mib(), 0.0
        publisher, taken, peak = Peer(server.address), [], before
        for n in range(messages):
            publisher.ask({"publish": {"topic": "crowd", "data": [n, "x" * size]}})
            if n % 10 == 0:
                taken += round_trips(other, 2, "x")
                peak, kernel_peak = max(peak, server.rss_mib()), max(kernel_peak, kernel_mib())
        grown = (peak - before) * 1024 / crowd
        # Some of them wake up: they get all of it, in order.
        for reader in random.sample(readers, 20):
            for n in range(messages):
                got = reader.next()
                expect("message" in got and got["message"]["data"][0] == n,
                       f"expected message {n}: {json.dumps(got)[:120]}")
        closes = sum(v for k, v in server.metrics().items() if k.startswith("tidings_closes"))
        for each in [*readers, other, publisher]:
            each.close()
        # Each may have its bound of unsent bytes, 256 KiB; what is sent to all is held once.
        expect(grown <= 300, f"{grown:.0f} KiB of memory for each reader that does not read")
        return {"readers": crowd, "mib_published_to_each": round(messages * size / 2**20, 1),
                "rss_mib": round(before), "rss_mib_peak": round(peak),
                "kib_per_reader": round(grown, 1),
                "kernel_kib_per_reader_both_ends": round((kernel_peak - kernel) * 1024 / crowd), "closed_by_the_server": int(closes),
                "p99_ms_of_others": round(calm, 1), "p99_ms_of_others_meanwhile": round(p99(taken), 1),
                "woken_readers_with_gaps": 0}


class Client:
    """One of a swarm: without a thread, and able to come back."""

    __slots__ = ("socket", "input", "upgraded", "session", "epoch", "offset", "wait", "due", "seen")

    def __init__(self):
        self.session = self.epoch = self.socket = None
        self.offset, self.wait, self.due, self.seen = 0, 0.25, 0.0, []


def swarm(count, address, source, pipe):
    """Keeps `count` clients connected and subscribed; tells every half second how it stands."""
    many_files()
    poll, clients = select.epoll(), [Client() for _ in range(count)]
    by_fd, ready, resumed, holes = {}, set(), 0, 0
    told, connecting = 0.0, 0
    waiting = collections.deque(range(count))

    def lose(index):
        nonlocal connecting
        client = clients[index]
        by_fd.pop(client.socket.fileno(), None)
        client.socket.close()
        if index in ready:
            ready.discard(index)
        else:
            connecting -= 1
        client.socket, client.due = None, time.monotonic() + client.wait * random.uniform(0.5, 1)
        client.wait = min(client.wait * 2, 30.0)
        waiting.append(index)

    def begin(index):
        nonlocal connecting
        client = clients[index]
        client.socket, client.input, client.upgraded = socket.socket(), bytearray(), False
        client.socket.bind((source, 0))
        client.socket.setblocking(False)
        client.socket.connect_ex(address)
        by_fd[client.socket.fileno()] = index
        connecting += 1
        poll.register(client.socket, select.EPOLLOUT)

    def take(index):
        nonlocal resumed, holes, connecting
        client = clients[index]
        got = client.socket.recv(1 << 16)
        if not got:
            raise OSError("closed")
        client.input += got
        if not client.upgraded:
            head, found, rest = bytes(client.input).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                raise OSError("refused")
            client.upgraded, client.input = True, bytearray(rest)
            connect = {"session": client.session} if client.session else {}
            after = {"after": {"epoch": client.epoch, "offset": client.offset}}
            subscribe = {"topic": "storm", **(after if client.epoch else {})}
            client.socket.sendall(pack(json.dumps({"id": 1, "connect": connect}) + "\n"
                                       + json.dumps({"id": 2, "subscribe": subscribe})))
        for opcode, payload in unpack(client.input):
            for line in payload.splitlines() if opcode == TEXT else ():
                frame = json.loads(line)
                if "connected" in frame:
                    client.session = frame["connected"]["session"]
                    resumed += frame["connected"]["resumed"]
                elif "subscribed" in frame:
                    place = frame["subscribed"]
                    holes += not place["recovered"]
                    if client.epoch is None:
                        client.epoch, client.offset = place["epoch"], place["offset"]
                    client.wait = 0.25
                    connecting -= 1
                    ready.add(index)
                elif "message" in frame:
                    offset = frame["message"]["offset"]
                    holes += offset != client.offset + 1
                    client.offset = offset
                elif "ping" in frame:
                    client.socket.sendall(pack('{"pong":{}}'))

    while True:
        now = time.monotonic()
        for _ in range(len(waiting)):
            if connecting >= 256:
                break
            index = waiting.popleft()
            if clients[index].due <= now:
                begin(index)
            else:
                waiting.append(index)
        for fd, events in poll.poll(0.02):
            index = by_fd.get(fd)
            if index is None:
                continue
            try:
                if events & (select.EPOLLHUP | select.EPOLLERR):
                    raise OSError("lost")
                if events & select.EPOLLOUT:
                    clients[index].socket.sendall(request())
                    poll.modify(fd, select.EPOLLIN)
                elif events & select.EPOLLIN:
                    take(index)
            except OSError:
                lose(index)
        if now - told > 0.1:
            told = now
            offsets = [client.offset for client in clients]
            pipe.send((len(ready), resumed, holes, min(offsets), max(offsets)))
            if pipe.poll() and pipe.recv() == "end":
                return


def storm(quick):
    """N6: the server dies, and twenty thousand clients, or as many as can be, come back at once."""
    processes = 2 if quick else 4
    # What the server itself has open is not for clients.
    total = min(2000 if quick else 20_000, many_files(21_000) - 500)
    each = total // processes
    total = each * processes
    configuration = f"[server]\nconnections_max = {total + 100}\n"
    with Server(configuration) as server:
        server.start()
        ends, workers = [], []
        for n in range(processes):
            here, there = multiprocessing.Pipe()
            arguments = (each, server.address, f"127.0.0.{2 + n}", there)
            worker = multiprocessing.Process(target=swarm, args=arguments, daemon=True)
            worker.start()
            ends.append(here)
            workers.append(worker)
        latest = [(0, 0, 0, 0, 0)] * processes

        def look():
            for n, end in enumerate(ends):
                while end.poll():
                    latest[n] = end.recv()
            return latest

        try:
            up = eventually("the crowd", lambda: sum(l[0] for l in look()) == total, 300)
            before, publisher = server.rss_mib(), Peer(server.address)
            publisher.ask({"publish": {"topic": "storm", "data": 1}})
            eventually("the first message", lambda: min(l[3] for l in look()) == 1)
            # Sessions are saved as they begin; a crash must not find one that is not.
            time.sleep(1)
            server.signal(signal.SIGKILL)
            server.process.wait()
            server.start()
            begin, cpu, peak = time.monotonic(), server.cpu_seconds(), 0.0
            Peer(server.address).ask({"publish": {"topic": "storm", "data": 2}})
            times = {}
            while 0.99 not in times or 1.0 not in times:
                expect(time.monotonic() - begin < 120, f"not all came back: {latest}")
                back = sum(l[0] for l in look())
                for part in (0.5, 0.99, 1.0):
                    if back >= part * total:
                        times.setdefault(part, round(time.monotonic() - begin, 1))
                peak = max(peak, server.rss_mib())
                time.sleep(0.05)
            eventually("the second message", lambda: min(l[3] for l in look()) == 2)
            spent = server.cpu_seconds() - cpu
            holes = sum(l[2] for l in latest)
            expect(holes == 0, f"{holes} clients were not resumed where they were")
            expect(times[0.99] <= 30, f"99 % were back only after {times[0.99]} s")
            return {"clients": total, "first_connect_s": round(up, 1), "half_back_s": times[0.5],
                    "99_percent_back_s": times[0.99], "all_back_s": times[1.0],
                    "sessions_resumed": sum(l[1] for l in latest), "lost": 0,
                    "server_cpu_us_per_client": round(spent / total * 1e6),
                    "rss_mib_before": round(before), "rss_mib_peak": round(peak)}
        finally:
            for end, worker in zip(ends, workers):
                end.send("end")
                worker.join(5)
                worker.kill()
