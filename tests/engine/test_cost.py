"""What a job costs the server, in calls: a busy machine does not change that, unlike a time."""

import asyncio

from redis import Redis

from tasqueue import App
from tests.servers import knows_msetex

JOBS = 2_000
SLOTS = 100
BY_CLIENTS = ("fcall", "eval", "evalsha", "blmove")
"""What only a client sends; all else is called by our scripts, but for some at a worker's start."""


def _calls(conn: Redis) -> tuple[int, int]:
    """Calls that clients sent, and commands called inside of scripts, since the last reset."""
    stats = conn.info("commandstats")
    assert isinstance(stats, dict)
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()}
    sent = sum(calls.pop(name, 0) for name in BY_CLIENTS)
    for name in ("info", "config|resetstat", "zcard"):
        calls.pop(name, None)
    return sent, sum(calls.values())


def _show(what: str, sent: int, inside: int) -> str:
    return f"{what}: {sent / JOBS:.3f} calls and {inside / JOBS:.2f} commands in scripts a job"


async def _drained(app: App, conn: Redis, jobs: int) -> None:
    app.server.limit(concurrency=SLOTS)
    running = asyncio.create_task(app.server.start())
    while conn.zcard("tq:res:success") != jobs:  # noqa: ASYNC110 -- another process's event
        await asyncio.sleep(0.01)
    await app.server.stop()
    await running


async def test_a_job_at_full_load_costs_a_tenth_of_a_call_and_one_command_in_scripts(
    redis_url: str, redis_client: Redis
) -> None:
    async with App(redis_url) as app:

        @app.task(name="add")
        async def add(a: int, b: int) -> int:
            return a + b

        await add.adelay_many([(number, 1) for number in range(JOBS)])
        redis_client.config_resetstat()
        await _drained(app, redis_client, JOBS)
        sent, inside = _calls(redis_client)
    assert sent <= JOBS / 10, _show("drain", sent, inside)
    most = 1 if knows_msetex(redis_client) else 4
    assert inside <= most * JOBS, _show("drain", sent, inside)


async def test_a_bulk_call_costs_a_job_a_hundredth_of_a_call_and_three_commands_in_scripts(
    redis_url: str, redis_client: Redis
) -> None:
    async with App(redis_url) as app:

        @app.task(name="add")
        async def add(a: int, b: int) -> int:
            return a + b

        await add.adelay(0, 1)
        redis_client.config_resetstat()
        await add.adelay_many([(number, 1) for number in range(JOBS)])
        sent, inside = _calls(redis_client)
    assert sent <= JOBS / 100, _show("bulk", sent, inside)
    assert inside <= 3 * JOBS, _show("bulk", sent, inside)


async def test_one_job_alone_is_enqueued_with_one_call(redis_url: str, redis_client: Redis) -> None:
    async with App(redis_url) as app:

        @app.task(name="add")
        async def add(a: int, b: int) -> int:
            return a + b

        await add.adelay(0, 1)
        redis_client.config_resetstat()
        await add.adelay(0, 1)
        sent, inside = _calls(redis_client)
    assert sent == 1
    assert inside <= 3  # type, record, push
