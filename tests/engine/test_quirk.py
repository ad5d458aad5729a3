"""Where Go has a defect (QUIRK in ``go/SPEC.md``) ours is mended: each by its name."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasqueue import (
    Chain,
    Group,
    Job,
    JobContext,
    JobNotFound,
    JobOpts,
    QueueConflict,
    ResultNotFound,
    Server,
    ServerOpts,
    TaskOpts,
)
from tasqueue.brokers import MemoryBroker
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import Retry, Snooze
from tasqueue.core.job import NIL_JOB, JobMessage, Meta
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults
from tests.engine.rig import TurnedClock, until

Q = "quirk"


class Site:
    """A server on one back end, whose tasks are registered by the test, and started by it."""

    def __init__(self, broker: Any, results: Any) -> None:
        self.broker = broker
        self.results = results
        self.server = Server(ServerOpts(broker=broker, results=results, clock=TurnedClock()))
        self.seen: list[Any] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, name: str, handler: Callable[..., Any], **opts: Any) -> None:
        await self.server.register_task(name, handler, TaskOpts(**{"queue": Q} | opts))

    def start(self) -> None:
        self._task = asyncio.create_task(self.server.start())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.broker.close()
        await self.results.close()

    async def send(self, task: str, payload: bytes = b"", **opts: Any) -> str:
        return await self.server.enqueue(Job.create(task, payload, JobOpts(queue=Q, **opts)))

    async def end(self, job_id: str) -> str:
        """The status of a job once it has ended."""

        async def ended() -> str:
            try:
                status = (await self.server.get_job(job_id)).status
            except JobNotFound:  # a child that is not released yet
                return ""
            return status if status in {"successful", "failed"} else ""

        return str(await until(ended))

    async def parked(self) -> list[bytes]:
        """The payloads of the jobs that are set aside."""
        if isinstance(self.broker, MemoryBroker):
            bodies = [body for some in self.broker.store.parked[Q].values() for body in some]
        else:
            bodies = await self._ask("LRANGE", "tq:pk:{quirk}:nobody.knows", 0, -1)
        return [decode_job(body).job.payload or b"" for body in bodies]

    async def dead(self) -> list[tuple[bytes, bytes]]:
        """The dead letters with their reasons."""
        if isinstance(self.broker, MemoryBroker):
            return [(body, reason.encode()) for _, body, reason in self.broker.store.dead]
        bodies = await self._ask("ZRANGE", "tq:dl:{quirk}", 0, -1)
        names = [hashlib.sha1(body, usedforsecurity=False).hexdigest() for body in bodies]
        return [
            (body, await self._ask("HGET", "tq:dx:{quirk}", name))
            for body, name in zip(bodies, names, strict=True)
        ]

    async def is_waiting(self, job_id: str) -> bool:
        """Whether a job lies among the scheduled ones."""
        if isinstance(self.broker, MemoryBroker):
            return bool(self.broker.store.scheduled[Q])
        return bool(await self._ask("ZCARD", "tasqueue:ss:quirk"))

    async def _ask(self, *words: Any) -> Any:
        from tasqueue.drivers.redis.command import ask, command  # noqa: PLC0415 -- Redis only

        (answer,) = await self.broker.store.run(ask(command(*words)))
        return answer

    async def note(self, payload: bytes, ctx: JobContext) -> None:
        """A handler that notes its payload, and what came before."""
        self.seen.append((payload, ctx.meta.prev_job_result))


@pytest.fixture(params=["memory", "redis"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    if request.param == "memory":
        broker = MemoryBroker()
        made = Site(broker, MemoryResults(broker.store))
    else:
        url = request.getfixturevalue("redis_url")
        made = Site(RedisBroker.from_url(url), RedisResults.from_url(url))
    yield made
    await made.stop()


async def failing(payload: bytes, ctx: JobContext) -> None:
    raise ValueError(payload.decode() or "no luck")


# -- order and time ----------------------------------------------------------------------------


async def test_quirk_lifo_the_oldest_job_runs_first(site: Site) -> None:
    await site.add("note", site.note, concurrency=1)
    names = [await site.send("note", str(n).encode()) for n in range(20)]
    site.start()
    for name in names:
        await site.end(name)
    assert [int(payload) for payload, _ in site.seen] == list(range(20))


async def test_quirk_one_scheduled_job_a_poll_all_due_jobs_come_at_once_earliest_first(
    site: Site,
) -> None:
    await site.add("note", site.note, concurrency=1)
    past = datetime.now(UTC) - timedelta(hours=1)
    names = [
        await site.send("note", str(n).encode(), eta=past + timedelta(seconds=n))
        for n in (3, 1, 2, *range(4, 40))
    ]
    early = await site.send("note", b"0", eta_ns=-5)  # before 1970: Go never runs it
    site.start()
    for name in (early, *names):
        assert await site.end(name) == "successful"
    assert [int(payload) for payload, _ in site.seen] == list(range(40))


async def test_an_eta_is_waited_for_and_the_job_is_not_pending_meanwhile(site: Site) -> None:
    await site.add("note", site.note)
    at = datetime.now(UTC) + timedelta(seconds=0.3)
    name = await site.send("note", eta=at)
    assert await site.server.get_pending(Q) == []
    site.start()
    assert await site.end(name) == "successful"
    assert datetime.now(UTC) >= at


async def test_quirk_a_cron_stops_at_a_failure_ours_goes_on(site: Site) -> None:
    """Also one that saves nothing goes on, and each firing is a job with its own ETA."""

    async def cron(payload: bytes, ctx: JobContext) -> None:
        site.seen.append(payload)
        if len(site.seen) == 1:
            raise ValueError("this firing fails")

    await site.add("cron", cron)
    site.start()
    first = await site.send("cron", b"tick", schedule="@every 1s")
    assert await site.end(first) == "failed"
    await until(lambda: len(site.seen) >= 3)
    assert site.seen[:3] == [b"tick"] * 3


# -- nothing is dropped ------------------------------------------------------------------------


async def test_quirk_an_unknown_task_is_dropped_ours_is_parked_and_runs_once_it_is_known(
    site: Site,
) -> None:
    await site.add("note", site.note)
    site.start()
    name = await site.send("nobody.knows", b"kept")
    assert await site.end(await site.send("note")) == "successful"
    assert await until(site.parked) == [b"kept"]
    assert (await site.server.get_job(name)).status == "queued"
    await site.add("nobody.knows", site.note)
    assert await site.end(name) == "successful"
    assert await site.parked() == []


async def test_an_unknown_task_of_another_program_goes_back_until_that_one_takes_it(
    site: Site,
) -> None:
    await site.add("note", site.note)
    other = Server(ServerOpts(broker=site.broker, results=site.results))
    await other.register_task("theirs", site.note, TaskOpts(queue=Q))
    site.start()
    name = await site.send("theirs", b"theirs")
    await until(lambda: site.is_waiting(name))
    await site.add("theirs", site.note)
    assert await site.end(name) == "successful"
    assert (await site.server.get_job(name)).meta.retried == 0


@pytest.mark.parametrize(
    "said",
    [Retry(after=float("inf")), Snooze(float("nan")), Snooze(None), Retry(after="soon")],  # type: ignore[arg-type]
)
async def test_a_wait_that_is_no_number_of_seconds_fails_the_job_for_good_and_says_so(
    site: Site, said: Exception
) -> None:
    async def waits(payload: bytes, ctx: JobContext) -> None:
        raise said

    await site.add("waits", waits)
    await site.add("note", site.note)
    job = Job.create("waits", b"", JobOpts(queue=Q, max_retries=3))
    job.on_error.append(Job.create("note", b"", JobOpts(id="sorry", queue=Q)))
    name = await site.server.enqueue(job)
    site.start()
    assert await site.end(name) == "failed"
    assert "not a usable number of seconds" in (await site.server.get_job(name)).meta.prev_err
    assert await site.end("sorry") == "successful"
    assert not await site.dead()


def _large(task: str, job_id: str) -> bytes:
    """A message that only another producer sends: Go knows no limit."""
    opts = JobOpts(id=job_id, queue=Q, max_retries=1)
    meta = Meta(job_id, queue=Q, max_retry=1)
    return encode_job(JobMessage(meta, Job.create(task, b"x" * 1_500_000, opts)))


async def test_a_message_above_the_limit_that_came_from_the_queue_may_go_back_to_it(
    site: Site,
) -> None:
    """Retried, or of a task that only Go knows: the limit is for what enters a queue."""

    async def second_time(payload: bytes, ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ValueError

    await site.add("second_time", second_time)
    other = Server(ServerOpts(broker=site.broker, results=site.results))
    await other.register_task("theirs", site.note, TaskOpts(queue=Q))
    await site.broker.enqueue(_large("second_time", "again"), Q)
    await site.broker.enqueue(_large("theirs", "theirs"), Q)
    site.start()
    assert await site.end("again") == "successful"
    await until(lambda: site.is_waiting("theirs"))
    await site.add("theirs", site.note)
    assert await site.end("theirs") == "successful"
    assert not await site.dead()


@pytest.mark.parametrize(
    "body", [b"\xc1 no message", b"", encode_job(JobMessage(Meta("x"), NIL_JOB))]
)
async def test_quirk_an_undecodable_message_is_dropped_ours_is_kept_with_its_reason(
    site: Site, body: bytes
) -> None:
    """Go dies of a message without a job."""
    await site.add("note", site.note)
    await site.broker.enqueue(body, Q)
    site.start()
    assert await site.end(await site.send("note")) == "successful"
    ((kept, reason),) = await until(site.dead)
    assert kept == body
    assert reason


async def test_a_released_job_that_cannot_be_written_fails_its_parent_and_says_so(
    site: Site,
) -> None:
    """Such a child can only come from another producer; the parent's error jobs still run."""
    await site.add("note", site.note)
    await site.add("big", _saves_much)
    parent = Job.create("big", b"", JobOpts(id="parent", queue=Q))
    parent.on_success.append(Job.create("note", b"x" * (1 << 20), JobOpts(queue=Q)))
    parent.on_error.append(Job.create("note", b"sorry", JobOpts(id="sorry", queue=Q)))
    message = JobMessage(Meta("parent", queue=Q), parent)
    await site.broker.enqueue(encode_job(message), Q)
    site.start()
    assert await site.end("parent") == "failed"
    assert "cannot be written" in (await site.server.get_job("parent")).meta.prev_err
    assert await site.end("sorry") == "successful"


async def test_a_failed_job_whose_error_jobs_cannot_be_written_ends_all_the_same(
    site: Site,
) -> None:
    await site.add("failing", failing)
    parent = Job.create("failing", b"", JobOpts(id="parent", queue=Q))
    parent.on_error.append(Job.create("note", b"x" * (1 << 20), JobOpts(queue=Q)))
    await site.broker.enqueue(encode_job(JobMessage(Meta("parent", queue=Q), parent)), Q)
    site.start()
    assert await site.end("parent") == "failed"
    assert "cannot be written" in (await site.server.get_job("parent")).meta.prev_err


async def _saves_much(payload: bytes, ctx: JobContext) -> None:
    await ctx.save(b"y" * 100)


# -- outcomes ----------------------------------------------------------------------------------


class _Odd(BaseException):
    """Not even an Exception."""


RAISED: list[BaseException] = [
    ValueError("no luck"), SystemExit(3), KeyboardInterrupt(), StopIteration(1), _Odd("odd"),
    asyncio.CancelledError(), StopAsyncIteration(), GeneratorExit(), TimeoutError("its own"),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_quirk_a_panic_kills_the_process_ours_fails_the_job_alone(
    site: Site, raised: BaseException, kind: str
) -> None:
    """And a cancelled job is no success."""

    async def awaited(payload: bytes, ctx: JobContext) -> None:
        raise raised

    def threaded(payload: bytes, ctx: JobContext) -> None:
        raise raised

    await site.add("raises", awaited if kind == "async" else threaded)
    await site.add("note", site.note)
    site.start()
    name = await site.send("raises", max_retries=1)
    assert await site.end(name) == "failed"
    meta = (await site.server.get_job(name)).meta
    assert meta.retried == 1
    assert meta.prev_err
    assert await site.end(await site.send("note")) == "successful"


async def test_quirk_a_cancelled_job_is_a_success_ours_fails_also_when_it_cancels_itself(
    site: Site,
) -> None:
    async def suicidal(payload: bytes, ctx: JobContext) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    await site.add("suicidal", suicidal)
    await site.add("note", site.note)
    site.start()
    assert await site.end(await site.send("suicidal")) == "failed"
    assert await site.end(await site.send("note")) == "successful"


async def test_quirk_no_save_no_children_ours_are_released_with_no_result(site: Site) -> None:
    await site.add("note", site.note)
    parent = Job.create("note", b"parent", JobOpts(queue=Q))
    parent.on_success = [
        Job.create("note", name.encode(), JobOpts(id=name, queue=Q)) for name in ("one", "two")
    ]
    site.start()
    name = await site.server.enqueue(parent)
    assert await site.end(name) == "successful"
    for child in ("one", "two"):
        assert await site.end(child) == "successful"
    assert sorted(site.seen) == [(b"one", None), (b"parent", None), (b"two", None)]
    assert (await site.server.get_job(name)).meta.on_success_ids == ["one", "two"]


async def test_quirk_retried_beyond_max_retry_is_over(site: Site) -> None:
    """Go compares with ``!=``, and would retry four thousand million times."""
    await site.add("failing", failing)
    job = Job.create("failing", b"", JobOpts(id="odd", queue=Q))
    message = JobMessage(Meta("odd", queue=Q, max_retry=1, retried=5), job)
    await site.broker.enqueue(encode_job(message), Q)
    site.start()
    assert await site.end("odd") == "failed"
    assert (await site.server.get_job("odd")).meta.retried == 5


async def test_a_result_of_an_attempt_that_failed_is_kept(site: Site) -> None:
    """What was saved travels with the outcome, also on a retry and on a failure."""

    async def saves(payload: bytes, ctx: JobContext) -> None:
        await ctx.save(f"of attempt {ctx.attempt}".encode())
        raise ValueError(f"attempt {ctx.attempt}")

    await site.add("saves", saves)
    site.start()
    name = await site.send("saves", max_retries=2)
    assert await site.end(name) == "failed"
    assert await site.server.get_result(name) == b"of attempt 3"
    assert (await site.server.get_job(name)).meta.prev_err == "attempt 3"


async def test_quirk_prev_jobs_is_appended_to_at_each_look_ours_lists_each_job_once(
    site: Site,
) -> None:
    await site.add("note", site.note)
    jobs = [Job.create("note", b"", JobOpts(id=f"link{n}", queue=Q)) for n in range(3)]
    site.start()
    chain = await site.server.enqueue_chain(Chain.create(jobs))
    for n in range(3):
        assert await site.end(f"link{n}") == "successful"
        await site.server.get_chain(chain)
    meta = (await site.server.get_chain(chain)).meta
    assert (meta.status, meta.prev_jobs) == ("successful", ["link0", "link1", "link2"])


async def test_a_chain_ends_at_its_first_failure_and_releases_that_links_error_jobs(
    site: Site,
) -> None:
    await site.add("note", site.note)
    await site.add("failing", failing)
    bad = Job.create("failing", b"", JobOpts(id="bad", queue=Q))
    bad.on_error.append(Job.create("note", b"rescue", JobOpts(id="rescue", queue=Q)))
    jobs = [Job.create("note", b"", JobOpts(queue=Q)), bad, Job.create("note", b"never")]
    site.start()
    chain = await site.server.enqueue_chain(Chain.create(jobs))
    assert await site.end("rescue") == "successful"
    meta = (await site.server.get_chain(chain)).meta
    assert (meta.status, meta.prev_jobs[-1]) == ("failed", "bad")
    assert b"never" not in [payload for payload, _ in site.seen]


async def test_a_group_with_a_failed_member_is_failed_and_that_members_error_jobs_run(
    site: Site,
) -> None:
    await site.add("note", site.note)
    await site.add("failing", failing)
    bad = Job.create("failing", b"", JobOpts(id="bad", queue=Q))
    bad.on_error.append(Job.create("note", b"rescue", JobOpts(id="rescue", queue=Q)))
    site.start()
    group = await site.server.enqueue_group(
        Group.create([Job.create("note", b"", JobOpts(id="good", queue=Q)), bad])
    )
    assert await site.end("rescue") == "successful"
    assert await site.end("good") == "successful"
    meta = (await site.server.get_group(group)).meta
    assert (meta.status, meta.job_status) == ("failed", {"good": "successful", "bad": "failed"})


# -- callbacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_quirk_save_fails_in_callbacks_ours_saves_and_they_get_context_and_error(
    site: Site, kind: str
) -> None:
    def noting(name: str, *, save: bool = False) -> Any:
        def sync(ctx: JobContext, *error: BaseException) -> None:
            site.seen.append((name, ctx.attempt, *map(str, error)))
            if save:
                ctx.save(name.encode())

        async def awaited(ctx: JobContext, *error: BaseException) -> None:
            sync(ctx, *error)

        return awaited if kind == "async" else sync

    async def second_time_lucky(payload: bytes, ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("unlucky")

    callbacks = {
        "processing_cb": noting("processing"),
        "success_cb": noting("success", save=True),
        "retrying_cb": noting("retrying"),
        "failed_cb": noting("failed", save=True),
    }
    await site.add("lucky", second_time_lucky, **callbacks)
    await site.add("failing", failing, **callbacks)
    site.start()
    good = await site.send("lucky", max_retries=1)
    assert await site.end(good) == "successful"
    assert site.seen == [
        ("processing", 1), ("retrying", 1, "unlucky"), ("processing", 2), ("success", 2),
    ]  # fmt: skip
    assert await site.server.get_result(good) == b"success"
    site.seen.clear()
    bad = await site.send("failing")
    assert await site.end(bad) == "failed"
    assert site.seen == [("processing", 1), ("failed", 1, "no luck")]
    assert await site.server.get_result(bad) == b"failed"


@pytest.mark.parametrize("raised", [ValueError(), SystemExit(1), asyncio.CancelledError()])
async def test_a_callback_that_raises_changes_no_jobs_fate(
    site: Site, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def bad(ctx: JobContext, *_: Any) -> None:
        raise raised

    callbacks = dict.fromkeys(("processing_cb", "success_cb", "retrying_cb", "failed_cb"), bad)
    await site.add("note", site.note, **callbacks)
    await site.add("failing", failing, **callbacks)
    site.start()
    assert await site.end(await site.send("note")) == "successful"
    assert await site.end(await site.send("failing", max_retries=1)) == "failed"
    assert caplog.text.count("a callback of job") == 6


async def test_a_callback_that_cancels_its_own_task_loses_no_message(site: Site) -> None:
    async def suicidal(ctx: JobContext) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    await site.add("note", site.note, success_cb=suicidal)
    site.start()
    await site.send("note", b"kept")
    ((body, reason),) = await until(site.dead)
    assert decode_job(body).job.payload == b"kept"
    assert b"callback" in reason


# -- the face ----------------------------------------------------------------------------------


async def test_quirk_delete_job_leaves_the_record_ours_forgets_all_and_no_other(
    site: Site,
) -> None:
    """Go takes a job named ``1`` out of the lists as well."""
    await site.add("note", site.note)
    site.start()
    for name in ("1", "mine"):
        await site.end(await site.send("note", id=name))
    await site.server.delete_job("mine")
    with pytest.raises(JobNotFound):
        await site.server.get_job("mine")
    with pytest.raises(ResultNotFound):
        await site.server.get_result("mine")
    assert await site.server.get_success() == ["1"]
    await site.server.delete_job("nobody")


async def test_pending_jobs_are_listed_in_pages_youngest_first(site: Site) -> None:
    names = [await site.send("note") for _ in range(7)]
    assert [one.id for one in await site.server.get_pending(Q)] == names[::-1]
    assert await site.server.get_pending_count(Q) == 7
    for offset, limit, wanted in (
        (0, 3, names[:3:-1]), (3, 3, names[3:0:-1]), (-5, 2, names[:4:-1]), (9, 3, []),
        (0, 0, names[::-1]), (0, 10**6, names[::-1]),
    ):  # fmt: skip
        page, total = await site.server.get_pending_page(Q, offset, limit)
        assert ([one.id for one in page], total) == (wanted, 7)
    await site.broker.enqueue(b"no message", Q)
    page, total = await site.server.get_pending_page(Q, 0, 2)
    assert ([one.id for one in page], total) == ([names[-1]], 8)


async def test_quirk_concurrency_left_out_conflicts_ours_takes_the_queues(site: Site) -> None:
    await site.add("first", site.note, concurrency=5)
    await site.add("second", site.note)
    with pytest.raises(QueueConflict, match="5 concurrency"):
        await site.add("third", site.note, concurrency=6)
    await site.add("elsewhere", site.note, queue="other", concurrency=6)
    await site.add("late", site.note, queue="late")
    await site.add("later", site.note, queue="late", concurrency=3)
    found = {one.name: (one.queue, one.concurrency) for one in await site.server.get_tasks()}
    assert found["second"] == (Q, 5)
    assert found["elsewhere"] == ("other", 6)
    assert found["later"] == ("late", 3)
    assert site.server.limit() == {Q: 5, "other": 6, "late": 3}
    assert site.server.limit(queues=["other"], concurrency=2) == {"other": 2}


async def test_the_same_name_again_replaces_the_handler(site: Site) -> None:
    await site.add("task", failing)
    await site.add("task", site.note)
    site.start()
    assert await site.end(await site.send("task")) == "successful"


async def test_a_job_runs_from_any_queue_that_the_worker_takes(site: Site) -> None:
    """The handler is looked up by name alone, as in Go."""
    await site.add("note", site.note)
    await site.add("other", failing, queue="other")
    site.start()
    name = await site.server.enqueue(Job.create("note", b"", JobOpts(queue="other")))
    assert await site.end(name) == "successful"


async def test_results_and_records_expire_as_the_results_options_say(
    redis_url: str, redis_client: Any
) -> None:
    results = RedisResults.from_url(
        redis_url, expiry=timedelta(seconds=50), meta_expiry=timedelta(days=1)
    )
    site = Site(RedisBroker.from_url(redis_url), results)

    async def saves(payload: bytes, ctx: JobContext) -> None:
        await ctx.save(b"saved")

    await site.add("saves", saves)
    site.start()
    name = await site.send("saves")
    assert await site.end(name) == "successful"
    assert 0 < redis_client.pttl(f"tq:res:{name}") <= 50_000
    # The record stays for a quarter of an hour: a repeated enqueue is known by it.
    assert 50_000 < redis_client.pttl(f"tq:res:job:msg:{name}") <= 900_000
    redis_client.zadd("tq:res:success", {"ancient": 1})
    assert await site.server.get_success() == [name]
    await site.stop()
