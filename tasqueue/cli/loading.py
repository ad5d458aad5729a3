"""From ``module:attribute`` to an `App`, or a paragraph that says what to do."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from tasqueue.sdk.app import App


class UsageError(Exception):
    """What was asked for cannot be done; the text is for the person at the terminal.

    Attributes:
        code: the exit code (2: usage, 3: the app could not be loaded).
    """

    def __init__(self, text: str, code: int = 3) -> None:
        super().__init__(text)
        self.code = code


def load_app(target: str) -> App:
    """Import the app named on the command line, from the working directory too.

    Raises:
        UsageError: there is no such module or attribute, or it is not an App. An error inside
            the user's own module passes as it is.
    """
    name, _, attribute = target.partition(":")
    if not name or not attribute:
        raise UsageError(f"{target!r} names no app: write MODULE:APP, such as shop.tasks:app", 2)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        text = f"Cannot import {name!r}: no module {error.name!r} (looked in {here} and sys.path)."
        raise UsageError(f"{text} Run this where the module lies, or correct the name.") from None
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    apps = [key for key, value in vars(module).items() if isinstance(value, App)]
    hint = f"It defines {name}:{apps[0]}: use that." if apps else "It defines no App."
    if found is None:
        raise UsageError(f"Module {name!r} has no attribute {attribute!r}. {hint}")
    kind = type(found).__name__
    raise UsageError(f"{target} is of type {kind}, not a tasqueue App. {hint}")


def chosen_target(given: str | None) -> str:
    """The app's name: from the command line, else from ``TASQUEUE_APP``.

    Raises:
        UsageError: neither says one.
    """
    target = given or os.environ.get("TASQUEUE_APP")
    if not target:
        raise UsageError("Which app? Write `tasqueue worker MODULE:APP`, or set TASQUEUE_APP.", 2)
    return target
