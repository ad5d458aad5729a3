"""What a handler raised that ran in another process: it comes as text."""

from __future__ import annotations


class RemoteError(Exception):
    """An error of another process, never rebuilt from the name of its class.

    Attributes:
        origin: the error's class, and its traceback as text.
    """

    def __init__(self, text: str, origin: tuple[str, str]) -> None:
        super().__init__(text)
        self.origin = origin
        if origin[1]:
            self.add_note(f"In its process:\n{origin[1]}")
