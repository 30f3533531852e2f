"""What a scenario can do to the server, and ask of it past the client and its network."""

import json
import urllib.parse

from bell import Broken
from matching import difference, listed
from timeline import brief

# Between two questions: the server tells nobody when what is asked for changes.
ASK_EVERY_SECONDS = 0.05
MESSAGE_FIELDS = ("key", "order_key", "ttl_ms", "headers")


async def server_step(server, bell, step, patience, kept):
    what = step["server"]
    if what in POWER:
        await POWER[what](server)
    elif what == "publish":
        await publish(server, step, kept)
    elif what in ("disconnect", "revoke"):
        await send_away(server, what, step["user"])
    elif what in QUESTIONS:
        await comes_to_have(server, bell, step, patience)
    else:
        known = ", ".join([*POWER, "publish", "disconnect", "revoke", *QUESTIONS])
        raise ValueError(f"the server cannot `{what}`; there are {known}")


async def restart(server):
    await server.kill()
    await server.start()


async def drain(server):
    server.drain()


POWER = {
    "start": lambda server: server.start(),
    "kill": lambda server: server.kill(),
    "restart": restart,
    "drain": drain,
    "ended": lambda server: server.ended(),
    "wipe": lambda server: server.wipe(),
}


async def publish(server, step, kept):
    """By HTTP, as somebody else: one message, or `each` of several."""
    more = {name: step[name] for name in MESSAGE_FIELDS if name in step}
    values = listed(step["each"]) if "each" in step else [step["data"]]
    messages = [{"topic": step["topic"], "data": value, **more} for value in values]
    results = await server.publish(messages)
    if "as" in step:
        kept[step["as"]] = results[-1]


async def send_away(server, what, user):
    path = f"/v1/users/{quoted(user)}/{what}"
    status, answer = await server.ask("POST", path, at="operator")
    if status not in (200, 202):
        raise Broken(f"the operator's {what} was answered with {status}: {answer}")


async def dead_letters(server, _):
    _, answer = await server.ask("GET", "/v1/dead-letters", at="operator")
    return answer["dead_letters"]


async def groups(server, _):
    _, answer = await server.ask("GET", "/v1/groups", at="operator")
    return answer["groups"]


async def cursors(server, step):
    _, answer = await server.ask("GET", f"/v1/users/{quoted(step['user'])}", at="operator")
    return answer["cursors"]


async def history(server, step):
    return await server.history(step["topic"])


async def first_kept(server, step):
    _, answer = await server.ask("GET", f"/v1/history?topic={quoted(step['topic'])}&limit=1")
    return answer["first"]


QUESTIONS = {
    "dead_letters": dead_letters,
    "groups": groups,
    "cursors": cursors,
    "history": history,
    "first_kept": first_kept,
}


async def comes_to_have(server, bell, step, patience):
    """The server comes to have just what is expected: of a list all, in this order."""
    expected = [{"data": value} for value in listed(step["each"])] if "each" in step else step["has"]
    deadline, wrong, got = bell.now() + patience, "it was not asked", None
    while bell.now() < deadline:
        got = await QUESTIONS[step["server"]](server, step)
        wrong = difference(expected, got)
        if wrong is None:
            return
        await bell.pass_by(ASK_EVERY_SECONDS)
    told = f"{wrong}; it has {brief(json.dumps(got))}"
    raise Broken(f"the server has not what it should in {step['server']}: {told}")


def quoted(text):
    return urllib.parse.quote(text, safe="")
