"""Oddities that must pass both checkers. Checked, never run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from tasqueue import App, JobContext, JobHandle

app = App()


@dataclass
class Order:
    id: int
    prices: list[float]


class Line(TypedDict):
    price: float


@app.task
def any_result(a: int) -> Any:
    return a


@app.task
async def any_async(a: int) -> Any:
    return a


@app.task
def everything(*args: Any, **kwargs: Any) -> None: ...


@app.task
def any_default(value: Any, extra: object = None) -> None: ...


# mypy sees SyncTask[..., Any] here: a first parameter that is Any itself hides the rest from it.
@app.task
def any_first(value: Any, times: int) -> str:
    return str(value) * times


@app.task
def order(order: Order, line: Line, at: datetime, rest: Mapping[str, int] = {}) -> Order:
    return order


@app.task
def positional(a: int, b: str, /) -> str:
    return b


@app.task
def only_context(ctx: JobContext) -> str:
    return ctx.id


@app.task()
def empty_call(a: int) -> int:
    return a


any_result.delay(1)
any_first.delay(object(), 2)
any_first.delay(1, times=2)
any_async.delay(1)
everything.delay(1, 2)
everything.delay(1, x=2)
any_default.delay(JobContext)
any_default.delay(3, extra=4)
order.delay(Order(1, []), {"price": 1.0}, datetime.now())
order.delay(order=Order(1, []), line={"price": 1.0}, at=datetime.now(), rest={"a": 1})
positional.delay(1, "x")
only_context.delay()
only_context.s().then(any_default).delay()
empty_call.using(timeout=timedelta(seconds=1), eta=datetime.now()).delay(1)
empty_call.using(countdown=timedelta(seconds=1), id="x").s(1).delay()
plain: Callable[[int], int] = empty_call
handles: list[JobHandle[int]] = empty_call.delay_many([(one,) for one in range(3)])
more = [one.get() + 1 for one in handles]
app.group([]).delay()
app.chain(empty_call.s(1), empty_call, empty_call, empty_call, empty_call).delay().get()
app.chain(empty_call.s(1), app.group(empty_call.s(1)), everything).delay()

with app:
    pass


async def closing() -> None:
    async with app:
        pass
    await app.aclose()
