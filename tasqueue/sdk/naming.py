"""The name that a function has as a task, the same in the script that sends and in the worker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.limits import check_name

_MAIN: Final = "__main__"


def default_name(function: Callable[..., Any]) -> str:
    """``module.qualname``; a script's own module goes by the name under which it is imported.

    Raises:
        ConfigurationError: the function has no name that others could know it by.
    """
    qualname = getattr(function, "__qualname__", "").replace("<locals>.", "")
    module = getattr(function, "__module__", None) or _MAIN
    if not qualname or "<" in qualname:
        msg = f"{function!r} has no name of its own to be known by: give it one with name="
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
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function)
    return f"{code.co_filename}:{code.co_firstlineno}"
