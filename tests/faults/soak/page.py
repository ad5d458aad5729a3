"""The page of kept runs: docs/design/soak.md, made of runs.jsonl."""

import json
from pathlib import Path
from typing import Any, Final

from tests.parity.program import ROOT

RUNS: Final = Path(__file__).with_name("runs.jsonl")
PAGE: Final = ROOT / "docs" / "design" / "soak.md"

_TOP: Final = """# The soak

`just soak --jobs N --kills K --seed S` sends jobs of every kind (plain, retrying, failing with an
error job, chains, groups, groups with a callback, jobs with an ETA) to four worker processes and a
supervisor with two more. Some are behind a proxy that loses and resets; processes are killed with
`kill -9` or stopped beyond their lease of 3 s, and Valkey itself is killed and comes back from its
journal (AOF, everysec). At the end the oracle of [injected faults](faults.md) counts: where each
job is, and from the server's own journal how often each was completed and each child entered.

Go's promotion of a due job is two steps (LPUSH, then ZREM), which two workers may do at the same
time: then the queue holds the same bytes twice. Of such copies our workers decide one and
acknowledge the other; a copy that a Go worker takes counts on its own, and so do the children that
it releases. The runs with Go below therefore come in two kinds: without waiting retries and ETAs,
where nothing may complete twice, and "with delays", where the server's journal is read for each job
that did: who completed it, and where its second message came from. "By us alone" must be 0 in both.
The server is left alone in them, since a Go worker loses what it has popped when the server dies.

One job below was completed twice by us alone (seed 302). In the journal one of the two did not
belong to a FINISH, and only a pair of two servers ends jobs like that. What we conclude: a worker
was started while the server was killed and came back, asked broker and results for the server's
identity, the one before and the other after, and took one server for two. It asks again now, and
a test has the case (`test_a_server_that_restarts_while_it_is_asked_is_still_one_store`). Runs 301
to 308 are from before.

Written by the soak itself, from `tests/faults/soak/runs.jsonl`. The machine has two cores, which
other programs used at the same time: seconds and recovery times are upper limits.

"""

_ROWS: Final = {
    "sent": "jobs sent, children included",
    "completed": "completed",
    "failed": "failed, as they should",
    "dead": "dead",
    "lost": "**lost**",
    "twice_by_us_alone": "**completed twice, or children entered twice, by us alone**",
    "twice_beside_go": "completed or entered twice, a Go worker having taken a copy",
    "completed_twice": "completed twice, by whomever",
    "children_twice": "children entered twice, by whomever",
    "entered_twice": "other jobs entered twice",
    "wrong": "in a wrong place, or keys left over",
    "run_again": "run again",
    "bound_on_duplicates": "bound on that: slots of all that was killed or cut off",
    "runs_in_go": "run by a Go worker",
    "zombies_refused": "completions of zombies refused",
    "decided_before": "completions told that they had been decided before",
    "recovered_jobs": "jobs cut short by a kill",
    "recovery_p50_s": "seconds until such a job ran again, p50",
    "recovery_p99_s": "the same, p99",
    "seconds": "seconds in all",
}


def write_page() -> None:
    """Write the page anew."""
    runs: list[dict[str, Any]] = [json.loads(line) for line in RUNS.read_text().splitlines()]
    for run in runs:
        # The first runs kept only their totals, which were 0.
        run.setdefault("twice_by_us_alone", 0)
        run.setdefault("twice_beside_go", 0)
    total = {name: sum(run[name] for run in runs) for name in _SUMS}
    harm: dict[str, int] = {}
    for run in runs:
        for name, count in run["harm"].items():
            harm[name] = harm.get(name, 0) + count
    text = _TOP + f"**{len(runs)} runs in all: " + _sentence(total) + "**\n\n"
    text += "| harm | times |\n| --- | ---: |\n"
    text += "".join(f"| {name} | {count:,} |\n" for name, count in sorted(harm.items()))
    for run in runs:
        beside = ", a Go worker and producer beside ours" if run["go"] else ""
        if run.get("delays"):
            beside += ", with delays"
        if run.get("poison"):
            beside += f", {run['poison']} jobs that kill their process"
        text += f"\n## {run['sent']:,} jobs, {run['kills']} kills, seed {run['seed']}{beside}\n\n"
        text += "| | |\n| --- | ---: |\n"
        text += "".join(f"| {label} | {_shown(run[name])} |\n" for name, label in _ROWS.items())
        for how, count in run.get("completed_twice_how", {}).items():
            text += f"| of the completed twice: {how} | {count:,} |\n"
    PAGE.write_text(text)


_SUMS: Final = ("sent", "kills", "lost", "twice_by_us_alone", "twice_beside_go", "run_again")


def _sentence(total: dict[str, int]) -> str:
    return (
        f"{total['sent']:,} jobs, {total['kills']:,} kills of worker processes; {total['lost']:,} "
        f"jobs lost, {total['twice_by_us_alone']:,} completed or released twice by us alone, "
        f"{total['twice_beside_go']:,} twice because a Go worker took a copy, "
        f"{total['run_again']:,} runs again."
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"
