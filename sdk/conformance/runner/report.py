"""What a run tells: a line for each scenario, the log of one that failed, the table of several SDKs."""

import json

BEGIN, END = "<!-- begin conformance -->", "<!-- end conformance -->"
LOG_EVENTS_MAX = 400
# Of a reason, in the closing lines; the whole of it stands above them and in the log.
WHY_MAX = 200


def line(result):
    text = f"{result['result']:<8} {result['name']} ({result['seconds']} s)"
    if result["result"] == "failed":
        return f"{text}\n    step {result['step']}: {result['why']}\n    {result['log']}"
    return f"{text}: {result['why']}" if "why" in result else text


def proof(breakage, result):
    """A line for an SDK that was spoiled: here a failure is what is wanted."""
    if result["result"] == "failed":
        where = f"{result['name']}, step {result['step']}"
        return f"noticed   {breakage.name}: {where}: {result['why'][:WHY_MAX]}"
    return f"UNNOTICED {breakage.name}: {result['name']} {result['result']}"


def closing_lines(results):
    kinds = ("passed", "failed", "skipped")
    counts = {kind: [one for one in results if one["result"] == kind] for kind in kinds}
    lines = [""]
    for kind in ("skipped", "failed"):
        lines += [f"{kind}: {one['name']}: {one['why'][:WHY_MAX]}" for one in counts[kind]]
    lines.append(", ".join(f"{len(some)} {kind}" for kind, some in counts.items()))
    return "\n".join(lines)


def write_log(story, result, folder):
    """One file with everything that was seen, in the order of time: the first thing to read."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.log"
    seen = sorted(everything_seen(story), key=lambda one: one[0])
    number = result["step"]
    lines = [f"{result['title']}", f"failed at step {number}: {result['why']}"]
    lines.append(json.dumps(story.scenario["steps"][number - 1]) if number else "at its start")
    lines += ["", *(f"{at:8.3f} {text}" for at, text in seen[-LOG_EVENTS_MAX:])]
    for file in sorted(story.directory.glob("*.stderr")) + [story.server.log]:
        if file.exists():
            lines += ["", f"--- {file.name}", *file.read_text(errors="replace").splitlines()[-40:]]
    path.write_text("\n".join(lines) + "\n")
    return path


def everything_seen(story):
    """Of all networks and clients: when, and what."""
    for name, network in story.networks.items():
        for entry in network.seen:
            origin = f"{entry['from']}{' (lost)' if 'held' in entry else ''}"
            frame = json.dumps(entry["frame"])
            yield entry["at"], f"wire   {name} #{entry['connection']} {origin}: {frame}"
    for name, timeline in story.timelines.items():
        for event in timeline.adapter.events:
            told = {field: value for field, value in event.items() if field != "at"}
            yield event["at"], f"told   {name}: {json.dumps(told)}"


def record(results, sdk, here, root):
    """Keeps the results of one SDK, and draws the table of all whose results are kept."""
    folder = here / "results"
    folder.mkdir(exist_ok=True)
    hello = next((one["hello"] for one in results if one["hello"]), {})
    kept = {"sdk": hello.get("sdk", sdk), "scenarios": {}}
    for one in sorted(results, key=lambda one: one["name"]):
        why = {"why": one["why"]} if one["result"] == "skipped" else {}
        kept["scenarios"][one["name"]] = {"result": one["result"], **why}
    (folder / f"{sdk}.json").write_text(json.dumps(kept, indent=2) + "\n")
    path = root / "docs" / "writing-an-sdk.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{table(results, folder)}\n{END}{after}")


def table(results, folder):
    """A row for each scenario, a column for each SDK."""
    sdks = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = [f"| scenario | {' | '.join(one['sdk'] for one in sdks)} |", f"| --- |{' --- |' * len(sdks)}"]
    for one in sorted(results, key=lambda one: one["name"]):
        found = [sdk["scenarios"].get(one["name"], {}) for sdk in sdks]
        marks = [entry.get("result", "not run") for entry in found]
        link = f"[{one['title']}](../sdk/conformance/scenarios/{one['name']}.json)"
        rows.append(f"| {link} | {' | '.join(marks)} |")
    return "\n".join(rows)
