"""What every test lives under: Hypothesis profiles, leak checks, and no quiet skips on CI."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from inspect import iscoroutinefunction

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers"]

# A slow machine is no failure of a property: no test asserts a time.
_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_SHARED)  # type: ignore[arg-type]
settings.register_profile("ci", max_examples=300, derandomize=True, **_SHARED)  # type: ignore[arg-type]
settings.register_profile("deep", max_examples=10_000, **_SHARED)  # type: ignore[arg-type]
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)

_GRACE = 2.0  # seconds that a finished test's threads and tasks get to be gone


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A test ends the threads that it started."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(_GRACE)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"this test left threads running: {alive}"


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """A test awaits or cancels the asyncio tasks that it started."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, pending = await asyncio.wait(left, timeout=_GRACE)
        names = [repr(task) for task in pending]
        assert not pending, f"this test left tasks running: {names}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every async test under ``no_task_left``; a sync test has no loop to look at."""
    for item in items:
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            # After it, since the loop ends its executor's threads when it closes.
            after = item.fixturenames.index("no_thread_left") + 1
            item.fixturenames.insert(after, "no_task_left")


def _refuse_to_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI set, turn a skip whose reason mentions Go into a failure."""
    if "CI" not in os.environ or not report.skipped or hasattr(report, "wasxfail"):
        return
    where_and_why = report.longrepr
    reason = str(where_and_why[2] if isinstance(where_and_why, tuple) else where_and_why)
    if re.search(r"\bgo(lang)?\b", reason, re.IGNORECASE):
        report.outcome = "failed"
        report.longrepr = f"CI must run the tests beside live Go, but one was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See ``_refuse_to_skip``."""
    report = yield
    _refuse_to_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See ``_refuse_to_skip``."""
    report = yield
    _refuse_to_skip(report)
    return report
