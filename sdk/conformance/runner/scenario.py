"""Reads scenarios, and says what is wrong with one before anything is started."""

import json

KEYS = {"title", "why", "group", "needs", "server", "steps", "slow"}
VERBS = ("does", "tells", "answered", "sees", "never_saw", "quiet_for", "pause", "span", "share", "server")


class BadScenario(Exception):
    """A file is no scenario; says which, and what to change."""


def read_all(folder):
    """Every scenario of a folder, by name; the name is that of its file."""
    return [read(path) for path in sorted(folder.glob("*.json"))]


def read(path):
    try:
        scenario = json.loads(path.read_text())
    except ValueError as error:
        raise BadScenario(f"{path}: no JSON: {error}") from None
    for wrong in wrongs(scenario):
        raise BadScenario(f"{path}: {wrong}")
    return {**scenario, "name": path.stem}


def wrongs(scenario):
    if not isinstance(scenario, dict):
        yield "a scenario is an object"
        return
    if unknown := set(scenario) - KEYS:
        yield f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(KEYS))}"
    for name in ("title", "why", "group"):
        if not isinstance(scenario.get(name), str):
            yield f"`{name}` is missing: a text"
    if not isinstance(scenario.get("steps"), list) or not scenario["steps"]:
        yield "`steps` is missing: a list of what happens"
        return
    for number, step in enumerate(scenario["steps"], 1):
        if not isinstance(step, dict):
            yield f"step {number} is no object"
            continue
        if sum(name in step for name in ("client", "clients", "network", "server")) != 1:
            yield f"step {number} says with one of client, clients, network or server who does something"
        if sum(verb in step for verb in VERBS) != 1:
            yield f"step {number} says one thing that happens: one of {', '.join(VERBS)}"
