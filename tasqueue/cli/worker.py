"""``tasqueue worker``: runs the jobs of an app until it is told to stop, in one process or many."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rich_click as click

from tasqueue.cli.loading import USAGE, UsageError, chosen_target, load_app
from tasqueue.cli.serving import Supervision, serve
from tasqueue.cli.supervising import supervise
from tasqueue.core.limits import GRACE, LEASE
from tasqueue.engine.context import LOGGER
from tasqueue.engine.process import Channel, Hello, Ledger, Limits
from tasqueue.sdk.app import App
from tasqueue.sdk.opening import MEMORY, scheme, shown

_LEASE_HELP: Final = "Seconds until others get the jobs of a worker that is silent (30)."
_ROOM: Final = 2
"""Times as many jobs as there are slots find room in the ledger."""


@click.command()
@click.argument("app", required=False)
@click.option("-A", "--app", "named", metavar="MODULE:APP", help="The same, as an option.")
@click.option("--queues", help="Queues to work on, with commas; all by default.")
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once on a queue (16).")
@click.option("--grace", type=click.FloatRange(0), help="Seconds for running jobs to end (10).")
@click.option("--lease", type=click.FloatRange(0, min_open=True), help=_LEASE_HELP)
@click.option("--processes", type=click.IntRange(1), help="Worker processes under a supervisor.")
@click.option("--max-jobs", type=click.IntRange(1), help="Replace a process after so many jobs.")
@click.option("--max-rss", type=click.FloatRange(1), help="Replace a process above so many MiB.")
@click.option("--supervised", nargs=2, type=int, hidden=True)
def worker(app: str | None, *, named: str | None, **options: Any) -> int:
    """Run the jobs of APP (MODULE:APP) until SIGTERM or Ctrl-C; then finish what runs.

    A second signal skips the wait. The exit code is 0 if nothing is left in hand.
    """
    target = chosen_target(app, named)
    given = Options(**options)
    _log(with_process=given.supervisor or given.supervised is not None)
    if given.supervisor:
        return supervise([*filter(None, [app or named]), *given.handed_down()], given.limits())
    loaded = load_app(target)
    _refuse_memory(loaded)
    return _work(loaded, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says of a worker; None where it says nothing."""

    queues: str | None
    concurrency: int | None
    grace: float | None
    lease: float | None
    processes: int | None
    max_jobs: int | None
    max_rss: float | None
    supervised: tuple[int, int] | None
    """Descriptors of ledger and channel, which a supervisor handed to this process."""

    @property
    def supervisor(self) -> bool:
        """Whether this process is to be a supervisor."""
        return self.supervised is None and any((self.processes, self.max_jobs, self.max_rss))

    def limits(self) -> Limits:
        """What a supervisor keeps to.

        Raises:
            UsageError: this system does not say how large a process is.
        """
        if self.max_rss and not Path("/proc/self/statm").exists():
            raise UsageError("--max-rss needs /proc, which this system does not have.", USAGE)
        return Limits(
            processes=self.processes or 1, max_jobs=self.max_jobs, max_rss_mib=self.max_rss
        )

    def handed_down(self) -> list[str]:
        """The part of the command line that a supervisor's children get."""
        pairs = {
            "--queues": self.queues, "--concurrency": self.concurrency,
            "--grace": self.grace, "--lease": self.lease,
        }  # fmt: skip
        return [str(part) for pair in pairs.items() if pair[1] is not None for part in pair]


def _work(app: App, given: Options) -> int:
    grace = GRACE if given.grace is None else given.grace
    lease = given.lease or LEASE
    working = app.server.limit(
        queues=[name for name in (given.queues or "").split(",") if name],
        concurrency=given.concurrency,
        grace=math.inf if given.supervised else grace,
        lease_seconds=lease,
    )
    shares = ", ".join(f"{queue} ({slots})" for queue, slots in working.items())
    LOGGER.info("tasqueue worker on %s: %s", shown(app.url), shares or "no queue")
    if given.supervised is None:
        return serve(app)
    memory, line = given.supervised
    channel = Channel(line)
    ledger = Ledger(memory, tuple(working), _ROOM * sum(working.values()))
    channel.greet(Hello(app.url, tuple(working), lease, grace))
    return serve(app, Supervision(ledger, channel, grace))


def _log(*, with_process: bool) -> None:
    process = " [%(process)d]" if with_process else ""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname)s{process} %(message)s"
    )


def _refuse_memory(app: App) -> None:
    if scheme(app.url) == MEMORY:
        raise UsageError(
            "This app is on memory://, which lives inside one process: a worker elsewhere sees no "
            "job of it. Use redis://HOST:6379/0 (sqlite:///jobs.db comes with a later version).",
            USAGE,
        )
