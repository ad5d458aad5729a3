"""An app on each back end: the same tests run on memory and on a real Valkey."""

from collections.abc import Iterator

import pytest

from tasqueue.sdk.app import App


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a back end."""
    if request.param == "memory":
        return "memory://"
    found: str = request.getfixturevalue("redis_url")
    return found


@pytest.fixture
def app(url: str) -> Iterator[App]:
    """An app with a worker beside it that starts with the first job, on Redis too."""
    with App(url) as made:
        made._client.is_memory = True
        yield made


@pytest.fixture
def memory_app() -> Iterator[App]:
    """An app in memory, for what other back ends cannot do yet."""
    with App("memory://") as made:
        yield made
