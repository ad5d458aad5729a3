"""Who takes part: each contestant's environment, adapter, setting and number of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the tables."""

    name: str
    adapter: str
    """The script in ``contestants/`` without its ending, or ``go``."""
    packages: tuple[str, ...] = ()
    """What its environment holds; the first one is the library whose version is shown."""
    jobs: int
    """Jobs in a full drain: some seconds' work."""
    setting: str
    """How it is run, in words: its documented best."""
    env: dict[str, str] = field(default_factory=dict)
    kept: bool = True
    """Whether results are kept."""
    ours: bool = False

    @property
    def library(self) -> str:
        """The package whose version is shown, in lower case."""
        if self.adapter == "go":
            return "github.com/kalbhor/tasqueue/v2"
        return "tasqueue" if self.ours or not self.packages else self.packages[0].partition("[")[0]


_OURS: Final = (".",)
_BARE: Final = ("redis", "hiredis", "uvloop")


def _ours(name: str, mode: str, *, jobs: int, setting: str, **env: str) -> Entry:
    return Entry(
        name=f"tasqueue {name}", adapter="with_tasqueue", packages=_OURS, jobs=jobs,
        setting=setting, env={"BENCH_MODE": mode} | env, ours=True,
    )  # fmt: skip


def _go(goroutines: int) -> Entry:
    return Entry(
        name=f"Go Tasqueue, {goroutines} goroutines", adapter="go", jobs=30_000,
        setting=f"v2.3.0, concurrency {goroutines}", env={"BENCH_SLOTS": str(goroutines)},
    )  # fmt: skip


def _bare(name: str, mode: str, *, jobs: int, setting: str) -> Entry:
    return Entry(
        name=f"no library: {name}", adapter="yardstick", packages=_BARE, jobs=jobs,
        setting=setting, env={"BENCH_MODE": mode},
    )  # fmt: skip


ENTRIES: Final = (
    _ours("async def", "async", jobs=100_000, setting="defaults: 16 slots"),
    _ours("async def, 200 slots", "slots", jobs=100_000, setting="--concurrency 200",
          BENCH_SLOTS="200"),
    _ours("async def, a log line per job", "log", jobs=50_000, setting="defaults, and its log",
          BENCH_LOG="yes"),
    _ours("def (threads)", "thread", jobs=40_000, setting="defaults: 16 threads"),
    _ours("groups of 1,000", "group", jobs=40_000, setting="defaults"),
    _ours("chains of 5", "chain", jobs=40_000, setting="defaults"),
    _go(10),
    _go(50),
    Entry(
        name="repid", adapter="with_repid",
        packages=("repid[redis]", "hiredis", "uvloop", "typing-extensions"),
        jobs=20_000, setting="1,000 tasks at once, uvloop", kept=False,
    ),
    Entry(
        name="huey", adapter="with_huey", packages=("huey", "redis", "hiredis"),
        jobs=10_000, setting="RedisHuey blocking, 4 threads",
    ),
    Entry(
        name="dramatiq", adapter="with_dramatiq", packages=("dramatiq[redis]", "hiredis"),
        jobs=8_000, setting="1 process, 8 threads, prefetch 1,000, results in Redis",
    ),
    Entry(
        name="bullmq", adapter="with_bullmq", packages=("bullmq", "hiredis"),
        jobs=8_000, setting="concurrency 100",
    ),
    Entry(
        name="arq", adapter="with_arq", packages=("arq[hiredis]", "uvloop"),
        jobs=6_000, setting="max_jobs 500, poll_delay 10 ms, uvloop",
    ),
    Entry(
        name="docket", adapter="with_docket", packages=("pydocket", "hiredis", "uvloop"),
        jobs=5_000, setting="concurrency 100, uvloop",
    ),
    Entry(
        name="taskiq", adapter="with_taskiq",
        packages=("taskiq", "taskiq-redis", "hiredis", "uvloop", "orjson"),
        jobs=6_000, setting="RedisStreamBroker, 1 process, 100 async tasks, uvloop",
    ),
    Entry(
        name="saq", adapter="with_saq", packages=("saq[hiredis]", "uvloop", "typing-extensions"),
        jobs=5_000, setting="concurrency 100, uvloop",
    ),
    Entry(
        name="streaq", adapter="with_streaq", packages=("streaq", "hiredis", "uvloop"),
        jobs=4_000, setting="concurrency 100, prefetch 100, uvloop",
    ),
    Entry(
        name="celery", adapter="with_celery", packages=("celery[redis]", "hiredis"),
        jobs=4_000, setting="pool solo, prefetch 100, results in Redis",
    ),
    Entry(
        name="rq", adapter="with_rq", packages=("rq", "hiredis"),
        jobs=1_500, setting="SimpleWorker",
    ),
    _bare("redis-py async", "async", jobs=20_000, setting="LPUSH; BLPOP + SET"),
    _bare("redis-py blocking", "blocking", jobs=20_000, setting="LPUSH; BLPOP + SET"),
    _bare("redis-py pipelined", "batch", jobs=50_000, setting="LPOP 50 + 50 SETs"),
)  # fmt: skip
