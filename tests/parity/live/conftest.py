"""The live half of the parity tests: real Go and real Python on one Valkey."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.parity.live.client import GoClient, PythonClient, our_server
from tests.parity.live.fleet import GoProducer, GoWorker, PythonWorker
from tests.parity.live.pair import Hire, Pair, hiring
from tests.parity.program import GoDecoder
from tests.servers import Valkey


@pytest.fixture
def go_client(go_program: Path, valkey_server: Valkey, redis_client: Redis) -> Iterator[GoClient]:
    """A Go producer on the empty server."""
    with GoProducer(go_program, port=valkey_server.port) as producer:
        yield GoClient(producer)


@pytest.fixture
async def python_client(
    go_decoder: GoDecoder, valkey_server: Valkey, redis_client: Redis
) -> AsyncIterator[PythonClient]:
    """A producer of ours on the empty server."""
    async with our_server(valkey_server.port) as server:
        yield PythonClient(server, go_decoder)


@pytest.fixture
def hire_go(go_program: Path, valkey_server: Valkey, redis_client: Redis) -> Iterator[Hire]:
    """Starts Go workers."""
    with hiring(GoWorker, go_program, valkey_server.port) as hire:
        yield hire


@pytest.fixture
def hire_python(tmp_path: Path, valkey_server: Valkey, redis_client: Redis) -> Iterator[Hire]:
    """Starts Python workers."""
    with hiring(PythonWorker, tmp_path, valkey_server.port) as hire:
        yield hire


@pytest.fixture(params=["go-to-go", "go-to-python", "python-to-go"])
def pair(
    request: pytest.FixtureRequest,
    go_client: GoClient,
    python_client: PythonClient,
    hire_go: Hire,
    hire_python: Hire,
    redis_client: Redis,
) -> Pair:
    """Who enqueues, and who works; Go with itself shows that a test states Go's own rule."""
    sender, _, worker = str(request.param).partition("-to-")
    return Pair(
        client=go_client if sender == "go" else python_client,
        hire=hire_go if worker == "go" else hire_python,
        kind=GoWorker if worker == "go" else PythonWorker,
        go=go_client,
        python=python_client,
        store=redis_client,
    )
