"""Work that is put together and not sent yet: signatures, chains and groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from tasqueue.core.errors import ArgumentError, Unsupported
from tasqueue.sdk.client import Client
from tasqueue.sdk.definition import Call, Definition, ReadResult, Spec
from tasqueue.sdk.flow import (
    Fan,
    Plan,
    Sent,
    Steps,
    linked,
    send_chain,
    send_flow,
    send_job,
)
from tasqueue.sdk.handle import ChainHandle, GroupHandle, JobHandle

P2 = ParamSpec("P2")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
R2 = TypeVar("R2")


class Follower(Protocol[A_contra, P2, R_co]):
    """A task, by its first parameter, the others, and its result.

    Taken apart like that, a task for floats can follow one that gives ints in every checker.
    """

    def s(self, first: A_contra, /, *args: P2.args, **kwargs: P2.kwargs) -> Signature[R_co]:
        """A call that is bound and checked, and not sent."""
        ...


@dataclass(frozen=True, slots=True)
class Partial(Generic[A_contra, R_co]):
    """A call that lacks its first argument, which the job before it in a chain gives."""

    call: Call


@dataclass(frozen=True, slots=True)
class Work(Generic[R_co]):
    """Steps that run one after the other, the last one a single job."""

    client: Client
    steps: Steps

    @property
    def last(self) -> Spec:
        """The task of the last step."""
        step = self.steps[-1]
        return step.spec if isinstance(step, Call) else step.members[0][-1].spec


class FanIn(Work[R_co]):
    """Work that holds a group, and ends with one job."""

    __slots__ = ()

    @overload
    def then(
        self: FanIn[A], task: Follower[A, P2, R2], /, *args: P2.args, **kw: P2.kwargs
    ) -> FanIn[R2]: ...
    @overload
    def then(self: FanIn[A], task: Partial[A, R2] | Signature[R2], /) -> FanIn[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> FanIn[Any]:
        """Add a link: it gets the result before it as its first argument."""
        return FanIn(self.client, self.steps + link(task, args, kwargs))

    def __or__(self: FanIn[A], task: Link[A, R2], /) -> FanIn[R2]:
        """As `then`."""
        return FanIn(self.client, self.steps + link(task))

    def delay(self) -> JobHandle[R_co]:
        """Send it; the handle is that of the last job.

        Raises:
            Unsupported: the back end cannot run a task when a group has ended.
        """
        return self._handle(self.client.submit(self._plan(), "adelay"))

    async def adelay(self) -> JobHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(self._plan()))

    def _plan(self) -> Plan[Sent]:
        require_fan_in(self.client)
        return send_flow(self.steps)

    def _handle(self, sent: Sent) -> JobHandle[R_co]:
        return JobHandle(sent.id, self.client, self.last.read_result, sent.before)


class Row(Work[R_co]):
    """Single jobs, one after the other."""

    __slots__ = ()

    @overload
    def then(
        self: Row[A], task: Follower[A, P2, R2], /, *args: P2.args, **kw: P2.kwargs
    ) -> ChainSignature[R2]: ...
    @overload
    def then(self: Row[A], task: Partial[A, R2] | Signature[R2], /) -> ChainSignature[R2]: ...
    @overload
    def then(self, task: GroupSignature[R2], /) -> GroupSignature[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Add a link: it gets the result before it as its first argument.

        Raises:
            ArgumentError: the arguments after the first do not fit the link's signature.
        """
        return chained(self.client, self.steps + link(task, args, kwargs))

    def __or__(self: Row[A], task: Link[A, R2], /) -> ChainSignature[R2]:
        """As `then`."""
        return ChainSignature(self.client, self.steps + link(task))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The steps, each of which is a call."""
        return tuple(step for step in self.steps if isinstance(step, Call))


class Signature(Row[R_co]):
    """One call of a task, bound and checked."""

    __slots__ = ()

    def on_error(self, *signatures: Signature[Any]) -> Signature[R_co]:
        """The same call, with what runs when it has failed for good (Go: OnError)."""
        (call,) = self.calls
        alerts = tuple(one.calls[0].ready() for one in signatures)
        return Signature(self.client, (replace(call, on_error=call.on_error + alerts),))

    def delay(self) -> JobHandle[R_co]:
        """Send it. When this returns the broker has the job; otherwise it raises."""
        return self._handle(self.client.submit(send_job(self.calls[0]), "adelay"))

    async def adelay(self) -> JobHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(send_job(self.calls[0])))

    def _handle(self, sent: Sent) -> JobHandle[R_co]:
        return JobHandle(sent.id, self.client, self.last.read_result)


class ChainSignature(Row[R_co]):
    """Calls that run one after the other, each with the result of the one before."""

    __slots__ = ()

    def delay(self) -> ChainHandle[R_co]:
        """Send it. When this returns the broker has the chain; otherwise it raises."""
        return self._handle(self.client.submit(send_chain(self.calls), "adelay"))

    async def adelay(self) -> ChainHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(send_chain(self.calls)))

    def _handle(self, sent: Sent) -> ChainHandle[R_co]:
        return ChainHandle(sent.id, self.client, self.last.read_result)


@dataclass(frozen=True, slots=True)
class GroupSignature(Generic[R_co]):
    """Work whose members run side by side, after the steps before it, if there are any."""

    client: Client
    fan: Fan
    before: Steps = ()

    @overload
    def then(
        self: GroupSignature[A],
        task: Follower[list[A], P2, R2],
        /,
        *args: P2.args,
        **kw: P2.kwargs,
    ) -> FanIn[R2]: ...
    @overload
    def then(
        self: GroupSignature[A], task: Partial[list[A], R2] | Signature[R2], /
    ) -> FanIn[R2]: ...
    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> FanIn[Any]:
        """Add what runs when all members have succeeded: it gets the list of their results."""
        return FanIn(self.client, (*self.before, self.fan, *link(task, args, kwargs)))

    def __or__(self: GroupSignature[A], task: Link[list[A], R2], /) -> FanIn[R2]:
        """As `then`."""
        return FanIn(self.client, (*self.before, self.fan, *link(task)))

    def delay(self) -> GroupHandle[R_co]:
        """Send it. When this returns the broker has all members; otherwise it raises."""
        return self._handle(self.client.submit(self._plan(), "adelay"))

    async def adelay(self) -> GroupHandle[R_co]:
        """As `delay`, awaited."""
        return self._handle(await self.client.asubmit(self._plan()))

    def _plan(self) -> Plan[Sent]:
        if any(isinstance(step, Fan) for step in self.before):
            require_fan_in(self.client)
        return send_flow((*self.before, self.fan))

    def _handle(self, sent: Sent) -> GroupHandle[R_co]:
        reads: tuple[ReadResult, ...] = tuple(row[-1].spec.read_result for row in self.fan.members)
        return GroupHandle(sent.id, self.client, reads)


Link = Follower[A_contra, ..., R_co] | Partial[A_contra, R_co] | Signature[R_co]
"""What can follow a result: a bare task, a partial call, or a complete one that ignores it."""

Member = Row[R_co] | Partial[Any, R_co]
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
        return (task.call,)
    if isinstance(task, Work):
        return linked(task.steps)
    if isinstance(task, GroupSignature):
        return linked((*task.before, task.fan))
    msg = f"a {type(task).__qualname__} is no link: take a task, task.partial(…) or task.s(…)"
    raise ArgumentError(msg)


def start(task: Any) -> Steps:
    """What a flow starts with, as steps.

    Raises:
        ArgumentError: it is nothing that could be sent.
    """
    if isinstance(task, Work):
        return task.steps
    return (*task.before, task.fan) if isinstance(task, GroupSignature) else link(task)


def chained(client: Client, steps: Steps) -> Any:
    """Steps as the class that knows how to send them."""
    if isinstance(steps[-1], Fan):
        group: GroupSignature[Any] = GroupSignature(client, steps[-1], steps[:-1])
        return group
    holds_group = any(isinstance(step, Fan) for step in steps)
    kind = FanIn if holds_group else ChainSignature if len(steps) > 1 else Signature
    return kind(client, steps)


def fan_of(client: Client, members: Iterable[Any]) -> GroupSignature[Any]:
    """A group of what was put together before.

    Raises:
        ArgumentError: a member is no signature.
        Unsupported: a member is a group, or has one in it.
    """
    return GroupSignature(client, Fan(tuple(_member(one) for one in members)))


def _member(work: Any) -> tuple[Call, ...]:
    if isinstance(work, Partial):
        return (work.call,)
    if isinstance(work, GroupSignature | FanIn):
        msg = "a group cannot be a member of a group yet: give each of its members to the outer one"
        raise Unsupported(msg)
    if isinstance(work, Row):
        return work.calls
    msg = f"a {type(work).__qualname__} is no member of a group: take task.s(…)"
    raise ArgumentError(msg)


def require_fan_in(client: Client) -> None:
    """Refuse to call a task after a group where nobody would.

    Raises:
        Unsupported: this back end has no fan-in.
    """
    if not client.has_fan_in:
        msg = f"{client.kind}:// cannot run a task when a group has ended yet; memory:// can"
        raise Unsupported(msg)
