"""Plays one scenario: its server, its networks, its clients, and its steps in their order."""

import pathlib
import typing

from adapter import Adapter
from bell import Bell, Broken, seconds
from matching import difference, filled_in, listed
from network import Network
from network_steps import network_step
from server import Server
from server_steps import server_step
from timeline import Timeline, brief, shared_out
from tokens import token

PATIENCE = 15.0
# With a spoiled SDK most waits are in vain.
PATIENCE_WITH_BREAKAGE = 6.0
BACKOFF = {"base_ms": 100, "max_ms": 1000}


class Unable(Exception):
    """The SDK says that it does not offer what the scenario needs."""


class Setting(typing.NamedTuple):
    """What is the same for all scenarios of a run."""

    command: list
    """How the adapter is started, and in which folder."""
    folder: pathlib.Path
    server: str
    """The server's binary."""
    logs: pathlib.Path
    """Where the logs of failing scenarios go."""


class Story:
    def __init__(self, scenario, setting, directory, breakage):
        self.scenario, self.setting, self.directory = scenario, setting, directory
        self.breakage = breakage
        self.patience = PATIENCE_WITH_BREAKAGE if breakage.caught_by else PATIENCE
        self.bell = Bell()
        self.server = Server(setting.server, directory, scenario.get("server", {}))
        self.networks, self.timelines, self.kept, self.pending = {}, {}, {}, {}
        self.step_number, self.hello = 0, None

    async def play(self):
        await self.server.start()
        for number, step in enumerate(self.scenario["steps"], 1):
            self.step_number = number
            await self._step(filled_in(step, self.kept))
        for name, timeline in self.timelines.items():
            if left := timeline.left_over():
                raise Broken(f"{name} told what nobody expected: {[brief(event) for event in left[:3]]}")

    async def end(self):
        for timeline in self.timelines.values():
            await timeline.adapter.stop()
        for network in self.networks.values():
            await network.end()
        await self.server.kill()

    async def _step(self, step):
        patience = seconds(step["within"]) if "within" in step else self.patience
        if "server" in step:
            await server_step(self.server, self.bell, step, patience, self.kept)
        elif "network" in step:
            network = self.networks.get(step["network"]) or await self._network(step["network"])
            await network_step(network, step, patience, self.kept)
        elif "clients" in step:
            timelines = [self.timelines[name] for name in step["clients"]]
            share = step["share"]
            await shared_out(timelines, share["sub"], listed(share["each"]), self.bell, patience)
        elif "tells" in step:
            for expectation in step["tells"]:
                await self._told(step["client"], expectation, patience, step.get("as"))
        else:
            await self._client_step(step, patience)

    # Clients.

    async def _client_step(self, step, patience):
        name = step["client"]
        if step.get("does") == "open":
            await self._open(name, step)
        timeline = self.timelines.get(name)
        if timeline is None:
            raise ValueError(f"`{name}` was not opened")
        if step.get("does") == "die":
            # Without a word, as an application does that crashes.
            timeline.adapter.kill()
            return
        asked = self.pending.pop(step["answered"]) if "answered" in step else self._ask(name, step)
        if "pending" in step:
            self.pending[step["pending"]] = asked
            return
        for identity in asked:
            self._judge(name, step, await timeline.adapter.answer(identity, patience))

    def _ask(self, name, step):
        """Has the adapter do something, or many things at once; gives their ids."""
        command, adapter = self._command(name, step), self.timelines[name].adapter
        if "each" not in command:
            return [adapter.ask(command)]
        values = listed(command.pop("each"))
        return [adapter.ask({**command, "data": value}) for value in values]

    async def _open(self, name, step):
        if name in self.timelines:
            raise ValueError(f"`{name}` is open already; another client has another name")
        network = self.networks.get(name) or await self._network(name)
        adapter = Adapter(name, self.bell, self.directory / f"{name}.stderr", self.breakage)
        await adapter.start(self.setting.command, self.setting.folder)
        self.timelines[name] = Timeline(adapter)
        self.hello = await self.timelines[name].expect("hello", {"sdk": {"any": True}}, 60)
        missing = set(self.scenario.get("needs", [])) - set(self.hello.get("can", []))
        if missing:
            raise Unable(f"the SDK says that it does not offer {', '.join(sorted(missing))}")
        step["url"] = network.url()

    async def _network(self, name):
        self.networks[name] = Network(name, self.server, self.bell, self.breakage)
        await self.networks[name].open()
        return self.networks[name]

    def _command(self, name, step):
        """The step as the adapter hears it."""
        words = ("client", "as", "answer", "refused", "pending", "within", "note", "name")
        command = {key: value for key, value in step.items() if key not in words}
        command["do"] = command.pop("does")
        if command["do"] == "open":
            command.setdefault("token", {"user": name})
            command["backoff"] = BACKOFF
            if "name" in step:
                command["client"] = step["name"]
        if isinstance(command.get("token"), dict):
            command["token"] = token(**command["token"])
        return command

    def _judge(self, name, step, answer):
        """Whether an answer is the expected one."""
        if "refused" in step:
            if "error" not in answer:
                raise Broken(f"{name} was to be refused, and was not: {brief(answer)}")
            wrong = difference(step["refused"], answer["error"])
        else:
            if "ok" not in answer:
                raise Broken(f"{name} was refused: {brief(answer)}")
            wrong = difference(step.get("answer", {}), answer["ok"])
            if "as" in step:
                self.kept[step["as"]] = answer["ok"]
        if wrong:
            raise Broken(f"the answer to {name} is another: {wrong}; it is {brief(answer)}")

    async def _told(self, name, expectation, patience, keep):
        (kind, matcher), = expectation.items()
        timeline = self.timelines[name]
        if kind == "messages":
            rest = {key: value for key, value in matcher.items() if key != "each"}
            for value in listed(matcher["each"]):
                event = await timeline.expect("message", {**rest, "data": value}, patience)
        elif kind == "state" and isinstance(matcher, str):
            event = await timeline.expect("state", {"status": matcher}, patience)
        else:
            event = await timeline.expect(kind, matcher, patience)
        if keep:
            self.kept[keep] = event
