"""``tasqueue worker``: one process that runs the jobs of an app until it is told to stop."""

from __future__ import annotations

import logging
import sys

import rich_click as click

from tasqueue.cli.loading import USAGE, UsageError, chosen_target, load_app
from tasqueue.cli.serving import serve
from tasqueue.sdk.app import App
from tasqueue.sdk.opening import MEMORY, scheme, shown


@click.command()
@click.argument("app", required=False)
@click.option("-A", "--app", "named", metavar="MODULE:APP", help="The same, as an option.")
@click.option("--queues", default="", help="Queues to work on, with commas; all by default.")
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once on a queue (16).")
@click.option("--grace", type=click.FloatRange(0), help="Seconds for running jobs to end (10).")
def worker(
    app: str | None, *, named: str | None, queues: str, concurrency: int | None, grace: float | None
) -> int:
    """Run the jobs of APP (MODULE:APP) until SIGTERM or Ctrl-C; then finish what runs.

    A second signal skips the wait. The exit code is 0 if nothing is left in hand.
    """
    target = chosen_target(app, named)
    loaded = load_app(target)
    _refuse_memory(loaded)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server = loaded.server
    names = [name for name in queues.split(",") if name]
    working = server.limit(queues=names, concurrency=concurrency, grace=grace)
    shares = ", ".join(f"{queue} ({slots})" for queue, slots in working.items())
    sys.stderr.write(f"tasqueue worker on {shown(loaded.url)}: {shares or 'no queue'}\n")
    return serve(loaded)


def _refuse_memory(app: App) -> None:
    if scheme(app.url) == MEMORY:
        raise UsageError(
            "This app is on memory://, which lives inside one process: a worker elsewhere sees no "
            "job of it. Use redis://HOST:6379/0 (sqlite:///jobs.db comes with a later version).",
            USAGE,
        )
