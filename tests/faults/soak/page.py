"""The page of kept runs: docs/design/soak.md, made of runs.jsonl."""

import json
from collections import Counter
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
a test has the case (`test_a_server_that_restarts_while_it_is_asked_is_still_one_store`). All runs
up to 308 are from before; the sum of those since then is below.

Written by the soak itself, from `tests/faults/soak/runs.jsonl`. The machine has two cores, which
other programs used at the same time: seconds and recovery times are upper limits.

"""

_BEFORE_THE_MEND: Final = 22
"""Runs in the file that are older than the mend of what seed 302 found."""

_COLUMNS: Final = {
    "seed": "seed",
    "kills": "kill -9",
    "sent": "jobs, children included",
    "completed": "completed",
    "failed": "failed, as they should",
    "dead": "dead",
    "lost": "**lost**",
    "twice_by_us_alone": "**completed or released twice, by us alone**",
    "twice_beside_go": "the same, Go having taken a copy",
    "entered_twice": "other jobs entered twice",
    "wrong": "in a wrong place, or keys left over",
    "run_again": "run again",
    "bound_on_duplicates": "bound on that",
    "runs_in_go": "run by Go",
    "zombies_refused": "completions of zombies refused",
    "decided_before": "completions told that they had been decided before",
    "recovered_jobs": "cut short by a kill",
    "recovery_p50_s": "s until these ran again, p50",
    "recovery_p99_s": "p99",
    "seconds": "s in all",
}
_SUMS: Final = ("sent", "kills", "lost", "twice_by_us_alone", "twice_beside_go", "run_again")

Run = dict[str, Any]


def write_page() -> None:
    """Write the page anew."""
    runs: list[Run] = [json.loads(line) for line in RUNS.read_text().splitlines()]
    for run in runs:
        # The first runs kept only their totals, which were 0.
        run.setdefault("twice_by_us_alone", 0)
        run.setdefault("twice_beside_go", 0)
    since = runs[_BEFORE_THE_MEND:]
    parts = [
        _TOP + f"**{len(runs)} runs in all: {_sentence(runs)}**\n",
        f"The {len(since)} runs since the mend: {_sentence(since)}\n",
        "## Harm done\n",
        _table({"harm": "harm", "times": "times"}, _harm(runs)),
        "## The runs\n",
        'The bound on "run again" are the slots of all that was killed or cut off.\n',
        _table({"kind": "kind", **_COLUMNS}, [{"kind": _kind(run), **run} for run in runs]),
        "Who completed what was completed twice, by the server's journal:\n",
        _table({"seed": "seed", "how": "how", "times": "times"}, _hows(runs)),
    ]
    PAGE.write_text("\n".join(parts))


def _sentence(runs: list[Run]) -> str:
    total = {name: sum(run[name] for run in runs) for name in _SUMS}
    return (
        f"{total['sent']:,} jobs, {total['kills']:,} kills of worker processes; {total['lost']:,} "
        f"jobs lost, {total['twice_by_us_alone']:,} completed or released twice by us alone, "
        f"{total['twice_beside_go']:,} twice because a Go worker took a copy, "
        f"{total['run_again']:,} runs again."
    )


def _harm(runs: list[Run]) -> list[Run]:
    harm: Counter[str] = Counter()
    for run in runs:
        harm.update(run["harm"])
    return [{"harm": name, "times": count} for name, count in sorted(harm.items())]


def _kind(run: Run) -> str:
    if run["go"]:
        return "beside Go, with delays" if run.get("delays") else "beside Go"
    return f"{run['poison']} jobs kill their process" if run.get("poison") else "ours alone"


def _hows(runs: list[Run]) -> list[Run]:
    return [
        {"seed": run["seed"], "how": how, "times": count}
        for run in runs
        for how, count in run.get("completed_twice_how", {}).items()
    ]


def _table(columns: dict[str, str], rows: list[Run]) -> str:
    """A Markdown table: each column's key in the rows, and its head."""
    lines = [list(columns.values()), ["---"] * len(columns)]
    lines += [[_shown(row[key]) for key in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return "-" if value is None else f"{value:,}"
