"""Work that is put together and not sent yet: signatures, chains and groups of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from tasqueue.core.errors import ArgumentError, Unsupported
from tasqueue.engine.plan import Plan
from tasqueue.sdk.client import Client
from tasqueue.sdk.definition import Call, Definition, ReadResult
from tasqueue.sdk.flow import (
    Fan,
    Sent,
    Steps,
    fans_in,
    last,
    linked,
    no_use_of_errors,
    send_chain,
    send_flow,
    send_job,
    shown,
)
from tasqueue.sdk.handle import ChainHandle, GroupHandle, JobHandle

P2 = ParamSpec("P2")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
R2 = TypeVar("R2")
A2 = TypeVar("A2")


class Follower(Protocol[A_contra, P2, R_co]):
    """A task, by its first parameter, the others, and its result.

    Taken apart like that, a task for floats can follow one that gives ints in every checker.
    """

    def s(self, first: A_contra, /, *args: P2.args, **kwargs: P2.kwargs) -> Signature[R_co]:
        """A call that is bound and checked, and not sent."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Partial(Generic[A_contra, R_co]):
    """Calls, one after the other, that wait for a first argument: a job before them gives it."""

    client: Client
    steps: Steps

    @overload
    def then(
        self: Partial[A, R2], task: Follower[R2, P2, A2], /, *args: P2.args, **kw: P2.kwargs
    ) -> Partial[A, A2]: ...
    @overload
    def then(self: Partial[A, R2], task: Partial[R2, A2] | Row[A2], /) -> Partial[A, A2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Partial[Any, Any]:
        """Add a link: it gets the result before it as its first argument."""
        return Partial(self.client, self.steps + link(task, args, kwargs))

    def __or__(self: Partial[A, R2], task: Link[R2, A2], /) -> Partial[A, A2]:
        """As `then`."""
        return Partial(self.client, self.steps + link(task))

    def __repr__(self) -> str:
        return f"<Partial {shown(self.steps)}>"

    if not TYPE_CHECKING:

        def delay(self) -> NoReturn:
            """Say what is missing.

            Raises:
                ArgumentError: always; the checkers know that it is not there.
            """
            self.steps[0].ready()

        adelay = delay


@dataclass(frozen=True, slots=True, repr=False)
class Work(Generic[R_co]):
    """Steps that run one after the other; what can be sent."""

    client: Client
    steps: Steps

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {shown(self.steps)}>"

    @property
    def read(self) -> ReadResult:
        """What reads the result of the last step, a single job."""
        return next(last(self.steps)).read_result


class FanIn(Work[R_co]):
    """Work that holds a group, and ends with one job.

    It cannot be sent everywhere: see `FanIn.delay`.
    """

    __slots__ = ()

    @overload
    def then(
        self: FanIn[A], task: Follower[A, P2, R2], /, *args: P2.args, **kw: P2.kwargs
    ) -> FanIn[R2]: ...
    @overload
    def then(self: FanIn[A], task: Partial[A, R2] | Row[R2] | FanIn[R2], /) -> FanIn[R2]: ...
    @overload
    def then(self, task: GroupSignature[R2], /) -> GroupSignature[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Add a link: it gets the result before it as its first argument."""
        return chained(self.client, self.steps + link(task, args, kwargs))

    @overload
    def __or__(self: FanIn[A], task: Link[A, R2] | FanIn[R2], /) -> FanIn[R2]: ...
    @overload
    def __or__(self, task: GroupSignature[R2], /) -> GroupSignature[R2]: ...
    def __or__(self, task: Any, /) -> Any:
        """As `then`."""
        return chained(self.client, self.steps + link(task))

    def delay(self) -> JobHandle[R_co]:
        """Send it; the handle is that of the last job.

        Raises:
            Unsupported: the back end cannot run a task when a group has ended.
            BackendError: the broker could not be reached, or refused; some members may be there,
                and what follows them will not come.
        """
        return self._handle(self.client.submit(_plan(self), "adelay"))

    async def adelay(self) -> JobHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(_plan(self)))

    def _handle(self, sent: Sent) -> JobHandle[R_co]:
        (path,) = sent.paths
        return JobHandle(sent.id, self.client, self.read, path[:-1])


class Row(Work[R_co]):
    """Single jobs, one after the other."""

    __slots__ = ()

    @overload
    def then(
        self: Row[A], task: Follower[A, P2, R2], /, *args: P2.args, **kw: P2.kwargs
    ) -> ChainSignature[R2]: ...
    @overload
    def then(self: Row[A], task: Partial[A, R2] | Row[R2], /) -> ChainSignature[R2]: ...
    @overload
    def then(self, task: GroupSignature[R2], /) -> GroupSignature[R2]: ...
    @overload
    def then(self, task: FanIn[R2], /) -> FanIn[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Add a link: it gets the result before it as its first argument.

        Raises:
            ArgumentError: the arguments after the first do not fit the link's signature.
        """
        return chained(self.client, self.steps + link(task, args, kwargs))

    @overload
    def __or__(self: Row[A], task: Link[A, R2], /) -> ChainSignature[R2]: ...
    @overload
    def __or__(self, task: GroupSignature[R2], /) -> GroupSignature[R2]: ...
    @overload
    def __or__(self, task: FanIn[R2], /) -> FanIn[R2]: ...
    def __or__(self, task: Any, /) -> Any:
        """As `then`."""
        return chained(self.client, self.steps + link(task))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The steps, each of which is a call."""
        return tuple(step for step in self.steps if isinstance(step, Call))


class Signature(Row[R_co]):
    """One call of a task, bound and checked."""

    __slots__ = ()

    def on_error(self, *signatures: Signature[Any]) -> Signature[R_co]:
        """The same call, with what runs when it has failed for good (Go: OnError).

        Raises:
            ArgumentError: one of them is no signature.
        """
        (call,) = self.calls
        alerts = tuple(_alert(one) for one in signatures)
        return Signature(self.client, (replace(call, on_error=call.on_error + alerts),))

    def delay(self) -> JobHandle[R_co]:
        """Send it. When this returns the broker has the job; otherwise it raises.

        Raises:
            LimitExceeded: the message is too large.
            BackendError: the broker could not be reached, or refused.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        return self._handle(self.client.submit(send_job(self.calls[0]), "adelay"))

    async def adelay(self) -> JobHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(send_job(self.calls[0])))

    def _handle(self, sent: Sent) -> JobHandle[R_co]:
        return JobHandle(sent.id, self.client, self.read)


class ChainSignature(Row[R_co]):
    """Calls that run one after the other, each with the result of the one before."""

    __slots__ = ()

    def delay(self) -> ChainHandle[R_co]:
        """Send it. When this returns the broker has the chain; otherwise it raises.

        Raises:
            LimitExceeded: there are too many links, or the message is too large.
            BackendError: the broker could not be reached, or refused.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        return self._handle(self.client.submit(send_chain(self.calls), "adelay"))

    async def adelay(self) -> ChainHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(send_chain(self.calls)))

    def _handle(self, sent: Sent) -> ChainHandle[R_co]:
        return ChainHandle(sent.id, self.client, self.read)


class GroupSignature(Work[R_co]):
    """Work whose last step is a group: members that run side by side."""

    __slots__ = ()

    @overload
    def then(
        self: GroupSignature[A],
        task: Follower[list[A], P2, R2],
        /,
        *args: P2.args,
        **kw: P2.kwargs,
    ) -> FanIn[R2]: ...
    @overload
    def then(self: GroupSignature[A], task: Partial[list[A], R2] | Row[R2], /) -> FanIn[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> FanIn[Any]:
        """Add what runs when all members have succeeded: it gets the list of their results.

        Raises:
            Unsupported: failed members are to give their errors, which no task can take.
        """
        found: FanIn[Any] = chained(self.client, self.steps + link(task, args, kwargs))
        return found

    def __or__(self: GroupSignature[A], task: Link[list[A], R2], /) -> FanIn[R2]:
        """As `then`."""
        found: FanIn[R2] = chained(self.client, self.steps + link(task))
        return found

    def delay(self) -> GroupHandle[R_co]:
        """Send it. When this returns the broker has all members; otherwise it raises.

        Raises:
            ArgumentError: a first job waits for the result of a job before it.
            Unsupported: two groups follow each other, or a task is to run when one has ended and
                the back end cannot do that.
            LimitExceeded: the group is too large for what its members are.
            BackendError: the broker could not be reached, or refused; some members may be there.
            EnqueueUnconfirmed: they may be stored or not, or less safe than asked for.
        """
        return self._handle(self.client.submit(_plan(self), "adelay"))

    async def adelay(self) -> GroupHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(_plan(self)))

    def _handle(self, sent: Sent) -> GroupHandle[R_co]:
        reads = tuple(spec.read_result for spec in last(self.steps))
        fan = self.steps[-1]
        goes_on = isinstance(fan, Fan) and fan.goes_on
        return GroupHandle(sent.id, self.client, reads, sent.paths if goes_on else ())


Link = Follower[A_contra, [], R_co] | Partial[A_contra, R_co] | Row[R_co]
"""What can follow a result: a task that needs no more, partial calls, or complete ones."""

Member = Row[R_co] | Partial[Any, R_co] | FanIn[R_co] | GroupSignature[R_co]
"""What can be in a group; a partial call needs a job before the group."""


def link(task: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = {}) -> Steps:
    """What follows a result, as steps.

    Raises:
        ArgumentError: it cannot follow one, or its own arguments do not fit.
    """
    if isinstance(task, Definition):
        body = task.spec.bind_rest(args, kwargs)
        return (Call(task.spec, body, task.wishes, waits=True),)
    if args or kwargs:
        msg = "arguments go with a bare task; a partial call and a signature have theirs"
        raise ArgumentError(msg)
    if isinstance(task, Partial):
        return task.steps
    if isinstance(task, Work):
        return linked(task.steps)
    msg = f"a {type(task).__qualname__} is no link: take a task, task.partial(…) or task.s(…)"
    raise ArgumentError(msg)


def start(task: Any) -> Steps:
    """What a flow starts with, as steps.

    Raises:
        ArgumentError: it is nothing that could be sent.
    """
    return task.steps if isinstance(task, Work) else link(task)


def chained(client: Client, steps: Steps) -> Any:
    """Steps as the class that knows how to send them.

    Raises:
        Unsupported: a task would follow a group whose failed members give their errors.
    """
    *before, end = steps
    groups = [step for step in before if isinstance(step, Fan)]
    if any(group.goes_on for group in groups):
        raise no_use_of_errors()
    if isinstance(end, Fan):
        return GroupSignature(client, steps)
    kind = FanIn if groups else ChainSignature if before else Signature
    return kind(client, steps)


def _alert(signature: Any) -> Call:
    if isinstance(signature, Signature):
        return signature.calls[0].ready()
    msg = f"a {type(signature).__qualname__} is no signature: on_error takes task.s(…)"
    raise ArgumentError(msg)


def _plan(work: Work[Any]) -> Plan[Sent]:
    """How work that holds a group is sent.

    Raises:
        Unsupported: a task is to run when a group has ended, and this back end has no fan-in.
    """
    client = work.client
    if fans_in(work.steps) and not client.has_fan_in:
        msg = (
            f"{client.kind}:// cannot run a task when a group has ended: "
            "redis:// and redis+cluster:// can, or get() the group's results and send the task then"
        )
        raise Unsupported(msg)
    return send_flow(work.steps)
