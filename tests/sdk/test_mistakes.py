"""What a newcomer gets wrong, and what each message must name: the thing, the value, an action."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tasqueue.core.errors import ArgumentError, ConfigurationError, DuplicateTask, TasqueueError
from tasqueue.sdk.app import App

app: Any = App("memory://")


def _add(a: int, b: int) -> int:
    return a + b


def _double(a: int) -> int:
    return 2 * a


def _now() -> int:
    return 1


add: Any = app.task(name="shop.add")(_add)
double: Any = app.task(name="shop.double")(_double)
now: Any = app.task(name="shop.now")(_now)


def yields() -> Any:
    yield 1


class Shop:
    def method(self) -> None: ...


MISTAKES: list[tuple[str, Callable[[], object], type[TasqueueError], list[str]]] = [
    # where the work goes
    ("no text as address", lambda: App(6379), ConfigurationError, ["6379", "redis://HOST"]),  # type: ignore[arg-type]
    ("no port", lambda: App("redis://h:x/0").send("t"), ConfigurationError,
     ["'redis://h:x/0' (from App(…))", "port", "number"]),
    ("no database", lambda: App("redis://:pw@h:1/x").send("t"), ConfigurationError,
     ["'redis://:***@h:1/x' (from App(…))", "'x'", "number"]),
    ("result_ttl of an app", lambda: App(result_ttl="7d"), ConfigurationError,  # type: ignore[arg-type]
     ["result_ttl='7d'", "seconds"]),
    # declaring
    ("an option by place", lambda: app.task("shop.x"), ConfigurationError,
     ["'shop.x'", "@app.task above a def, options by name"]),
    ("a class", lambda: app.task(dict), ConfigurationError, ["<class 'dict'>", "above a def"]),
    ("a lambda", lambda: app.task(lambda: 1), ConfigurationError, ["test_mistakes.py:", "name="]),
    ("a generator", lambda: app.task(yields), ConfigurationError, ["yields", "return a list"]),
    ("a method", lambda: app.task(Shop.method), ConfigurationError,
     ["Shop.method", "test_mistakes.py:", "make a function of it"]),
    ("a task again", lambda: app.task(add), ConfigurationError, ["add", "a task already"]),
    ("a second of a name", lambda: app.task(name="shop.add")(_double),
     DuplicateTask, ["'shop.add'", "test_mistakes.py:", "another name="]),
    # calling
    ("an option among the arguments", lambda: add.delay(1, 2, countdown=3), ArgumentError,
     ["shop.add(a: int, b: int)", "'countdown'", "using(countdown=…)"]),
    ("a list of numbers", lambda: add.delay_many([1, 2]), ArgumentError, ["tuple", "(1,)"]),
    ("a lock", lambda: app.send("x", lock=threading.Lock()), ArgumentError,
     ["argument lock", "a lock cannot be written as JSON"]),
    ("a task where a name is wanted", lambda: app.send(add, a=1), ArgumentError,
     ["shop.add", "delay()"]),
    ("a name with a blank", lambda: app.send("my task"), ConfigurationError,
     ["'my task'", "letters, digits"]),
    # putting together
    ("a link without a place", lambda: add.s(1, 2).then(now), ArgumentError,
     ["shop.now()", "no parameter", "s()"]),
    ("a list of links", lambda: app.chain([add.s(1, 2), double]), ArgumentError,
     ["list", "task.s(…)"]),
    ("nothing to chain", app.chain, ConfigurationError, ["at least one link"]),
    ("tasks in a group", lambda: app.group(add, double), ArgumentError, ["task.s(…)"]),
    ("a partial that is sent", lambda: double.partial().delay(), ArgumentError,
     ["shop.double", "put it in a chain"]),
    # waiting
    ("no ID", lambda: app.job(None), ArgumentError, ["None", "`.id`"]),
    ("a handle as an ID", lambda: app.group_job(app.job("x")), ArgumentError,
     ["JobHandle", "`.id`"]),
    ("an ID of no chain", lambda: app.chain_job(7), ArgumentError, ["7", "`.id`"]),
    ("an ID of no job", lambda: add.job(b"x"), ArgumentError, ["b'x'", "`.id`"]),
    ("a text as a timeout", lambda: app.job("x").get(timeout="5"), ArgumentError,
     ["timeout='5'", "seconds"]),
]  # fmt: skip


def test_names() -> None:
    """Each mistake has a name of its own."""
    assert len({name for name, *_ in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize(
    ("call", "kind", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_answered_with_what_it_was_and_what_to_do(
    call: Callable[[], object], kind: type[TasqueueError], said: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert "\n" not in message


def test_work_that_is_not_sent_shows_its_tasks_and_nobodys_arguments() -> None:
    flow = app.group(add.s(4711, 2), double.s(4711).then(double)).then(double)
    assert repr(flow) == "<FanIn [shop.add, shop.double | shop.double] | shop.double>"
    assert repr(add.s(4711, 2)) == "<Signature shop.add>"
    assert repr(double.then(double)) == "<Partial shop.double | shop.double>"
