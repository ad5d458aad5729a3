"""The Go side of the parity tests: our Go program, built once, and the processes made of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity.program import GoCron, GoDecoder, build_program

# The first build on a machine fetches and compiles the library; the first test pays for it.
_BUILD_TIMEOUT = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Go, and give it the time of a build."""
    for item in items:
        if isinstance(item, pytest.Function) and "go_program" in item.fixturenames:
            item.add_marker(pytest.mark.go)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_BUILD_TIMEOUT))


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the compiled program; a build that fails is an error, not a skip."""
    if shutil.which("go") is None:
        pytest.skip("no Go tool chain on this machine: there is no command named go")
    return build_program(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def go_decoder(go_program: Path) -> Iterator[GoDecoder]:
    """Go's msgpack decoder."""
    with GoDecoder(go_program) as decoder:
        yield decoder


@pytest.fixture(scope="session")
def go_cron(go_program: Path) -> Iterator[GoCron]:
    """Go's cron parser."""
    with GoCron(go_program) as cron:
        yield cron
