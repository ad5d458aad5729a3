"""The page on the command line says what the commands take, no more and no less."""

import re
from pathlib import Path

import rich_click as click

from tasqueue.cli.command import tasqueue
from tasqueue.cli.worker import worker

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()


def test_the_page_names_the_options_that_the_worker_takes() -> None:
    rows = re.findall(r"^\| (`-.*?) \|", PAGE, re.MULTILINE)
    written = {name for row in rows for name in re.findall(r"`(-[^`]+)`", row)}
    options = [one for one in worker.params if isinstance(one, click.Option) and not one.hidden]
    assert written == {name for option in options for name in option.opts}


def test_the_page_has_a_heading_for_each_command() -> None:
    headings = set(re.findall(r"^## tasqueue (\w+)", PAGE, re.MULTILINE))
    assert headings == set(tasqueue.commands)
