"""Whether what came is what a scenario expects.

An expected object asks for its members only: others may be there. These objects with one member
ask for something else than being equal:

    {"at_least": 2}  {"at_most": 9}  {"one_of": ["a", "b"]}  {"any": true}  {"absent": true}
    {"not": "a"}     {"contains": "text"}    {"the": "name.member"}: of what an answer was kept as
"""

import time

ABSENT = object()


def looked_up(path, kept):
    """What `name.member` stands for among the answers that were kept."""
    name, *members = path.split(".")
    if name not in kept:
        raise ValueError(f"nothing was kept as `{name}`; there is {sorted(kept)}")
    value = kept[name]
    for member in members:
        if not isinstance(value, dict) or member not in value:
            raise ValueError(f"`{path}`: there is no `{member}` in {value}")
        value = value[member]
    return value


def filled_in(value, kept):
    """A value of a scenario with what stands for something replaced: {"the": …} and so on."""
    if isinstance(value, dict):
        if set(value) == {"the"}:
            return looked_up(value["the"], kept)
        if set(value) == {"repeat", "times"}:
            return value["repeat"] * value["times"]
        if set(value) == {"now_plus_ms"}:
            return int(time.time() * 1000) + value["now_plus_ms"]
        return {name: filled_in(member, kept) for name, member in value.items()}
    if isinstance(value, list):
        return [filled_in(member, kept) for member in value]
    return value


OPERATORS = {
    "at_least": lambda asked, got: is_number(got) and got >= asked,
    "at_most": lambda asked, got: is_number(got) and got <= asked,
    "one_of": lambda asked, got: any(difference(one, got) is None for one in asked),
    "any": lambda _, got: got is not ABSENT,
    "absent": lambda _, got: got is ABSENT,
    "not": lambda asked, got: difference(asked, got) is not None,
    "contains": lambda asked, got: isinstance(got, str) and asked in got,
}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def difference(expected, got, where=""):
    """None if it matches; else a few words on the first difference."""
    if isinstance(expected, dict) and len(expected) == 1:
        (name, asked), = expected.items()
        if name in OPERATORS:
            return None if OPERATORS[name](asked, got) else told(where, expected, got)
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, member in expected.items():
            found = difference(member, got.get(name, ABSENT), f"{where}.{name}")
            if found:
                return found
        return None
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got))
        return next((d for n, (e, g) in pairs if (d := difference(e, g, f"{where}[{n}]"))), None)
    # In JSON true is not 1, though Python thinks so.
    if type(expected) is bool or type(got) is bool:
        return None if expected is got else told(where, expected, got)
    return None if expected == got else told(where, expected, got)


def told(where, expected, got):
    shown = "nothing" if got is ABSENT else repr(got)
    return f"{where.lstrip('.') or 'it'} is {shown}, not {expected!r}"


def listed(each):
    """Values as a list; {"from": 1, "to": 9} stands for the numbers from 1 to 9."""
    return list(range(each["from"], each["to"] + 1)) if isinstance(each, dict) else list(each)
