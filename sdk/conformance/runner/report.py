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
        return f"noticed  {breakage.name}: {result['name']}, step {result['step']}: {result['why'][:WHY_MAX]}"
    return f"UNNOTICED {breakage.name}: {result['name']} {result['result']}"


def closing_lines(results):
    counts = {kind: [one for one in results if one["result"] == kind] for kind in ("passed", "failed", "skipped")}
    lines = [""]
    for kind in ("skipped", "failed"):
        lines += [f"{kind}: {one['name']}: {one['why'][:WHY_MAX]}" for one in counts[kind]]
    lines.append(", ".join(f"{len(some)} {kind}" for kind, some in counts.items()))
    return "\n".join(lines)


def write_log(story, result, folder):
    """One file with everything that was seen, in the order of time: the first thing to read."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.log"
    seen = []
    for name, network in story.networks.items():
        seen += [(e["at"], f"wire   {name} #{e['connection']} {'held ' if 'held' in e else ''}{e['from']}: {json.dumps(e['frame'])}") for e in network.seen]
    for name, timeline in story.timelines.items():
        events = timeline.adapter.events
        seen += [(e["at"], f"told   {name}: {json.dumps({k: v for k, v in e.items() if k != 'at'})}") for e in events]
    seen.sort(key=lambda one: one[0])
    lines = [f"{result['title']}", f"failed at step {result['step']}: {result['why']}"]
    lines.append(json.dumps(story.scenario["steps"][result["step"] - 1]) if result["step"] else "before its first step")
    lines += ["", *(f"{at:8.3f} {text}" for at, text in seen[-LOG_EVENTS_MAX:])]
    for file in sorted(story.directory.glob("*.stderr")) + [story.server.log]:
        if file.exists():
            lines += ["", f"--- {file.name}", *file.read_text(errors="replace").splitlines()[-40:]]
    path.write_text("\n".join(lines) + "\n")
    return path


def record(results, sdk, here, root):
    """Keeps the results of one SDK, and draws the table of all whose results are kept."""
    folder = here / "results"
    folder.mkdir(exist_ok=True)
    hello = next((one["hello"] for one in results if one["hello"]), {})
    kept = {"sdk": hello.get("sdk", sdk), "scenarios": {}}
    for one in sorted(results, key=lambda one: one["name"]):
        entry = {"result": one["result"], **({"why": one["why"]} if one["result"] == "skipped" else {})}
        kept["scenarios"][one["name"]] = entry
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
        marks = [one_sdk["scenarios"].get(one["name"], {}).get("result", "not run") for one_sdk in sdks]
        link = f"[{one['title']}](../sdk/conformance/scenarios/{one['name']}.json)"
        rows.append(f"| {link} | {' | '.join(marks)} |")
    return "\n".join(rows)
