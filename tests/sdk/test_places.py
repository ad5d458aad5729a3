"""Where an app may be used: running loops, threads, forks, after its end, in a worker."""

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.job import Job, JobOpts
from tasqueue.sdk.app import App

PATIENCE = 20


async def test_delay_in_a_running_loop_works_and_warns_once_a_line(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jobs = [one.delay() for _ in range(3)]
        assert len(caught) == 1
        jobs.append(one.s().delay())
    assert [str(w.message).count("adelay") for w in caught] == [1, 1]
    assert caught[0].filename == __file__
    assert [await job.aget(timeout=PATIENCE) for job in jobs] == [1, 1, 1, 1]
    await app.aclose()


async def test_waiting_in_a_running_loop_is_refused_and_names_the_twin(memory_app: App) -> None:
    job = memory_app.job("x")
    with pytest.raises(ConfigurationError, match="aget"):
        job.get()
    with pytest.raises(ConfigurationError, match="astatus"):
        job.status()


async def test_a_handle_is_not_awaitable_and_says_what_is(memory_app: App) -> None:
    for handle in (memory_app.job("x"), memory_app.group_job("x"), memory_app.chain_job("x")):
        with pytest.raises(TypeError, match=r"adelay.*aget"):
            await handle  # type: ignore[misc]


def test_many_threads_may_send_at_once(app: App) -> None:
    @app.task
    def square(n: int) -> int:
        return n * n

    got: dict[int, int] = {}

    def client(n: int) -> None:
        got[n] = square.delay(n).get(timeout=PATIENCE)
        app.close() if n < 0 else app._client._back_end().store.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n * n for n in range(16)}


async def test_an_app_is_an_async_context_manager_too(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    async with app:
        assert await (await one.adelay()).aget(timeout=PATIENCE) == 1
    async with App("redis://127.0.0.1:1/0"):
        """Nothing was opened, and nothing has to be closed."""


def test_an_app_can_be_used_again_after_it_was_closed(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    assert one.delay().get(timeout=PATIENCE) == 1
    app.close()
    app.close()
    assert one.delay().get(timeout=PATIENCE) == 1


def test_a_task_that_is_declared_after_the_first_job_runs_too(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    assert one.delay().get(timeout=PATIENCE) == 1

    @app.task(queue="another")
    def two() -> int:
        return 2

    assert two.delay().get(timeout=PATIENCE) == 2


def _in_child(work: Callable[[], bool]) -> bool:
    """Run something in a forked child; whether it was right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_app_works_on_both_sides_of_a_fork(app: App) -> None:
    @app.task
    def where() -> int:
        return os.getpid()

    is_memory = app.url == "memory://"
    assert where.delay().get(timeout=PATIENCE) == os.getpid()

    def in_child() -> bool:
        got = where.delay().get(timeout=PATIENCE)
        return not is_memory or got == os.getpid()

    assert _in_child(in_child)
    assert where.delay().get(timeout=PATIENCE) == os.getpid()


async def test_the_engine_underneath_knows_the_apps_tasks_and_jobs(app: App) -> None:
    @app.task(name="shop.one", queue="shop")
    def one() -> int:
        return 1

    job = await one.adelay()
    assert await job.aget(timeout=PATIENCE) == 1
    assert (await app.server.get_job(job.id)).job.task == "shop.one"
    job_id = await app.server.enqueue(Job.create("shop.one", b"{}", JobOpts(queue="shop")))
    assert await one.job(job_id).aget(timeout=PATIENCE) == 1
    await (await app.server.open()).aclose()
    await app.aclose()


def test_imports_are_loaded_when_a_worker_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_tasks_of_a_test.py").write_text("LOADED = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = App("memory://", imports=["shop_tasks_of_a_test"])
    app.load_imports()
    assert sys.modules.pop("shop_tasks_of_a_test").LOADED
    with pytest.raises(ModuleNotFoundError):
        App("memory://", imports=["no_such_module_anywhere"]).load_imports()
