"""The name that a function has as a task, the same in the script that sends and in the worker."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.limits import check_name
from tasqueue.sdk.definition import Definition

_MAIN: Final = "__main__"


def default_name(function: Callable[..., Any]) -> str:
    """``module.qualname``; a script's own module goes by the name under which it is imported.

    Raises:
        ConfigurationError: the function has no name that others could know it by.
    """
    qualname = getattr(function, "__qualname__", "").replace("<locals>.", "")
    module = getattr(function, "__module__", None) or _MAIN
    if not qualname or "<" in qualname:
        msg = (
            f"the function at {place(function)} has no name to be known by: give it one with name="
        )
        raise ConfigurationError(msg)
    return check_name("task", f"{module_name(module)}.{qualname}")


def module_name(module: str) -> str:
    """A module's importable name, also for what runs as ``__main__``."""
    if module != _MAIN:
        return module
    main = sys.modules.get(_MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return _of_file(Path(file)) if file else _MAIN


def _of_file(path: Path) -> str:
    """The name of a script: its own, after those of the packages that it lies in."""
    parts = [path.stem]
    folder = path.absolute().parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def app_path(app: object, module: str) -> str:
    """``module:name`` of an app, as the worker command takes it; capitals stand for the unknown."""
    found: ModuleType | None = sys.modules.get(module)
    names = [name for name, value in vars(found).items() if value is app] if found else []
    return f"{module_name(module)}:{names[0]}" if names else "MODULE:APP"


def place(function: Callable[..., Any]) -> str:
    """Where a function stands: ``shop/tasks.py:10``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return repr(function)
    return f"{code.co_filename}:{code.co_firstlineno}"


def runs_on_loop(function: Any) -> bool:
    """Whether what is to be a task is ``async def``.

    Raises:
        ConfigurationError: no task can be made of it.
    """
    plain = inspect.unwrap(function)
    name = getattr(plain, "__qualname__", "")
    problem = ""
    if not callable(plain) or isinstance(plain, type):
        problem = "a task is made of a function: @app.task above a def, options by name"
    elif isinstance(function, Definition):
        problem = "it is a task already: one @app.task is enough"
    elif inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        problem = "a task returns one value, and this function yields: return a list"
    elif "." in name.rpartition("<locals>.")[2] and _is_method(plain):
        problem = "it is a method: make a function of it, and pass what it needs as arguments"
    if problem:
        where = f"{name} ({place(plain)})" if hasattr(plain, "__code__") else repr(function)
        msg = f"@app.task on {where}: {problem}"
        raise ConfigurationError(msg)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(plain)


def _is_method(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_varnames[: code.co_argcount][:1] in {("self",), ("cls",)}
