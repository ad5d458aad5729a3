"""`@app.task`: what a checker makes of each kind of function, and what it is at run time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, final, overload

from tasqueue.engine.context import JobContext
from tasqueue.sdk.options import Settings, TaskOptions, task_settings
from tasqueue.sdk.task import AsyncTask, SyncTask

P = ParamSpec("P")
R = TypeVar("R")


@final
class _Anything:
    """Nobody's type: a parameter that takes one takes anything, so it asks for no context."""


class TaskDecorator:
    """Makes tasks of functions: bare, or called with options first.

    A leading parameter that is annotated `JobContext` is filled in by the worker, and callers do
    not see it. The first overloads keep a first parameter of type Any, object or Hashable from
    being taken for one.
    """

    def __init__(
        self, make: Callable[[Callable[..., Any], dict[str, Any]], Any], options: dict[str, Any]
    ) -> None:
        self._make = make
        self._options = options

    # A coroutine function is also a function that returns something: the checkers call that an
    # overlap, and take the first overload that fits, as is meant here.

    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[_Anything, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[Concatenate[Any, P], R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[_Anything, P], R], /
    ) -> SyncTask[Concatenate[Any, P], R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def __call__(self, *function: Any, **options: Any) -> Any:
        """Make a task of a function, or remember options for it.

        Raises:
            ConfigurationError: an option is unknown or of no use; the message lists the options.
            DuplicateTask: another function has that name.
        """
        merged = {**self._options, **options}
        task_settings(merged, Settings())
        if not function:
            return TaskDecorator(self._make, merged)
        return self._make(function[0], merged)
