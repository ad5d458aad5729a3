"""The commands themselves."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Any

import rich_click as click

from tasqueue.cli.loading import UsageError, chosen_target, load_app
from tasqueue.engine.server import Server
from tasqueue.sdk.app import App
from tasqueue.sdk.opening import MEMORY, scheme, shown


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def tasqueue() -> None:
    """Run functions later, elsewhere, safely."""


@tasqueue.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("tasqueue"))


@tasqueue.command()
@click.argument("app", required=False)
@click.option("--queues", default="", help="Queues to work on, with commas; all by default.")
@click.option("--concurrency", type=click.IntRange(1), help="Jobs at once on a queue (16).")
@click.option("--grace", type=click.FloatRange(0), help="Seconds for running jobs to end (10).")
def worker(app: str | None, *, queues: str, concurrency: int | None, grace: float | None) -> None:
    """Run the jobs of APP (MODULE:APP) until SIGTERM or Ctrl-C; then finish what runs."""
    loaded = load_app(chosen_target(app))
    if scheme(loaded.url) == MEMORY:
        text = "memory:// lives inside one process, so a worker elsewhere would see no job"
        raise UsageError(f"{text}: use redis:// (sqlite:// comes later).", 2)
    loaded.load_imports()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server = loaded.server
    names = [name for name in queues.split(",") if name]
    working = server.limit(queues=names, concurrency=concurrency, grace=grace)
    shares = ", ".join(f"{queue} ({slots})" for queue, slots in working.items())
    click.echo(f"tasqueue worker on {shown(loaded.url)}: {shares or 'no queue'}", err=True)
    asyncio.run(_serve(server, loaded))


async def _serve(server: Server, app: App) -> None:
    loop, stops = asyncio.get_running_loop(), set[Any]()

    def stop() -> None:
        stops.add(asyncio.ensure_future(server.stop()))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.start()
    await app.aclose()


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Errors are plain lines on stderr."""
    try:
        tasqueue.main(args=args, prog_name="tasqueue", standalone_mode=False)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except click.ClickException as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return error.exit_code
    except click.Abort:
        return 130
    return 0
