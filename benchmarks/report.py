"""Results as Markdown tables and charts, and the tables' place in the docs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.chart import Bar, draw, figure
from benchmarks.place import ROOT

_PAGE: Final = ROOT / "docs" / "benchmarks.md"
_PICTURES: Final = ROOT / "docs" / "benchmarks"

Line = dict[str, Any]
Lines = dict[str, Line]

_RATES: Final = (
    ("drain, jobs/s", "drain_per_s"),
    ("enqueue/s one by one", "one_per_s"),
    ("bulk call", "many_per_s"),
    ("100 coroutines", "burst_per_s"),
    ("worker CPU µs/job", "worker_cpu_us"),
    ("Redis CPU µs/job", "redis_cpu_us"),
)
_LATENCIES: Final = (
    ("start p50, ms", "start_p50_ms"),
    ("start p99, ms", "start_p99_ms"),
    ("result p50, ms", "result_p50_ms"),
    ("result p99, ms", "result_p99_ms"),
)
_COSTS: Final = (
    ("packets to Redis per job", "redis_packets"),
    ("commands per job, those in scripts too", "redis_commands"),
    ("script calls per job", "redis_scripts"),
    ("worker RSS, MB", "worker_rss_mb"),
)


def write(results: dict[str, Any], folder: Path, name: str) -> None:
    """Write the Markdown and the charts of a run beside its JSON."""
    lines: Lines = {n: line for n, line in results["contestants"].items() if line["median"]}
    (folder / f"{name}.md").write_text(markdown(results, lines))
    for suffix, picture in charts(lines).items():
        (folder / f"{name}-{suffix}.svg").write_text(picture)


def publish(results: dict[str, Any]) -> None:
    """Put a run's tables and charts into the docs."""
    lines: Lines = {n: line for n, line in results["contestants"].items() if line["median"]}
    _PICTURES.mkdir(exist_ok=True)
    for suffix, picture in charts(lines).items():
        (_PICTURES / f"{suffix}.svg").write_text(picture)
    fill("results", markdown(results, lines))


def fill(part: str, text: str) -> None:
    """Replace a part of the docs page: what lies between its two comments."""
    begin, end = f"<!-- {part}: written by benchmarks/ -->", f"<!-- {part}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    page = _PAGE.read_text()
    filled = pattern.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page)
    _PAGE.write_text(filled)


def markdown(results: dict[str, Any], lines: Lines) -> str:
    """All tables of a run."""
    about = results["about"]
    load = about["load"]
    how = (
        f"{about['date']}, commit {about['commit']}, {about['machine']}, {about['server']} without "
        f"persistence, Python {about['python']}; medians of {about['rounds']} interleaved rounds "
        f"with {100 * about['share']:.0f} % of the full job counts; load average of the machine "
        f"during the run {load['least']:.1f} to {load['most']:.1f}. Command: `{about['command']}`"
    )
    parts = [
        how,
        _table(lines, _RATES, by="drain_per_s"),
        _table(lines, _LATENCIES, by="start_p50_ms"),
        _table(lines, _COSTS, by="redis_packets"),
        _ratios(lines),
        _settings(lines),
    ]
    if results["errors"]:
        errors = results["errors"].items()
        failed = [f"- {name}: `{text.splitlines()[-1]}`" for name, text in errors]
        parts.append("Rounds that failed:\n\n" + "\n".join(failed))
    return "\n\n".join(parts) + "\n"


_CHARTS: Final = (
    ("drain", "Jobs per second, one worker process", ("drain_per_s",)),
    ("enqueue", "Jobs enqueued per second, one by one", ("one_per_s",)),
    ("cpu", "CPU per job, µs: worker + Redis", ("worker_cpu_us", "redis_cpu_us")),
    ("start", "From enqueue to the task's first line, idle worker, ms", ("start_p50_ms",)),
)


def charts(lines: Lines) -> dict[str, str]:
    """The charts of a run, by name."""
    found = {}
    for name, title, keys in _CHARTS:
        is_rate = keys[0].endswith("_per_s")
        rows = [
            Bar(n, [line["median"][key] for key in keys], line["ours"])
            for n, line in _sorted(lines, keys[0], most_first=is_rate)
        ]
        note = f"{'longer' if is_rate else 'shorter'} is better; median of the rounds"
        if rows:
            found[name] = draw(title, note, rows)
    return found


def _sorted(lines: Lines, key: str, *, most_first: bool) -> list[tuple[str, Line]]:
    having = [(name, line) for name, line in lines.items() if key in line["median"]]
    value: Callable[[tuple[str, Line]], float] = lambda one: one[1]["median"][key]  # noqa: E731
    return sorted(having, key=value, reverse=most_first)


def _table(lines: Lines, columns: tuple[tuple[str, str], ...], *, by: str) -> str:
    head = "| | " + " | ".join(title for title, _ in columns) + " |"
    rule = "|---|" + "--:|" * len(columns)
    rows = []
    for name, line in _sorted(lines, by, most_first=by.endswith("_per_s")):
        cells = [_cell(line["median"].get(key)) for _, key in columns]
        shown = f"**{name}**" if line["ours"] else name
        rows.append(f"| {shown}{'' if line['kept'] else ' (no results)'} | {' | '.join(cells)} |")
    return "\n".join([head, rule, *rows])


def _cell(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _settings(lines: Lines) -> str:
    rows = []
    for name, line in lines.items():
        version = next(iter(_library(line).items()), ("", ""))
        rows.append(f"| {name} | {' '.join(version)} | {line['setting']} | {line['jobs']:,} |")
    return "\n".join(["| | version | run as | jobs in full |", "|---|---|---|--:|", *rows])


def _library(line: Line) -> dict[str, str]:
    wanted = line["library"]
    return {name: version for name, version in line["versions"].items() if name.lower() == wanted}


_PEERS: Final = (
    "huey", "dramatiq", "bullmq", "arq", "docket", "taskiq", "saq", "streaq", "celery", "rq",
)  # fmt: skip


_GO: Final = ("Go Tasqueue, 50 goroutines",)
_TARGETS: Final = (
    ("drain, `async def`", "tasqueue async def", "drain_per_s", _GO, 3.5),
    ("drain, `async def`", "tasqueue async def", "drain_per_s", _PEERS, 8),
    ("drain, `async def`", "tasqueue async def", "drain_per_s", ("celery",), 25),
    ("drain, threads", "tasqueue def (threads)", "drain_per_s", _GO, 1.2),
    ("drain, threads", "tasqueue def (threads)", "drain_per_s", ("dramatiq",), 4),
    ("`.delay()` one by one", "tasqueue async def", "one_per_s", _GO, 1),
    ("`.delay()` one by one", "tasqueue async def", "one_per_s", _PEERS, 1),
    ("`delay_many`", "tasqueue async def", "many_per_s", _PEERS, 2),
    ("`adelay`, 100 coroutines", "tasqueue async def", "burst_per_s", _PEERS, 2),
)
"""What, whose figure, which figure, against whom (the best of them), and how many times it."""


def _ratios(lines: Lines) -> str:
    rows = [
        _ratio(
            lines, f"{what} | {{}} | {wanted:g} × |", ours, key=key, others=others, wanted=wanted
        )
        for what, ours, key, others, wanted in _TARGETS
    ]
    head = ["| target | against | wanted | measured | by its CPU | |", "|---|---|--:|--:|--:|---|"]
    return "\n".join([*head, *filter(None, rows)])


def _ratio(
    lines: Lines, what: str, ours: str, *, key: str, others: tuple[str, ...], wanted: float
) -> str:
    mine = lines.get(ours, {}).get("median", {}).get(key)
    theirs = {
        name: lines[name]["median"][key]
        for name in others
        if key in lines.get(name, {}).get("median", {})
    }
    if mine is None or not theirs:
        return ""
    best = max(theirs, key=theirs.__getitem__)
    ratio = mine / theirs[best]
    against = best if len(others) == 1 else f"the best peer ({best})"
    verdict = "reached" if ratio >= wanted else "not yet"
    cpu = key.replace("_per_s", "_cpu_us").replace("drain", "worker")
    by_cpu = lines[best]["median"][cpu] / lines[ours]["median"][cpu]
    return f"| {what.format(against)} {ratio:.2f} × | {by_cpu:.2f} × | {verdict} |"
