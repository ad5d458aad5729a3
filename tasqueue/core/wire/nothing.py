"""Where Go tells nil from empty, and Python by itself would not."""

from __future__ import annotations

from typing import Final, TypeVar

_T = TypeVar("_T")

RAW_TEXT: Final = "surrogateescape"
"""Go strings may hold any bytes; those that are no UTF-8 pass through unharmed."""


class PresentList(list[_T]):
    """A list that Go wrote as empty rather than nil; it is written that way again."""


class NilMap(dict[str, str]):
    """A map that Go wrote as nil rather than empty; it is written that way again."""
