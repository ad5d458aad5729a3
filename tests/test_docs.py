"""What the docs show is run: each Python block, each command that starts a worker, each example."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import tasqueue
from tasqueue.cli.command import tasqueue as tasqueue_command
from tasqueue.sdk.options import CallOptions, TaskOptions
from tests.servers import valkey

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES: Final = sorted((ROOT / "examples").glob("*.py"))
FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
PATIENCE: Final = 60  # seconds for a whole page, so that a hang has an end


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            language=found["language"],
            title=(re.search(r'title="([^"]+)"', found["info"]) or ["", ""])[1],
            text=re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            line=text.count("\n", 0, found.start()) + 1,
        )
        for found in FENCE.finditer(text)
    ]


def script(page: Path) -> str:
    """The untitled Python blocks of a page as one program, each line where the page has it."""
    lines = [""] * (page.read_text().count("\n") + 1)
    for block in blocks(page):
        if block.language == "python" and not block.title:
            code = block.text.splitlines()
            lines[block.line : block.line + len(code)] = code
    return "\n".join(lines)


def workers(page: Path) -> list[list[str]]:
    """The `tasqueue worker …` commands that a page tells its reader to type, once each."""
    typed = (
        line.removeprefix("$ ").partition("#")[0].split()
        for block in blocks(page)
        if block.language == "bash"
        for line in block.text.splitlines()
    )
    commands = [command[1:] for command in typed if command[:2] == ["tasqueue", "worker"]]
    return [list(command) for command in dict.fromkeys(map(tuple, commands))]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the test's own server stands in for localhost:6379."""
    with valkey() as server:
        yield server.port


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A reader's terminal: a folder of its own, and a server where the page says that one is."""

    folder: Path
    port: int

    def write(self, name: str, code: str) -> Path:
        """Save a file, its Redis being the test's."""
        here = code.replace("localhost:6379", f"127.0.0.1:{self.port}")
        path = self.folder / name
        path.write_text(here.replace("port=6379", f"port={self.port}"))
        return path

    def python(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start Python with warnings as errors."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TASQUEUE_")}
        found_in = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=environment | {"PYTHONPATH": os.pathsep.join(found_in), "PYTHONUNBUFFERED": "1"},
        )

    def run(self, path: Path) -> str:
        """Run a program to its end; what it printed."""
        with self.python(str(path)) as process:
            try:
                printed, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                printed = f"still running after {PATIENCE} s:\n{process.communicate()[0]}"
        assert process.returncode == 0, printed
        return printed

    @contextmanager
    def working(self, commands: list[list[str]]) -> Iterator[None]:
        """Keep workers running; each must drain and exit 0 when told to stop."""
        running = [self.python("-m", "tasqueue", *command) for command in commands]
        try:
            yield
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            ends = [(process.communicate(timeout=PATIENCE)[0], process) for process in running]
        for printed, process in ends:
            assert process.returncode == 0, printed


@pytest.mark.timeout(PATIENCE * 2)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_python_block_of_a_page_runs(page: Path, port: int, tmp_path: Path) -> None:
    program = script(page)
    titled = [block for block in blocks(page) if block.language == "python" and block.title]
    if not program.strip() and not titled:
        return
    shell = Shell(folder=tmp_path, port=port)
    for block in titled:
        shell.write(block.title, block.text)
    with shell.working(workers(page)):
        shell.run(shell.write("page.py", program))


@pytest.mark.timeout(PATIENCE * 2)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_runs_and_says_something(example: Path, port: int, tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, port=port)
    assert shell.run(shell.write(example.name, example.read_text())).strip()


def test_the_reference_lists_exactly_the_public_names() -> None:
    shown = [
        name
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for name in re.findall(r"^::: tasqueue\.(\w+)$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(shown) == sorted(tasqueue.__all__)


def test_the_readme_gives_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text()
    for command in ('pip install -e ".[dev]"', "pytest tests/ -v"):
        assert command in readme
        assert command in ci


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    for name, command in tasqueue_command.commands.items():
        assert f"tasqueue {name}" in page
        shown = [one for one in command.params if not getattr(one, "hidden", False)]
        options = {text for one in shown for text in one.opts if text.startswith("-")}
        assert [option for option in sorted(options) if f"`{option}`" not in page] == []


def test_the_reference_of_the_sdk_lists_every_option_of_a_task_and_of_a_call() -> None:
    page = (ROOT / "docs" / "reference" / "sdk.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", page, re.MULTILINE)
    for kind, options in (("task", TaskOptions), ("call", CallOptions)):
        listed = [name for name, of in rows if kind in of]
        assert sorted(listed) == sorted(options.__annotations__)


def test_every_path_that_the_docs_name_is_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(
            r"`((?:tasqueue|tests|examples|docs|\.ci)/[\w./-]*)`", page.read_text()
        )
    }
    assert [pair for pair in sorted(named) if not (ROOT / pair[1]).exists()] == []
