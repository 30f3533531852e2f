"""What a scenario can do to the network of a client, and see there."""

from bell import Broken, seconds
from matching import difference
from network import DEEDS
from timeline import brief


async def network_step(network, step, patience, kept):
    if "does" in step:
        if step["does"] not in DEEDS:
            raise ValueError(f"a network cannot `{step['does']}`; it can {', '.join(DEEDS)}")
        await DEEDS[step["does"]](network, step)
    elif "sees" in step:
        entry = await seen(network, step["sees"], patience)
        if "as" in step:
            kept[step["as"]] = entry
    elif "never_saw" in step:
        for entry in network.seen:
            if difference(step["never_saw"], entry) is None:
                raise Broken(f"the network of {network.name} saw what must not be: {brief(entry)}")
    elif "quiet_for" in step:
        await stays_quiet(network, seconds(step["quiet_for"]))
    elif "pause" in step:
        judge_pause(network, step["pause"])
    else:
        judge_span(network, step["span"])


async def seen(network, matcher, patience):
    """Something went over the wire since the last thing that was looked for."""
    def found():
        for at in range(network.looked, len(network.seen)):
            if difference(matcher, network.seen[at]) is None:
                network.looked = at + 1
                return network.seen[at]
        return None

    def complaint():
        return f"the network of {network.name} to see {brief(matcher)}"

    return await network.bell.until(found, patience, complaint)


async def stays_quiet(network, time):
    """Nobody connects for a while: the one thing that takes a fixed time to see."""
    before = len(network.attempts)
    try:
        await network.bell.until(lambda: len(network.attempts) > before, time, str)
    except Broken:
        return
    raise Broken(f"{network.name} connected again, and must not")


def judge_pause(network, bounds):
    """How long after the end of the connection before the last attempt was made."""
    ends = [end for end in network.ends if end <= network.attempts[-1]]
    if not ends:
        raise Broken(f"{network.name} has not come back: no connection has ended yet")
    pause = round((network.attempts[-1] - ends[-1]) * 1000)
    if wrong := difference(bounds, pause):
        raise Broken(f"{network.name} came back after {pause} ms: {wrong}")


def judge_span(network, bounds):
    """How long it took from the first attempt to the last."""
    span = round((network.attempts[-1] - network.attempts[0]) * 1000)
    if wrong := difference(bounds, span):
        raise Broken(f"{network.name} connected {len(network.attempts)} times in {span} ms: {wrong}")
