"""Plays one scenario: its server, its networks, its clients, and its steps in their order."""

import json
import urllib.parse

from adapter import Adapter
from bell import Bell, Broken, seconds
from matching import difference, filled_in
from network import DEEDS, Network
from server import Server
from timeline import Timeline, brief, shared_out
from tokens import token

PATIENCE = 15.0
# With a spoiled SDK most waits are in vain.
PATIENCE_WITH_BREAKAGE = 6.0
BACKOFF = {"base_ms": 100, "max_ms": 1000}


class Unable(Exception):
    """The SDK says that it does not offer what the scenario needs."""


class Story:
    def __init__(self, scenario, command, binary, directory, root, breakage):
        self.scenario, self.command, self.directory, self.root = scenario, command, directory, root
        self.breakage = breakage
        self.patience = PATIENCE_WITH_BREAKAGE if breakage.caught_by else PATIENCE
        self.bell = Bell()
        self.server = Server(binary, directory, scenario.get("server", {}))
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
            await self._server_step(step, patience)
        elif "network" in step:
            await self._network_step(step, patience)
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
        await adapter.start(self.command, self.root)
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

    # The network.

    async def _network_step(self, step, patience):
        network = self.networks.get(step["network"]) or await self._network(step["network"])
        if "does" in step:
            if step["does"] not in DEEDS:
                raise ValueError(f"a network cannot `{step['does']}`; it can {', '.join(DEEDS)}")
            await DEEDS[step["does"]](network, step)
        elif "sees" in step:
            await self._seen(network, step["sees"], patience, step.get("as"))
        elif "never_saw" in step:
            for entry in network.seen:
                if difference(step["never_saw"], entry) is None:
                    raise Broken(f"the network of {network.name} saw what must not be: {brief(entry)}")
        elif "quiet_for" in step:
            await self._quiet(network, seconds(step["quiet_for"]))
        elif "pause" in step:
            self._pause(network, step["pause"])
        else:
            span = (network.attempts[-1] - network.attempts[0]) * 1000
            if wrong := difference(step["span"], span):
                raise Broken(f"{network.name} connected {len(network.attempts)} times in {span:.0f} ms: {wrong}")

    async def _seen(self, network, matcher, patience, keep):
        """Something went over the wire since the last thing that was looked for."""
        def found():
            for at in range(getattr(network, "looked", 0), len(network.seen)):
                if difference(matcher, network.seen[at]) is None:
                    network.looked = at + 1
                    return network.seen[at]
            return None

        entry = await self.bell.until(found, patience, lambda: f"the network of {network.name} to see {matcher}")
        if keep:
            self.kept[keep] = entry

    async def _quiet(self, network, time):
        """Nobody connects for a while: the one thing that takes a fixed time to see."""
        before = len(network.attempts)
        try:
            await self.bell.until(lambda: len(network.attempts) > before, time, str)
        except Broken:
            return
        raise Broken(f"{network.name} connected again, and must not")

    def _pause(self, network, bounds):
        """How long after the end of the connection before the last attempt was made."""
        ends = [end for end in network.ends if end <= network.attempts[-1]]
        waited = (network.attempts[-1] - ends[-1]) * 1000
        wrong = difference(bounds, waited)
        if wrong:
            raise Broken(f"{network.name} came back after {waited:.0f} ms: {wrong}")

    # The server.

    async def _server_step(self, step, patience):
        what = step["server"]
        if what == "publish":
            await self._publish(step)
        elif what in ("start", "kill", "drain", "wipe", "restart", "ended"):
            await self._power(what)
        elif what in ("disconnect", "revoke"):
            user = urllib.parse.quote(step["user"], safe="")
            status, answer = await self.server.ask("POST", f"/v1/users/{user}/{what}", at="operator")
            if status not in (200, 202):
                raise Broken(f"the operator's {what} was answered with {status}: {answer}")
        elif what == "history":
            await self._eventually(step, patience, lambda: self.server.history(step["topic"]))
        elif what == "dead_letters":
            await self._eventually(step, patience, self._dead_letters)
        elif what == "groups":
            await self._eventually(step, patience, self._groups)
        elif what == "trimmed":
            await self._eventually({"has": step, **step}, patience, lambda: self._first(step["topic"]))
        elif what == "cursors":
            await self._eventually(step, patience, lambda: self._cursors(step["user"]))
        else:
            raise ValueError(f"the server cannot `{what}`")

    async def _power(self, what):
        if what in ("kill", "restart"):
            await self.server.kill()
        if what in ("start", "restart"):
            await self.server.start()
        if what == "drain":
            self.server.drain()
        if what == "ended":
            await self.server.ended()
        if what == "wipe":
            await self.server.wipe()

    async def _publish(self, step):
        rest = {key: step[key] for key in ("key", "order_key", "ttl_ms", "headers") if key in step}
        values = listed(step["each"]) if "each" in step else [step["data"]]
        messages = [{"topic": step["topic"], "data": value, **rest} for value in values]
        results = await self.server.publish(messages)
        if "as" in step:
            self.kept[step["as"]] = results[-1]

    async def _dead_letters(self):
        _, answer = await self.server.ask("GET", "/v1/dead-letters", at="operator")
        return answer["dead_letters"]

    async def _groups(self):
        _, answer = await self.server.ask("GET", "/v1/groups", at="operator")
        return answer["groups"]

    async def _first(self, topic):
        """Which message of a topic is the first that is kept."""
        path = f"/v1/history?topic={urllib.parse.quote(topic, safe='')}&limit=1"
        _, answer = await self.server.ask("GET", path)
        return {"server": "trimmed", "topic": topic, "first": answer["first"]}

    async def _cursors(self, user):
        _, answer = await self.server.ask("GET", f"/v1/users/{urllib.parse.quote(user, safe='')}", at="operator")
        return answer["cursors"]

    async def _eventually(self, step, patience, ask):
        """The server comes to have just these, in this order. It is asked again and again: it tells nobody."""
        deadline, wrong = self.bell.now() + patience, "it was not asked"
        expected = listed_matchers(step)
        while self.bell.now() < deadline:
            got = await ask()
            wrong = difference(expected, got)
            if wrong is None:
                return
            try:
                await self.bell.until(lambda: False, 0.05, str)
            except Broken:
                pass
        raise Broken(f"the server has not what it should in {step['server']}: {wrong}; it has {brief(json.dumps(got))}")


def listed(each):
    """Values as a list; {"from": 1, "to": 9} stands for the numbers from 1 to 9."""
    return list(range(each["from"], each["to"] + 1)) if isinstance(each, dict) else list(each)


def listed_matchers(step):
    """What a list has to be: matchers in `has`, or the data of its messages in `each`."""
    return [{"data": value} for value in listed(step["each"])] if "each" in step else step["has"]
