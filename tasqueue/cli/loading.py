"""From ``module:attribute`` to an `App`, or a paragraph that says what to do."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from tasqueue.sdk.app import App

USAGE: Final = 2
"""Exit code: the command line is wrong."""
NOT_LOADED: Final = 3
"""Exit code: the app could not be loaded."""

_VARIABLE: Final = "TASQUEUE_APP"
_PROJECT: Final = "pyproject.toml"


class UsageError(Exception):
    """What was asked for cannot be done; the text is for the person at the terminal.

    Attributes:
        code: the exit code, `USAGE` or `NOT_LOADED`.
    """

    def __init__(self, text: str, code: int = NOT_LOADED) -> None:
        super().__init__(text)
        self.code = code


class Target(NamedTuple):
    """The name of an app, and where it was said."""

    text: str
    origin: str


def chosen_target(argument: str | None, option: str | None = None) -> Target:
    """The app's name: from the command line, else ``TASQUEUE_APP``, else ``pyproject.toml``.

    Raises:
        UsageError: nobody says one, or the command line says two.
    """
    if argument and option and argument != option:
        raise UsageError(
            f"Two apps are named, {argument!r} and -A {option!r}: leave one out.", USAGE
        )
    if argument or option:
        return Target(argument or option or "", "the command line")
    if said := os.environ.get(_VARIABLE):
        return Target(said, f"the environment variable {_VARIABLE}")
    if said := _project_target():
        return Target(said, f"[tool.tasqueue] of {Path.cwd() / _PROJECT}")
    raise UsageError(
        "Which app? Write `tasqueue worker MODULE:APP`, such as shop.tasks:app, or set "
        f'{_VARIABLE}, or put app = "MODULE:APP" under [tool.tasqueue] in {_PROJECT}.',
        USAGE,
    )


def _project_target() -> str:
    """What the working directory's ``pyproject.toml`` says, or ""."""
    path = Path.cwd() / _PROJECT
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read {path}: {error}. Mend it, or name the app.", USAGE) from None
    tool = settings.get("tool")
    section = tool.get("tasqueue") if isinstance(tool, dict) else None
    said = section.get("app", "") if isinstance(section, dict) else ""
    if not isinstance(said, str):
        raise UsageError(f"[tool.tasqueue] app in {path} is not a string.", USAGE)
    return said


def load_app(target: Target) -> App:
    """Import an app and the modules in its ``imports``, from the working directory too.

    Raises:
        UsageError: there is no such module or attribute, it is not an App, or it cannot be
            imported.
    """
    name, _, attribute = target.text.partition(":")
    if not name or not attribute:
        text = f"{target.text!r} (from {target.origin}) names no app"
        raise UsageError(f"{text}: write MODULE:APP, such as shop.tasks:app.", USAGE)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    app = _app_in(_imported(name, target.origin), name, attribute)
    for module in app.imports:
        _imported(module, f"App(imports=...) in {name}")
    return app


def _imported(name: str, origin: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            text = f"Cannot import {name!r} (from {origin}): there is no module {error.name!r} in"
            advice = "Run this in the folder that holds it, or correct the name"
            raise UsageError(f"{text} {Path.cwd()} or on sys.path. {advice}.") from None
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> UsageError:
    """The module is there and raised: say where, in the user's own files."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != importlib.__file__
    ][1:]  # fmt: skip
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    advice = f"Mend that; `python -c 'import {name}'` shows the whole traceback."
    return UsageError(f"Importing {name!r} raised {what}{where}. {advice}")


def _app_in(module: ModuleType, name: str, attribute: str) -> App:
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    apps = [f"{name}:{key}" for key, value in vars(module).items() if isinstance(value, App)]
    hint = f"It defines {' and '.join(apps)}: use that." if apps else "It defines no App."
    if found is None:
        raise UsageError(f"Module {name!r} has no attribute {attribute!r}. {hint}")
    kind = type(found).__name__
    raise UsageError(f"{name}:{attribute} is of type {kind}, not a tasqueue App. {hint}")
