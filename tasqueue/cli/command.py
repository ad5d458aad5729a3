"""The program: its commands, and its errors as plain lines on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version

import rich_click as click

from tasqueue.cli.loading import UsageError
from tasqueue.cli.worker import worker

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def tasqueue() -> None:
    """Run functions later, elsewhere, safely."""


@tasqueue.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("tasqueue"))


tasqueue.add_command(worker)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Errors are plain lines on stderr."""
    try:
        code = tasqueue.main(args=args, prog_name="tasqueue", standalone_mode=False)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except click.ClickException as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    return code if isinstance(code, int) else 0
