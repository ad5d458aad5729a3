"""A server that is gone without a word: no FIN, no RST, and nobody there who would answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis import Address, RedisStore, doorbell
from tests.drivers.conftest import Q, Workers, parked
from tests.engine.rig import until
from tests.faults.proxy import FaultProxy, may_vanish
from tests.servers import Valkey


@pytest.fixture
def proxy(own_valkey: Valkey, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(own_valkey.port, tmp_path) as made:
        yield made


@pytest.fixture
async def store(proxy: FaultProxy) -> AsyncIterator[RedisStore]:
    made = RedisStore(Address.from_url(proxy.url))
    yield made
    await made.aclose()


async def test_the_system_looks_after_every_line(redis_url: str) -> None:
    address = Address.from_url(redis_url)
    lines: list[Any] = [address.async_wire(), address.blocking_wire()]
    await lines[0].connect()
    lines[1].connect()
    idle = "KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "KEEPALIVE"
    for sock in (lines[0]._writer.get_extra_info("socket"), lines[1]._sock):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for option, number in ((idle, 2), ("KEEPINTVL", 1), ("KEEPCNT", 2)):
            assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{option}")) == number
    await lines[0].disconnect(nowait=True)
    lines[1].disconnect()


@pytest.mark.skipif(not may_vanish(), reason="needs Linux and CAP_NET_ADMIN")
async def test_a_parked_claim_is_given_up_when_its_server_is_not_there_any_more(
    own_valkey: Valkey,
    proxy: FaultProxy,
    store: RedisStore,
    worker: Workers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doorbell, "PATIENCE", 600)  # who waits for the reply waits for ever
    lease = await worker()
    claiming = asyncio.create_task(lease.claim(Q, 5))
    with own_valkey.client() as looks:
        await until(lambda: parked(looks))
        proxy.vanish()
        await until(lambda: not parked(looks))
    await store.perform(Submit((Push(Q, "a", b"record", b"a"),)))
    with pytest.raises(BackendUnavailable):
        async with asyncio.timeout(20):
            await claiming
    assert [claim.body for claim in await lease.claim(Q, 5)] == [b"a"]
