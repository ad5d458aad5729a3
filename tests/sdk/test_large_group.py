"""Groups of more members than a group's record holds."""

import pytest

from tasqueue.core.errors import LimitExceeded
from tasqueue.core.ports import GROUP_KEY, Read
from tasqueue.core.wire import decode_group
from tasqueue.sdk import flow
from tasqueue.sdk.app import App
from tests.sdk.test_flow import Shop

MANY = 60
PATIENCE = 20


@pytest.fixture
def shop(app: App, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(flow, "MAX_GROUP_WRITTEN", MANY - 1)
    return Shop(app)


def test_a_large_group_lists_no_jobs_and_gives_its_results_all_the_same(shop: Shop) -> None:
    group = shop.mul.group([(n, 1) for n in range(MANY)]).delay()
    (body,) = shop.app._client._back_end().store.perform_blocking(Read([GROUP_KEY + group.id]))
    message = decode_group(body)
    assert message.group is None
    assert len(message.meta.job_status) == MANY
    assert group.get(timeout=PATIENCE) == list(range(MANY))
    assert shop.app.group_job(group.id).get(timeout=PATIENCE) == list(range(MANY))


def test_a_task_follows_a_large_group_of_chains(shop: Shop) -> None:
    members = [shop.mul.s(1, 1).then(shop.mul, 1) for _ in range(MANY)]
    assert shop.app.group(members).then(shop.total).delay().get(timeout=PATIENCE) == MANY
    with pytest.raises(LimitExceeded, match="let a task follow it"):
        shop.app.group(members).delay()
