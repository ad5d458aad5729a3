"""Marks of the fault suite, a site for each test, and the line of figures at its end."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.grid import Grid, grid
from tests.faults.load import QUEUE
from tests.faults.rows import NOT_HERE, ROWS
from tests.faults.site import Site, site
from tests.parity.conftest import go_program

__all__ = ["go_program"]

_ROW: Final = re.compile(r"test_row_(\d\d)_")
_TIMEOUT: Final = 180
"""Seconds of one test: several processes start and end, on a machine that others use too."""
_HERE: Final = Path(__file__).parent

_outcomes: dict[int, set[str]] = {}
_figures: Final[list[str]] = []
_began: Final = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rows; ``slow_fault`` is set beside the test."""
    for item in items:
        if item.path.is_relative_to(_HERE) and _ROW.match(item.name):
            item.add_marker(pytest.mark.faults)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TIMEOUT))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what became of each row's tests."""
    row = _ROW.match(report.nodeid.rpartition("::")[2])
    if row and (report.when == "call" or report.outcome != "passed"):
        _outcomes.setdefault(int(row[1]), set()).add(report.outcome)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The line of figures, where the whole suite was asked for."""
    expression = str(terminalreporter.config.option.markexpr)
    if not _outcomes or "not slow_fault" in expression:
        return
    for figure in _figures:
        terminalreporter.write_line(figure)
    passed = sum(outcomes == {"passed"} for outcomes in _outcomes.values())
    failed = sum("failed" in outcomes for outcomes in _outcomes.values())
    open_rows = set(ROWS) - set(_outcomes) - set(NOT_HERE)
    terminalreporter.write_line(
        f"faults: {passed} of {len(ROWS)} rows passed, {failed} failed, "
        f"{len(NOT_HERE)} not runnable here, {len(open_rows)} not run, "
        f"{time.monotonic() - _began:.0f} s"
    )


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what was measured, for the end of the whole suite; nothing is asserted of a time."""
    return lambda figure: _figures.append(f"{request.node.name}: {figure}")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A server that journals every write, and whatever the test starts beside it."""
    with site(tmp_path) as opened:
        yield opened


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Site]:
    """A server that keeps nothing on disk."""
    with site(tmp_path, journal=False) as opened:
        yield opened


@pytest.fixture
def lattice(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Grid]:
    """A cluster whose servers journal every write, and whatever the test starts beside it."""
    with grid(tmp_path, getattr(request, "param", QUEUE)) as opened:
        yield opened
