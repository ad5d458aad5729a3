"""What only an `App` writes, read by real Go."""

from collections.abc import Iterator

import pytest

from tasqueue.core.errors import JobFailed
from tasqueue.sdk.app import App
from tests.parity.live.client import GoClient, ended
from tests.parity.live.fleet import JobSpec
from tests.parity.live.pair import Hire

PATIENCE = 20


@pytest.fixture
def app(redis_url: str) -> Iterator[App]:
    """An app with its worker beside it."""
    with App(redis_url) as made:
        made._client.is_memory = True
        yield made


async def test_go_reads_the_record_of_a_failure_and_passes_its_traceback_over(
    app: App, go_client: GoClient
) -> None:
    @app.task(retries=1, backoff=0)
    def fail(word: str) -> None:
        raise ValueError(word)

    job = await fail.adelay("no pears")
    with pytest.raises(JobFailed) as caught:
        await job.aget(timeout=PATIENCE)
    assert "raise ValueError(word)" in caught.value.traceback
    by_go = await ended(go_client, job.id)
    assert (by_go["Status"], by_go["PrevErr"], by_go["Retried"]) == ("failed", "no pears", 1)
    assert "Ext" not in by_go["Job"]
    await app.aclose()


async def test_a_failure_in_a_go_worker_has_its_text_and_no_traceback(
    app: App, go_client: GoClient, hire_go: Hire
) -> None:
    hire_go(["fail"])
    await go_client.enqueue(JobSpec(task="fail", id="of-go"))
    with pytest.raises(JobFailed) as caught:
        await app.job("of-go").aget(timeout=PATIENCE)
    assert caught.value.message
    assert (caught.value.type, caught.value.traceback) == ("", "")
    await app.aclose()
