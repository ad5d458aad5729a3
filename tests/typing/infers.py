"""What both checkers must infer. Checked, never run."""

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, assert_type

from tasqueue import (
    App,
    ChainHandle,
    ChainSignature,
    FanIn,
    GroupHandle,
    GroupSignature,
    JobContext,
    JobError,
    JobFailed,
    JobHandle,
    JobStatus,
    Partial,
    Server,
    Signature,
    current_job,
)

app = App("memory://")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task(queue="math", retries=3, timeout=30)
def mul(a: int, b: int = 2) -> int:
    return a * b


@app.task
async def fetch(url: str, *, depth: int = 1) -> bytes:
    return url.encode()


@app.task(backoff=0)
async def scaled(value: float, by: float = 1.0) -> float:
    return value * by


@app.task
def notify(amount: float) -> None: ...


@app.task
def alert(text: str) -> None: ...


@app.task
def total(values: list[int]) -> int:
    return sum(values)


@app.task
def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@app.task
def with_context(ctx: JobContext, word: str) -> str:
    return word


@app.task(retries=1)
async def async_with_context(ctx: JobContext, word: str) -> str:
    return word


@app.task
def any_first(value: Any, times: int) -> str:
    return str(value) * times


@app.task
def object_first(value: object) -> str:
    return str(value)


@app.task
async def hashable_first(value: Hashable, times: int = 1) -> str:
    return str(value) * times


@app.task
def many(*values: int) -> int:
    return sum(values)


@app.task
def keywords(**values: int) -> int:
    return sum(values.values())


@app.task
def nothing() -> None: ...


@app.task(executor="process", durability="replica")
def apart(value: int) -> int:
    return value


@app.task(raw=True)
def raw(payload: bytes) -> bytes:
    return payload


# -- the function itself
assert_type(add(1, 2), int)
assert_type(with_context("x"), str)


# -- handles
assert_type(add.delay(1, 2), JobHandle[int])
assert_type(add.delay(1, b=2).get(timeout=5), int)
assert_type(mul.delay(1).get(), int)
assert_type(fetch.delay("x", depth=3).get(), bytes)
assert_type(scaled.delay(1).get(), float)
assert_type(with_context.delay("x"), JobHandle[str])
assert_type(async_with_context.delay(word="x"), JobHandle[str])
assert_type(object_first.delay(3), JobHandle[str])
assert_type(hashable_first.delay("x"), JobHandle[str])
assert_type(hashable_first.delay("x", times=2), JobHandle[str])
assert_type(many.delay(1, 2, 3), JobHandle[int])
assert_type(keywords.delay(x=1, y=2), JobHandle[int])
assert_type(nothing.delay(), JobHandle[None])
assert_type(apart.using(durability="fsync").delay(1), JobHandle[int])
assert_type(raw.delay(b"x").get(), bytes)
assert_type(add.using(countdown=60, queue="x", retries=1).delay(1, 2), JobHandle[int])
assert_type(add.using(id="x", if_absent=True).delay(1, 2), JobHandle[int])
assert_type(add.delay_many([(1, 2), (3, 4)]), list[JobHandle[int]])
assert_type(add.job("id"), JobHandle[int])
assert_type(app.job("id"), JobHandle[Any])
assert_type(app.group_job("id"), GroupHandle[Any])
assert_type(app.chain_job("id"), ChainHandle[Any])
assert_type(app.send("mail.send", to="x"), JobHandle[Any])
assert_type(app.using(queue="q").send("mail.send", to="x"), JobHandle[Any])
assert_type(app.signature("mail.send", to="x"), Signature[Any])
assert_type(str(add.delay(1, 2).status()), str)


# -- put together
assert_type(add.s(1, 2), Signature[int])
assert_type(mul.partial(10), Partial[int, int])
assert_type(add.s(1, 2).delay(), JobHandle[int])
assert_type(add.s(1, 2).on_error(alert.s("add")), Signature[int])
assert_type(add.s(1, 2).then(mul, 10), ChainSignature[int])
assert_type(add.s(1, 2).then(mul), ChainSignature[int])
assert_type(add.s(1, 2).then(mul, b=10).then(notify), ChainSignature[None])
assert_type(add.s(1, 2).then(scaled), ChainSignature[float])
assert_type(add.s(1, 2).then(scaled.s(2.0)), ChainSignature[float])
assert_type(add.s(1, 2).then(mul.partial(3)), ChainSignature[int])
assert_type(add.s(1, 2).then(mul, 10).delay(), ChainHandle[int])
assert_type(add.s(1, 2).then(mul, 10).delay().get(), int)
assert_type(add.s(1, 2) | mul.partial(10) | notify, ChainSignature[None])
assert_type(add.s(1, 2) | scaled, ChainSignature[float])
assert_type(add.chain((1, 2), mul.partial(10), notify), ChainSignature[None])
assert_type(add.chain((1, 2), mul), ChainSignature[int])
assert_type(app.chain(add.s(1, 2), mul.partial(10)), ChainSignature[int])
assert_type(app.chain(add.s(1, 2), mul.partial(10), notify).delay(), ChainHandle[None])
assert_type(add.group([(1, 2), (3, 4)]), GroupSignature[int])
assert_type(add.group([(1, 2), (3, 4)]).delay(), GroupHandle[int])
assert_type(add.group([(1, 2), (3, 4)]).delay().get(), list[int])
assert_type(app.group(add.s(1, 2), mul.s(3)).delay().get(), list[int])
assert_type(app.group(add.s(1, n) for n in range(3)).delay().get(), list[int])
assert_type(app.group([add.s(1, 2).then(mul, 3), mul.s(3)]).delay().get(), list[int])
assert_type(add.group([(1, 2)]).then(total), FanIn[int])
assert_type(add.group([(1, 2)]).then(total).delay(), JobHandle[int])
assert_type(add.group([(1, 2)]).then(mean).then(notify).delay(), JobHandle[None])
assert_type(add.group([(1, 2)]) | total, FanIn[int])
assert_type(add.s(1, 2).then(app.group(mul.partial(3), mul.partial(4))), GroupSignature[int])
assert_type(add.s(1, 2) | app.group(mul.partial(3), mul.partial(4)), GroupSignature[int])

# -- a task and a link are a link
assert_type(mul.then(mul), Partial[int, int])
assert_type(mul.then(mul, 10), Partial[int, int])
assert_type(mul.then(mul.partial(10)), Partial[int, int])
assert_type(mul | mul | notify, Partial[int, None])
assert_type(mul.partial(3).then(scaled), Partial[int, float])
assert_type(mul.partial(3) | notify, Partial[int, None])
assert_type(mul.then(add, 1).then(scaled, by=2.0), Partial[int, float])
assert_type(add.s(1, 2).then(mul.then(notify)), ChainSignature[None])
assert_type(add.s(1, 2) | (mul | mul), ChainSignature[int])
assert_type(add.group([(1, 2)]).then(total.then(mul)), FanIn[int])
assert_type(app.group(mul.then(scaled), mul.partial(1).then(scaled)), GroupSignature[float])

# -- flows in flows
inner = add.group([(1, 2)]).then(total)
assert_type(add.s(1, 2).then(add.s(3, 4).then(mul)), ChainSignature[int])
assert_type(add.s(1, 2).then(inner), FanIn[int])
assert_type(add.s(1, 2) | inner, FanIn[int])
assert_type(inner.then(mul, 2), FanIn[int])
assert_type(inner | mul.partial(2), FanIn[int])
assert_type(inner.then(app.group(mul.partial(2))), GroupSignature[int])
assert_type(inner | app.group(mul.partial(2)), GroupSignature[int])
assert_type(app.group(inner, add.s(1, 2), add.group([(1, 2)])), GroupSignature[int])
assert_type(app.group([inner, inner]).then(total), FanIn[int])

# -- failed members that give their errors
assert_type(add.group([(1, 2)], on_failure="fail"), GroupSignature[int])
assert_type(add.group([(1, 2)], on_failure="continue"), GroupSignature[int | JobError])
assert_type(add.group([(1, 2)], on_failure="continue").delay().get(), list[int | JobError])
assert_type(app.group(add.s(1, 2), on_failure="continue"), GroupSignature[int | JobError])
assert_type(app.group([add.s(1, 2)], on_failure="continue"), GroupSignature[int | JobError])

# -- what stands around
assert_type(add.name, str)
assert_type(add.delay(1, 2).id, str)
assert_type(add.delay(1, 2).status(), JobStatus)
assert_type(add.group([]).delay().status(), JobStatus)
assert_type(add.chain((1, 2), mul).delay().status(), JobStatus)
assert_type(add.group([]).delay().id, str)
assert_type(app.url, str)
assert_type(app.imports, tuple[str, ...])
assert_type(app.server, Server)
assert_type(app.load_imports(), None)
assert_type(app.close(), None)
assert_type(current_job(), JobContext)
assert_type(current_job().attempt, int)
assert_type(App("redis://x", imports=["shop.tasks"], result_ttl=60), App)
assert_type(App(imports="shop.tasks", result_ttl=timedelta(days=1)), App)
assert_type(mul.using(id="x", eta=datetime.now(UTC), timeout=None).s(1), Signature[int])
assert_type(add.using(timeout=timedelta(seconds=3)).group([(1, 2)]), GroupSignature[int])


def after_a_failure(error: JobFailed) -> None:
    assert_type(error.job_id, str)
    assert_type(error.type, str)
    assert_type(error.message, str)
    assert_type(error.traceback, str)


async def awaited() -> None:
    assert_type(await fetch("x"), bytes)
    assert_type(await add.adelay(1, 2), JobHandle[int])
    assert_type(await (await add.adelay(1, 2)).aget(timeout=5), int)
    assert_type(await add.adelay_many([(1, 2)]), list[JobHandle[int]])
    assert_type(await add.s(1, 2).then(mul, 10).adelay(), ChainHandle[int])
    assert_type(await add.group([(1, 2)]).adelay(), GroupHandle[int])
    assert_type(await async_with_context("x"), str)
    assert_type(await app.asend("mail.send", to="x"), JobHandle[Any])
    assert_type(await app.using(queue="q").asend("mail.send", to="x"), JobHandle[Any])
    assert_type(await add.s(1, 2).adelay(), JobHandle[int])
    assert_type(await inner.adelay(), JobHandle[int])
    assert_type(await (await add.group([(1, 2)]).adelay()).aget(), list[int])
    assert_type(await (await add.chain((1, 2), notify).adelay()).aget(), None)
    assert_type(await add.job("id").astatus(), JobStatus)
    assert_type(await app.group_job("id").astatus(), JobStatus)
    assert_type(await app.chain_job("id").astatus(), JobStatus)
    assert_type(await app.aclose(), None)


# -- results of one type are results of a wider one
wider: JobHandle[float] = add.delay(1, 2)
anything: Signature[object] = add.s(1, 2)


@app.task
def never(a: int) -> NoReturn:
    raise ValueError(a)


assert_type(never.delay(1).id, str)
