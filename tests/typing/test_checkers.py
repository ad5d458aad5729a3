"""Both type checkers see what the SDK promises, and report what it promises to report."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
SOUND: Final = ("infers.py", "must_pass.py")
WRONG: Final = "deliberate_mistakes.py"

Reported = dict[str, dict[int, str]]
"""File name → line → what is wrong there."""


def _run(*command: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.stdout, run.stderr
    return run.stdout


def _mypy() -> Reported:
    config = ("--config-file", str(ROOT / "pyproject.toml"))
    # Of what it imports only the types count here: mypy has a run of its own over it.
    printed = _run("mypy", *config, *[str(HERE / name) for name in (*SOUND, WRONG)])
    return _lines(re.findall(r"^(\S+?):(\d+): error: (.*)$", printed, re.MULTILINE))


def _pyright() -> Reported:
    """Each file in a run of its own: beside infers.py, 1.40.2 overlooks one of the mistakes."""
    found: list[tuple[str, str, str]] = []
    for name in (*SOUND, WRONG):
        report = json.loads(_run("basedpyright", "--outputjson", str(HERE / name)))
        assert report["summary"]["filesAnalyzed"] == 1
        found.extend(
            (one["file"], str(one["range"]["start"]["line"] + 1), one["message"])
            for one in report["generalDiagnostics"]
            if one["severity"] == "error"
        )
    return _lines(found)


def _lines(found: list[tuple[str, str, str]]) -> Reported:
    reported: Reported = {name: {} for name in (*SOUND, WRONG)}
    for file, line, text in found:
        reported.setdefault(Path(file).name, {})[int(line)] = text
    return reported


@pytest.fixture(scope="module", params=[_mypy, _pyright], ids=["mypy", "basedpyright"])
def reported(request: pytest.FixtureRequest) -> Reported:
    check: Callable[[], Reported] = request.param
    return check()


# Both start cold: they read all that the SDK imports.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SOUND)
def test_what_is_right_passes(reported: Reported, name: str) -> None:
    assert reported[name] == {}


@pytest.mark.timeout(180)
def test_each_deliberate_mistake_is_reported_and_nothing_else(reported: Reported) -> None:
    lines = (HERE / WRONG).read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# wrong: " in line}
    assert len(marked) > 30
    seen = reported[WRONG]
    assert {number: lines[number - 1] for number in marked - set(seen)} == {}
    assert {number: seen[number] for number in set(seen) - marked} == {}
