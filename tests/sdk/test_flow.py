"""Groups and chains: how they run, what they give, how they fail, and that Go could read them."""

import asyncio
import threading

import pytest

from tasqueue.core.chain import Chain
from tasqueue.core.errors import (
    ArgumentError,
    ConfigurationError,
    JobFailed,
    JobNotFound,
    ResultNotFound,
    Unsupported,
)
from tasqueue.core.group import Group, GroupMessage, GroupMeta
from tasqueue.core.job import Job, JobStatus
from tasqueue.core.ports import GROUP_KEY, Write
from tasqueue.core.signing import Signing
from tasqueue.core.wire import encode_group
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine.plan import Plan, enqueue_chain, enqueue_group, get_group
from tasqueue.sdk.app import App

PATIENCE = 20


class Shop:
    """Some tasks on an app."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.alerts: list[str] = []
        self.alerted = threading.Event()

        @app.task
        def add(a: int, b: int) -> int:
            return a + b

        @app.task
        def mul(a: int, b: int = 2) -> int:
            return a * b

        @app.task
        def fail(a: int) -> int:
            raise ValueError(f"no {a}")

        @app.task
        def total(values: list[int]) -> int:
            return sum(values)

        @app.task
        def alert(text: str) -> None:
            self.alerts.append(text)
            self.alerted.set()

        self.add, self.mul, self.fail, self.total, self.alert = add, mul, fail, total, alert


@pytest.fixture
def shop(app: App) -> Shop:
    return Shop(app)


def test_a_chain_hands_each_result_on(shop: Shop) -> None:
    chain = shop.add.s(1, 2).then(shop.mul, 10).then(shop.add, b=5).delay()
    assert chain.get(timeout=PATIENCE) == 35
    assert chain.status() == JobStatus.SUCCESSFUL


def test_a_chain_has_four_spellings(shop: Shop) -> None:
    add, mul = shop.add, shop.mul
    chains = [
        add.s(1, 2).then(mul, 10).then(mul),
        add.s(1, 2) | mul.partial(10) | mul,
        add.chain((1, 2), mul.partial(10), mul),
        shop.app.chain(add.s(1, 2), mul.partial(10), mul),
    ]
    handles = [chain.delay() for chain in chains]
    assert [handle.get(timeout=PATIENCE) for handle in handles] == [60] * 4


def test_a_complete_signature_in_a_chain_ignores_the_result_before(shop: Shop) -> None:
    chain = shop.add.s(1, 2).then(shop.add.s(10, 20)).then(shop.mul.s(7)).delay()
    assert chain.get(timeout=PATIENCE) == 14


def test_a_chain_is_known_again_by_its_id(shop: Shop) -> None:
    chain = shop.add.s(1, 2).then(shop.mul, 10).delay()
    again = shop.app.chain_job(chain.id)
    assert again.get(timeout=PATIENCE) == 30
    assert again == chain
    assert again.status() == JobStatus.SUCCESSFUL
    with pytest.raises(JobNotFound, match="no chain"):
        shop.app.chain_job("nobody").get(timeout=PATIENCE)


def test_a_chain_ends_where_a_link_fails(shop: Shop) -> None:
    chain = shop.add.s(1, 2).then(shop.fail).then(shop.mul).delay()
    with pytest.raises(JobFailed, match="no 3"):
        chain.get(timeout=PATIENCE)
    assert chain.status() == JobStatus.FAILED


def test_a_chain_of_the_engine_is_read_too(shop: Shop) -> None:
    jobs = [Job.create(shop.add.name, b'{"a":1,"b":2}'), Job.create(shop.mul.name, b'{"b":5}')]
    shop.add.delay(1, 1).get(timeout=PATIENCE)
    chain_id = shop.app._client.submit(enqueue_chain(Chain.create(jobs)), "x")
    assert shop.app.chain_job(chain_id).get(timeout=PATIENCE) == 15


def test_a_group_gives_its_members_results_in_order(shop: Shop) -> None:
    group = shop.add.group([(n, n) for n in range(12)]).delay()
    assert group.get(timeout=PATIENCE) == [2 * n for n in range(12)]
    assert group.status() == JobStatus.SUCCESSFUL
    assert shop.app.group_job(group.id).get(timeout=PATIENCE) == [2 * n for n in range(12)]


def test_a_group_whose_record_outlived_its_jobs_says_what_is_missing(shop: Shop) -> None:
    client = shop.app._client
    assert shop.add.delay(1, 1).get(timeout=PATIENCE) == 2
    for status, kind, said in (
        (JobStatus.FAILED, JobNotFound, "no job 'gone'"),
        (JobStatus.SUCCESSFUL, ResultNotFound, "job gone has ended and no result is kept"),
    ):
        message = GroupMessage(GroupMeta("old", status, {"gone": status}), None)
        client.ask(_write(GROUP_KEY + "old", encode_group(message)), "x")
        with pytest.raises(kind, match=said):
            shop.app.group_job("old").get(timeout=PATIENCE)


def _write(name: str, data: bytes) -> Plan[None]:
    yield Write(name, data)


def test_a_job_behind_a_group_is_queued_until_it_is_released(shop: Shop) -> None:
    go_on = threading.Event()

    @shop.app.task
    def slow() -> int:
        go_on.wait(PATIENCE)
        return 1

    job = slow.group([(), ()]).then(shop.total).delay()
    assert job.status() == JobStatus.QUEUED
    go_on.set()
    assert job.get(timeout=PATIENCE) == 2
    assert job.status() == JobStatus.SUCCESSFUL


def test_calls_by_name_are_links_and_members_too(shop: Shop) -> None:
    app, add, mul = shop.app, shop.add, shop.mul
    elsewhere = app.signature("go.task", a=1)
    assert repr(add.s(1, 2).then(elsewhere)) == f"<ChainSignature {add.name} | go.task>"
    chain = app.chain(app.signature(add.name, a=1, b=2), mul.partial(3))
    assert chain.delay().get(timeout=PATIENCE) == 9
    with pytest.raises(ArgumentError, match="arguments go with a bare task"):
        add.s(1, 2).then(mul.partial(1), 2)  # type: ignore[call-overload]


def test_a_group_takes_signatures_one_by_one_or_as_one_iterable(shop: Shop) -> None:
    app, add, mul = shop.app, shop.add, shop.mul
    assert app.group(add.s(1, 2), mul.s(3)).delay().get(timeout=PATIENCE) == [3, 6]
    assert app.group(add.s(1, n) for n in range(3)).delay().get(timeout=PATIENCE) == [1, 2, 3]
    assert app.group([]).delay().get(timeout=PATIENCE) == []


def test_a_group_fails_with_its_first_failed_member(shop: Shop) -> None:
    group = shop.app.group(shop.add.s(1, 2), shop.fail.s(7)).delay()
    with pytest.raises(JobFailed, match="no 7"):
        group.get(timeout=PATIENCE)
    assert group.status() == JobStatus.FAILED
    with pytest.raises(JobNotFound, match="no group"):
        shop.app.group_job("nobody").get(timeout=PATIENCE)


def test_a_group_of_the_engine_is_read_too(shop: Shop) -> None:
    jobs = [Job.create(shop.mul.name, b'{"a":%d}' % n) for n in range(3)]
    shop.add.delay(1, 1).get(timeout=PATIENCE)
    group_id = shop.app._client.submit(enqueue_group(Group.create(jobs)), "x")
    assert shop.app.group_job(group_id).get(timeout=PATIENCE) == [0, 2, 4]


def test_a_chain_can_be_a_member_of_a_group(shop: Shop) -> None:
    members = [shop.add.s(1, n).then(shop.mul, 10).then(shop.add, 1) for n in range(3)]
    group = shop.app.group([*members, shop.mul.s(4)]).delay()
    assert group.get(timeout=PATIENCE) == [11, 21, 31, 8]
    assert shop.app.group_job(group.id).get(timeout=PATIENCE) == [11, 21, 31, 8]


def test_a_group_fails_with_a_chain_in_it(shop: Shop) -> None:
    group = shop.app.group(shop.add.s(1, 2).then(shop.fail).then(shop.mul), shop.mul.s(4)).delay()
    with pytest.raises(JobFailed, match="no 3"):
        group.get(timeout=PATIENCE)


def test_a_group_behind_a_job_gets_its_result_in_every_member(shop: Shop) -> None:
    fan = shop.app.group(shop.mul.partial(10), shop.mul.partial(20), shop.mul.s(1))
    group = shop.add.s(1, 2).then(fan).delay()
    assert group.get(timeout=PATIENCE) == [30, 60, 2]


def test_a_group_behind_a_job_fails_with_it(shop: Shop) -> None:
    group = shop.fail.s(5).then(shop.app.group(shop.mul.partial(10))).delay()
    with pytest.raises(JobFailed, match="no 5"):
        group.get(timeout=PATIENCE)


def test_every_job_of_a_group_is_a_member_that_go_can_look_up(shop: Shop) -> None:
    group = shop.app.group(shop.add.s(1, 2).then(shop.mul), shop.mul.s(4)).delay()
    assert group.get(timeout=PATIENCE) == [6, 8]
    message = shop.app._client.ask(get_group(group.id), "x")
    assert list(message.meta.job_status.values()) == [JobStatus.SUCCESSFUL] * 3


def test_what_follows_an_error_runs_when_the_job_has_failed(shop: Shop) -> None:
    job = shop.fail.s(1).on_error(shop.alert.s("oh")).delay()
    with pytest.raises(JobFailed):
        job.get(timeout=PATIENCE)
    assert shop.alerted.wait(PATIENCE)
    assert shop.alerts == ["oh"]


def test_an_async_program_awaits_the_same(shop: Shop) -> None:
    async def main() -> list[object]:
        chain = await shop.add.s(1, 2).then(shop.mul, 10).adelay()
        group = await shop.add.group([(1, 2)]).adelay()
        seen = [
            await chain.aget(timeout=PATIENCE),
            await group.aget(timeout=PATIENCE),
            await chain.astatus(),
            await group.astatus(),
        ]
        await shop.app.aclose()
        return seen

    done = JobStatus.SUCCESSFUL
    assert asyncio.run(main()) == [30, [3], done, done]


def test_what_cannot_be_put_together_is_refused_at_once(shop: Shop) -> None:
    add, mul, app = shop.add, shop.mul, shop.app
    with pytest.raises(ArgumentError, match="missing 'b'"):
        add.s(1, 2).then(add)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="no link"):
        add.s(1, 2).then(len)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="no member"):
        app.group(add)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match="waits for the result"):
        app.group(mul.partial(3)).delay()
    with pytest.raises(ArgumentError, match="waits for the result"):
        app.chain(mul, mul).delay()  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match=r"on_error takes task\.s"):
        add.s(1, 2).on_error(mul)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="'fail' and 'continue'"):
        app.group(add.s(1, 2), on_failure="stop")  # type: ignore[call-overload]
    for waiting in (mul.then(mul), mul.partial(3)):
        with pytest.raises(ArgumentError, match="waits for the result"):
            waiting.delay()  # type: ignore[attr-defined]


def test_a_task_and_a_link_are_a_link_too(shop: Shop) -> None:
    add, mul, app = shop.add, shop.mul, shop.app
    twice = mul.then(mul)  # takes a number, gives it times four
    chains = [
        add.s(1, 2).then(twice).then(mul, 10),
        add.s(1, 2) | twice | mul.partial(10),
        add.s(1, 2) | (mul | mul | mul.partial(10)),
        add.s(1, 2).then(mul.then(mul, 10)).then(mul),
        add.s(1, 2).then(mul.partial(2).then(mul, b=10) | mul),
        app.chain(add.s(9, 9), add.s(1, 2).then(twice), mul.partial(10)),
    ]
    handles = [chain.delay() for chain in chains]
    assert [handle.get(timeout=PATIENCE) for handle in handles] == [120] * 6
    fan = app.group(twice.then(add, 1), twice)
    assert add.s(1, 2).then(fan).delay().get(timeout=PATIENCE) == [13, 12]


def test_a_group_in_a_group_adds_its_members(shop: Shop) -> None:
    add, mul, app = shop.add, shop.mul, shop.app
    behind = add.s(1, 2).then(app.group(mul.partial(10), mul.partial(20)))
    group = app.group(mul.s(1), add.group([(1, 2), (3, 4)]), behind, app.group([])).delay()
    assert group.get(timeout=PATIENCE) == [2, 3, 7, 30, 60]
    assert app.group_job(group.id).get(timeout=PATIENCE) == [2, 3, 7, 30, 60]


def test_failed_members_give_their_errors_where_the_group_is_to_go_on(shop: Shop) -> None:
    add, mul, fail, app = shop.add, shop.mul, shop.fail, shop.app
    chain = add.s(1, 2).then(fail).then(mul)
    group = app.group(add.s(1, 2), fail.s(7), chain, mul.s(2), on_failure="continue").delay()
    first, second, third, fourth = group.get(timeout=PATIENCE)
    assert (first, fourth) == (3, 4)
    assert isinstance(second, JobFailed)
    assert isinstance(third, JobFailed)
    assert (second.message, third.message) == ("no 7", "no 3")
    assert group.status() == JobStatus.FAILED
    behind = fail.s(5).then(app.group(mul.partial(1), mul.partial(2), on_failure="continue"))
    errors = behind.delay().get(timeout=PATIENCE)
    assert [str(error).partition(": ")[2] for error in errors] == ["ValueError: no 5"] * 2
    assert add.group([], on_failure="continue").delay().get(timeout=PATIENCE) == []


def test_errors_among_results_are_for_whoever_waits_not_for_another_job(shop: Shop) -> None:
    add, app = shop.add, shop.app
    group = add.group([(1, 2)], on_failure="continue")
    for wrong in (
        lambda: group.then(shop.total),  # type: ignore[call-overload]
        lambda: group | shop.total,  # type: ignore[operator]
        lambda: app.group(add.s(1, 2), group),
        lambda: app.chain(add.s(1, 2), group, shop.total),
    ):
        with pytest.raises(Unsupported, match="only its handle's get"):
            wrong()
    inner = add.group([(1, 2)])
    assert app.group(inner, on_failure="continue").delay().get(timeout=PATIENCE) == [3]


async def test_everything_that_is_sent_has_an_awaited_twin(shop: Shop) -> None:
    app, add, mul = shop.app, shop.add, shop.mul
    jobs = await add.adelay_many([(1, 2), (3, 4)])
    assert [await job.aget(timeout=PATIENCE) for job in jobs] == [3, 7]
    named = (
        await app.using(retries=1).using(queue=add.spec.settings.queue).asend(add.name, a=1, b=2)
    )
    assert await named.aget(timeout=PATIENCE) == 3
    assert await (await app.asend(add.name, a=1, b=3)).aget(timeout=PATIENCE) == 4
    signature = app.signature(add.name, a=1, b=4)
    assert await (await signature.adelay()).aget(timeout=PATIENCE) == 5
    total = await (add.group([(1, 2), (3, 4)]) | shop.total | mul).adelay()
    assert await total.aget(timeout=PATIENCE) == 20
    await app.aclose()


def test_a_group_may_mix_tuples_and_signatures(shop: Shop) -> None:
    add = shop.add
    group = add.group([(1, 2), add.s(3, b=4)])
    assert shop.app.chain(group, shop.total).delay().get(timeout=PATIENCE) == 10


# -- fan-in --------------------------------------------------------------------------------------


def test_a_task_behind_a_group_gets_the_list_of_its_results(shop: Shop) -> None:
    job = shop.add.group([(1, 2), (3, 4), (5, 6)]).then(shop.total).delay()
    assert job.get(timeout=PATIENCE) == 21
    assert shop.app.job(job.id).get(timeout=PATIENCE) == 21


def test_a_flow_goes_in_fans_out_and_on(shop: Shop) -> None:
    add, mul, total = shop.add, shop.mul, shop.total
    fan = shop.app.group(mul.partial(10), mul.partial(100), add.s(1, 1).then(mul, 3))
    job = add.s(1, 2).then(fan).then(total).then(mul, 2).delay()
    assert job.get(timeout=PATIENCE) == (30 + 300 + 6) * 2
    again = shop.app.chain(add.s(1, 2), fan, total).delay()
    assert again.get(timeout=PATIENCE) == 336


def test_an_empty_group_releases_what_follows_at_once(shop: Shop) -> None:
    assert shop.add.group([]).then(shop.total).delay().get(timeout=PATIENCE) == 0


def test_a_failed_member_fails_whoever_waits_for_what_follows(shop: Shop) -> None:
    group = shop.app.group(shop.add.s(1, 2), shop.fail.s(9))
    job = group.then(shop.total).delay()
    with pytest.raises(JobFailed, match="no 9"):
        job.get(timeout=PATIENCE)
    assert job.status() == JobStatus.FAILED


def test_a_group_with_a_callback_is_one_member_of_another_group(shop: Shop) -> None:
    add, mul, total, app = shop.add, shop.mul, shop.total, shop.app
    inner = add.group([(1, 2), (3, 4)]).then(total)
    group = app.group(mul.s(1), inner, inner.then(mul, 10), app.group(inner, mul.s(4)))
    sent = group.delay()
    assert sent.get(timeout=PATIENCE) == [2, 10, 100, 10, 8]
    assert app.group_job(sent.id).get(timeout=PATIENCE) == [2, 10, 100, 10, 8]
    assert group.then(total).then(mul).delay().get(timeout=PATIENCE) == 260


def test_a_failure_inside_a_nested_group_reaches_whoever_waits_outside(shop: Shop) -> None:
    add, fail, total, app = shop.add, shop.fail, shop.total, shop.app
    inner = app.group(add.s(1, 2), fail.s(8)).then(total)
    for outer in (app.group(add.s(1, 2), inner), app.group(inner, add.s(1, 2)).then(total)):
        with pytest.raises(JobFailed, match="no 8"):
            outer.delay().get(timeout=PATIENCE)
    found = app.group(add.s(1, 2), inner, on_failure="continue").delay().get(timeout=PATIENCE)
    assert found[0] == 3
    assert isinstance(found[1], JobFailed)
    assert found[1].message == "no 8"


def test_empty_groups_call_what_follows_however_deep_they_lie(shop: Shop) -> None:
    total, mul, app = shop.total, shop.mul, shop.app
    empty = app.group([]).then(total)
    flow = app.group(empty, empty.then(mul), app.group(empty)).then(total).then(
        app.group([]).then(total)
    )  # fmt: skip
    for _ in range(20):
        assert flow.delay().get(timeout=PATIENCE) == 0


def test_a_flow_may_end_with_another_group(shop: Shop) -> None:
    add, mul, total, app = shop.add, shop.mul, shop.total, shop.app
    fans = add.group([(1, 2), (3, 4)]).then(total) | app.group(mul.partial(2), mul.partial(3))
    assert fans.delay().get(timeout=PATIENCE) == [20, 30]


def test_a_back_end_without_fan_in_says_what_to_do_instead(
    memory_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(memory_app)
    add, total, app = shop.add, shop.total, shop.app
    flow = add.group([(1, 2)]).then(total)
    assert flow.delay().get(timeout=PATIENCE) == 3
    monkeypatch.setattr(MemoryStore, "fan_in", False)
    for work in (flow, app.group(flow, add.s(1, 2))):
        with pytest.raises(Unsupported, match=r"memory:// cannot run .*: redis://.* or get"):
            work.delay()
    assert add.group([(1, 2)]).delay().get(timeout=PATIENCE) == [3]


def test_two_groups_in_a_row_need_a_task_between(shop: Shop) -> None:
    mul, total, app = shop.mul, shop.total, shop.app
    first, second = app.group(mul.s(1), mul.s(2)), app.group(mul.partial(3), mul.partial(4))
    assert first.then(total).then(mul).delay().get(timeout=PATIENCE) == 12
    with pytest.raises(Unsupported, match="between"):
        app.chain(first, second, total).delay()


def test_a_task_behind_a_group_is_signed_too(url: str) -> None:
    signing = Signing(keys={"k": b"0123456789abcdef"}, mode="require")
    with App(url, signing=signing) as app:
        app._client.is_memory = True
        shop = Shop(app)
        assert shop.add.group([(1, 2), (3, 4)]).then(shop.total).delay().get(timeout=PATIENCE) == 10


def test_an_id_that_would_read_as_a_path_is_refused(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="which no job of a group may have"):
        shop.app.group(shop.add.using(id="a>b").s(1, 2)).then(shop.total).delay()
