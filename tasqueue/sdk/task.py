"""What a decorated function becomes: still callable, and able to be sent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from tasqueue.core.errors import ArgumentError, ConfigurationError, JobError, Unsupported
from tasqueue.core.job import Job
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.context import JobContext, current_job
from tasqueue.engine.plan import Plan, enqueue, enqueue_if_absent, enqueue_many
from tasqueue.sdk.definition import Call, Definition, Spec
from tasqueue.sdk.fan import fan_of
from tasqueue.sdk.handle import JobHandle, checked
from tasqueue.sdk.options import CallOptions, call_wishes
from tasqueue.sdk.signature import (
    ChainSignature,
    Follower,
    GroupSignature,
    Link,
    Partial,
    Row,
    Signature,
    chained,
    link,
)

P = ParamSpec("P")
P2 = ParamSpec("P2")
A = TypeVar("A")
R_co = TypeVar("R_co", covariant=True)
R2 = TypeVar("R2")
A2 = TypeVar("A2")


class BaseTask(Definition[P, R_co]):
    """A task that can be sent, with or without options for the call."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """Send a call. When this returns the broker has the job; otherwise it raises.

        In a running event loop this works, holds it up, and warns: there, await `adelay`.

        Raises:
            ArgumentError: the arguments do not fit the function's signature.
            LimitExceeded: they are larger than a message may be.
            BackendError: the broker could not be reached, or refused.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        plan = self._sending(args, kwargs)
        return self._handle(self.spec.client.submit(plan, "adelay"))

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]:
        """As `delay`, awaited."""
        plan = self._sending(args, kwargs)
        return self._handle(await self.spec.client.asubmit(plan))

    def using(self, **options: Unpack[CallOptions]) -> BaseTask[P, R_co]:
        """The same task with options for its next calls; the task itself is not changed.

        ``queue``, ``retries``, ``timeout`` and ``countdown`` (seconds or timedelta), ``id``,
        ``eta`` (a datetime; a naive one is local time) and ``durability`` (see `App`). With
        ``if_absent=True`` and an ``id``, nothing is sent while a job of that ID waits or runs.

        Raises:
            ConfigurationError: an option is unknown or of no use.
        """
        return BaseTask(self.spec, call_wishes(options, self.wishes))

    def delay_many(self, calls: Iterable[tuple[Any, ...]], /) -> list[JobHandle[R_co]]:
        """Send many calls in one round trip, each a tuple of positional arguments.

        Raises:
            ArgumentError: the arguments of a call do not fit; then none was sent.
            BackendError: the broker could not be reached, or refused; some may have been sent.
            EnqueueUnconfirmed: they may be stored or not, or less safe than asked for.
        """
        plan = enqueue_many(self._jobs(calls))
        return [self._handle(one) for one in self.spec.client.submit(plan, "adelay_many")]

    async def adelay_many(self, calls: Iterable[tuple[Any, ...]], /) -> list[JobHandle[R_co]]:
        """As `delay_many`, awaited."""
        plan = enqueue_many(self._jobs(calls))
        return [self._handle(one) for one in await self.spec.client.asubmit(plan)]

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R_co]:
        """A call that is bound and checked, and not sent.

        Raises:
            ArgumentError: the arguments do not fit the function's signature.
        """
        return Signature(self.spec.client, (self._call(args, kwargs),))

    def partial(
        self: Follower[A, P2, R2], /, *args: P2.args, **kwargs: P2.kwargs
    ) -> Partial[A, R2]:
        """A call without its first argument, which the job before it in a chain gives.

        Raises:
            ArgumentError: the arguments do not fit what is left of the signature.
        """
        task: Any = self
        return Partial(task.spec.client, link(task, args, kwargs))

    @overload
    def then(
        self: Follower[A, [], R2], task: Follower[R2, P2, A2], /, *args: P2.args, **kw: P2.kwargs
    ) -> Partial[A, A2]: ...
    @overload
    def then(self: Follower[A, [], R2], task: Partial[R2, A2] | Row[A2], /) -> Partial[A, A2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Partial[Any, Any]:
        """This task as a link, and a link behind it; to start with a call, take ``s(…).then``.

        Raises:
            ArgumentError: arguments do not fit what is left of a signature.
        """
        return Partial(self.spec.client, link(self) + link(task, args, kwargs))

    def __or__(self: Follower[A, [], R2], task: Link[R2, A2], /) -> Partial[A, A2]:
        """As `then`."""
        return Partial(cast("Any", self).spec.client, link(self) + link(task))

    @overload
    def group(
        self,
        calls: Iterable[tuple[Any, ...] | Signature[R_co]],
        /,
        *,
        on_failure: Literal["fail"] = "fail",
    ) -> GroupSignature[R_co]: ...
    @overload
    def group(
        self,
        calls: Iterable[tuple[Any, ...] | Signature[R_co]],
        /,
        *,
        on_failure: Literal["continue"],
    ) -> GroupSignature[R_co | JobError]: ...
    def group(self, calls: Iterable[Any], /, *, on_failure: str = "fail") -> Any:
        """Calls of this task that run side by side, each a tuple of arguments.

        A failed member fails the group; with ``on_failure="continue"`` it gives its error.

        Raises:
            ArgumentError: the arguments of a call do not fit, or the policy is unknown.
            ConfigurationError: the task was told an ID, which only one job can have.
        """
        self.wishes.shared("a group")
        client = self.spec.client
        members = (
            one if isinstance(one, Signature) else Signature(client, (self._call(_tuple(one), {}),))
            for one in calls
        )
        return fan_of(client, members, on_failure)

    @overload
    def chain(self, first: tuple[Any, ...], second: Link[R_co, R2], /) -> ChainSignature[R2]: ...
    @overload
    def chain(
        self, first: tuple[Any, ...], second: Link[R_co, A], third: Link[A, R2], /
    ) -> ChainSignature[R2]: ...
    @overload
    def chain(
        self,
        first: tuple[Any, ...],
        second: Link[R_co, Any],
        third: Link[Any, Any],
        /,
        *more: Link[Any, Any],
    ) -> ChainSignature[Any]: ...
    def chain(self, first: tuple[Any, ...], /, *links: Any) -> Any:
        """A call of this task with the arguments ``first``, and what follows it.

        Raises:
            ArgumentError: the arguments of a link do not fit.
        """
        steps = (self._call(_tuple(first), {}), *(step for one in links for step in link(one)))
        return chained(self.spec.client, steps)

    def job(self, job_id: str, /) -> JobHandle[R_co]:
        """The handle of a job of this task, from its ID."""
        return self._handle(checked("job", job_id))

    def _handle(self, job_id: str) -> JobHandle[R_co]:
        return JobHandle(job_id, self.spec.client, self.spec.read_result)

    def _sending(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[str]:
        job = self._job(args, kwargs)
        if not self.wishes.if_absent:
            return enqueue(job)
        if not self.spec.client.has_one_step:
            msg = "if_absent=True needs messages and records on one server: send without it"
            raise Unsupported(msg)
        return enqueue_if_absent(job)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if self.wishes.if_absent:
            msg = "if_absent=True goes with delay() and adelay(), not with a part of a flow"
            raise ConfigurationError(msg)
        return Call(self.spec, self.spec.bind(args, kwargs), self.wishes)

    def _job(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        spec = self.spec
        opts = self.wishes.opts(spec.settings, SYSTEM.now_ns())
        return Job(spec.settings.name, spec.bind(args, kwargs), opts)

    def _jobs(self, calls: Iterable[tuple[Any, ...]]) -> list[Job]:
        self.wishes.shared("a list of calls")
        return [self._job(_tuple(args), {}) for args in calls]


class Task(BaseTask[P, R_co]):
    """A task together with the function that it was made of."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, spec: Spec, function: Callable[..., Any]) -> None:
        super().__init__(spec)
        self.function = function
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function; its context, if it wants one, is that of the running job."""
        shape = self.spec.shape
        if shape is None or not shape.wants_context:
            return self.function(*args, **kwargs)
        if args and isinstance(args[0], JobContext):
            return self.function(*args, **kwargs)
        return self.function(current_job(), *args, **kwargs)


class SyncTask(Task[P, R_co]):
    """A ``def`` function as a task: it runs in a thread of the worker."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, here and now."""
        result: R_co = self._run(args, kwargs)
        return result


class AsyncTask(Task[P, R_co]):
    """An ``async def`` function as a task: it runs on the loop of the worker."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function, here and now; the coroutine is to be awaited."""
        coroutine: Coroutine[Any, Any, R_co] = self._run(args, kwargs)
        return coroutine


def _tuple(arguments: Any) -> tuple[Any, ...]:
    if isinstance(arguments, tuple):
        return arguments
    msg = f"each call is a tuple of its arguments, such as ({arguments!r},)"
    raise ArgumentError(msg)
