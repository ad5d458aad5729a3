"""`App`: the front door of the SDK."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, Unpack, overload

from tasqueue.core.durability import ACK, Durability, check_durability
from tasqueue.core.errors import ConfigurationError, DuplicateTask, JobError
from tasqueue.core.signing import Signing
from tasqueue.engine.registry import Task as Entry
from tasqueue.engine.registry import TaskOpts
from tasqueue.engine.server import Server, ServerOpts
from tasqueue.sdk.client import Client
from tasqueue.sdk.decorator import TaskDecorator
from tasqueue.sdk.definition import Spec
from tasqueue.sdk.fan import fan_of
from tasqueue.sdk.handle import ChainHandle, GroupHandle, JobHandle, checked
from tasqueue.sdk.naming import app_path, default_name, place, runs_on_loop
from tasqueue.sdk.opening import Opened, chosen_results, chosen_url, shown
from tasqueue.sdk.options import CallOptions, Seconds, Settings, task_settings
from tasqueue.sdk.process import ProcessPool, process_handler
from tasqueue.sdk.running import async_handler, sync_handler
from tasqueue.sdk.sender import Sender
from tasqueue.sdk.shape import Shape
from tasqueue.sdk.signature import (
    ChainSignature,
    FanIn,
    GroupSignature,
    Link,
    Member,
    Row,
    Signature,
    chained,
    link,
    start,
)
from tasqueue.sdk.task import AsyncTask, SyncTask

A = TypeVar("A")
R = TypeVar("R")
R2 = TypeVar("R2")

WEEK: Final = timedelta(days=7)


class App:
    """A program's tasks, and the queue that they go through.

    ``url`` is that of a back end (``redis://``, ``rediss://``, ``valkey://``, ``unix://``,
    ``redis+sentinel://``, ``redis+cluster://``, ``memory://``); left out, it is the environment
    variable ``TASQUEUE_URL``, else ``memory://``. ``results`` is the URL of another back end, where
    records, results and groups are kept; left out, they are where the messages are, and a job ends
    in one step. ``imports`` names the modules that a worker
    loads, so that their tasks are known. ``result_ttl`` (seconds or timedelta) is how long records
    and results are kept after a job's end; None is for ever. ``signing`` holds the keys that
    messages are signed and checked with; None does neither. ``durability`` is how far a job must
    have come before its send returns: ``"ack"`` (the server has it), ``"replica"`` (a replica
    too) or ``"fsync"`` (its disk too).

    Nothing is connected before the first call that needs it. An app may be used from many
    threads, many event loops, and after a fork.

    Raises:
        ConfigurationError: no back end goes by that URL, or an option is of no use.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        results: str | None = None,
        imports: Iterable[str] = (),
        result_ttl: Seconds | None = WEEK,
        signing: Signing | None = None,
        durability: Durability = ACK,
    ) -> None:
        self.url: Final = chosen_url(url)
        results_url = chosen_results(results, self.url)
        self.imports: Final[tuple[str, ...]] = (
            (imports,) if isinstance(imports, str) else tuple(imports)
        )
        self.task: Final = TaskDecorator(self._make, {})
        """Makes a task of a function: ``@app.task``, or ``@app.task(queue="math", retries=3)``."""
        self.tasks: Final[dict[str, SyncTask[..., Any] | AsyncTask[..., Any]]] = {}
        """The tasks of this app, by name."""
        self._entries: dict[str, Entry] = {}
        defaults = Settings(durability=check_durability(durability))
        self._defaults = task_settings({"result_ttl": result_ttl}, defaults)
        self._signing = signing
        self._client = Client(
            self.url,
            self._defaults.result_ttl,
            self._serve,
            results_url=results_url,
            signing=signing,
        )
        self._sender = Sender(self._client, self._spec_of)
        self._processes = ProcessPool()

    def __repr__(self) -> str:
        return f"<App {shown(self.url)} with {len(self.tasks)} tasks>"

    # -- by name ---------------------------------------------------------------------------------

    def send(self, name: str, /, **arguments: Any) -> JobHandle[Any]:
        """Send a job by its task's name, for tasks that live in Go or in another repository.

        The payload is a JSON object of the arguments. When this returns the broker has the job.

        Raises:
            ConfigurationError: the name is not usable, or an argument does not fit or is no JSON.
            BackendError: the broker could not be reached, or refused.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        return self._sender.send(name, **arguments)

    async def asend(self, name: str, /, **arguments: Any) -> JobHandle[Any]:
        """As `send`, awaited."""
        return await self._sender.asend(name, **arguments)

    def signature(self, name: str, /, **arguments: Any) -> Signature[Any]:
        """A call by its task's name, not sent."""
        return self._sender.signature(name, **arguments)

    def using(self, **options: Unpack[CallOptions]) -> Sender:
        """The same ``send``, ``asend`` and ``signature`` with options: see `BaseTask.using`."""
        return self._sender.using(**options)

    # -- put together ----------------------------------------------------------------------------

    @overload
    def group(
        self, members: Iterable[Member[R]], /, *, on_failure: Literal["fail"] = "fail"
    ) -> GroupSignature[R]: ...
    @overload
    def group(
        self, *members: Member[R], on_failure: Literal["fail"] = "fail"
    ) -> GroupSignature[R]: ...
    @overload
    def group(
        self, members: Iterable[Member[R]], /, *, on_failure: Literal["continue"]
    ) -> GroupSignature[R | JobError]: ...
    @overload
    def group(
        self, *members: Member[R], on_failure: Literal["continue"]
    ) -> GroupSignature[R | JobError]: ...
    def group(self, *members: Any, on_failure: str = "fail") -> GroupSignature[Any]:
        """Signatures that run side by side: given one by one, or as one iterable.

        A failed member fails the group; with ``on_failure="continue"`` it gives its error. A
        group among the members adds its own.

        Raises:
            ArgumentError: a member is nothing that could be sent, or the policy is unknown.
            Unsupported: a group among them gives errors, and this one does not.
        """
        alone = len(members) == 1 and isinstance(members[0], Iterable)
        return fan_of(self._client, members[0] if alone else members, on_failure)

    @overload
    def chain(self, first: Row[A], second: Link[A, R], /) -> ChainSignature[R]: ...
    @overload
    def chain(
        self, first: Row[A], second: Link[A, R2], third: Link[R2, R], /
    ) -> ChainSignature[R]: ...
    @overload
    def chain(self, first: Row[A], second: GroupSignature[R], /) -> GroupSignature[R]: ...
    @overload
    def chain(
        self,
        first: Row[Any] | GroupSignature[Any],
        second: Link[Any, Any] | GroupSignature[Any],
        third: Link[Any, Any],
        /,
        *more: Link[Any, Any],
    ) -> FanIn[Any] | ChainSignature[Any]: ...
    @overload
    def chain(self, first: GroupSignature[A], second: Link[list[A], R], /) -> FanIn[R]: ...
    def chain(self, *links: Any) -> Any:
        """Links that run one after the other, each with the result of the one before.

        A link is a task, ``task.partial(…)``, or a signature that ignores the result before it.

        Raises:
            ConfigurationError: there is no link.
            ArgumentError: one of them is nothing that can be a link.
            Unsupported: something follows a group whose failed members give their errors.
        """
        if not links:
            msg = "a chain needs at least one link"
            raise ConfigurationError(msg)
        rest = tuple(step for one in links[1:] for step in link(one))
        return chained(self._client, start(links[0]) + rest)

    # -- from an ID ------------------------------------------------------------------------------

    def job(self, job_id: str, /) -> JobHandle[Any]:
        """The handle of a job, from its ID; `BaseTask.job` knows the result's type too."""
        return JobHandle(checked("job", job_id), self._client)

    def group_job(self, group_id: str, /) -> GroupHandle[Any]:
        """The handle of a group, from its ID."""
        return GroupHandle(checked("group", group_id), self._client)

    def chain_job(self, chain_id: str, /) -> ChainHandle[Any]:
        """The handle of a chain, from its ID."""
        return ChainHandle(checked("chain", chain_id), self._client)

    # -- underneath ------------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The engine underneath, with this app's tasks."""
        return self._client.server

    def load_imports(self) -> None:
        """Import the modules named in ``imports``, so that their tasks are known.

        Raises:
            ImportError: a module is not there, or failed; it is the module's own error.
        """
        for module in self.imports:
            importlib.import_module(module)

    def close(self) -> None:
        """End this thread's connections, and the idle processes of ``executor="process"`` jobs.

        A memory app's worker finishes what it runs, and ends. The app may be used again.
        """
        self._client.close()
        self._processes.close()

    async def aclose(self) -> None:
        """As `close`, and end this event loop's connections too."""
        await self._client.aclose()
        await asyncio.to_thread(self._processes.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _make(self, function: Callable[..., Any], options: dict[str, Any]) -> Any:
        """Make a task of a function, known to this app and to its server."""
        is_async = runs_on_loop(function)
        settings = task_settings(options, self._defaults)
        settings = replace(settings, name=settings.name or default_name(function))
        before = self.tasks.get(settings.name)
        if before is not None:
            places = f"{place(before.function)} and {place(function)}"
            msg = f"two functions are called {settings.name!r}, {places}: give one another name="
            raise DuplicateTask(msg)
        shape = Shape(function, settings.name)
        spec = Spec(self._client, settings, shape)
        if settings.executor == "process":
            handler = process_handler(spec, function, self._processes)
        else:
            handler = (async_handler if is_async else sync_handler)(spec, function)
        entry = Entry(
            name=settings.name,
            handler=handler,
            opts=TaskOpts(queue=settings.queue),
            backoff=settings.backoff,
            result_ttl=settings.result_ttl,
            explains=True,
        )
        is_new_queue = all(one.opts.queue != settings.queue for one in self._entries.values())
        self._entries[settings.name] = entry
        if not self._client.is_memory:
            self._client.hint = f"tasqueue worker {app_path(self, function.__module__)}"
        self._client.learn(entry, is_new_queue=is_new_queue)
        made: SyncTask[..., Any] | AsyncTask[..., Any]
        made = (AsyncTask if is_async else SyncTask)(spec, function)
        self.tasks[settings.name] = made
        return made

    def _serve(self, opened: Opened) -> Server:
        opts = ServerOpts(broker=opened.broker, results=opened.results, signing=self._signing)
        # Who sends and who works must agree on whether the two lie apart.
        server = Server(opts, store=opened.store if opened.is_pair else None)
        for entry in self._entries.values():
            server.add_task(entry)
        return server

    def _spec_of(self, name: str) -> Spec:
        task = self.tasks.get(name)
        if task is not None:
            return task.spec
        return Spec(self._client, Settings(name=name, durability=self._defaults.durability))
