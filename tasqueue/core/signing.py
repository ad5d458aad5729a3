"""Signatures on messages: proof that a message was written by someone who holds a key.

A signed message is the plain one with a trailer, which Go's decoder ignores as it ignores all
bytes after the object. Go drops the trailer when it sends a message back, so ``require`` is for
queues that only Python works on.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tasqueue.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK: Final = b"\x00tqs1"
_MAC: Final = hashlib.sha256().digest_size
_SHORTEST: Final = 16
"""Bytes of a key."""
_LONGEST_NAME: Final = 64
"""Bytes of a key's name."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signing:
    """Keys for signing messages, and what happens to one without a sound signature.

    ``keys`` maps names to secrets of at least 16 bytes: the first one signs, all are accepted, so
    a key is changed by putting the new one first and taking the old one out once its messages
    are gone. With ``mode="require"`` such a message is dead-lettered and never run; with
    ``"warn"`` it is run, and the log says so: the way to introduce signatures.

    A signature covers the queue's name and the bytes. It does not stop a message from being put
    into its own queue again by someone who can write there.

    Raises:
        ConfigurationError: there is no key, one is too short, or the mode is another word.
    """

    keys: Mapping[str, bytes]
    mode: Literal["warn", "require"] = "require"

    def __post_init__(self) -> None:
        if not self.keys:
            msg = "Signing needs at least one key: keys={'2026-11': secrets.token_bytes(32)}"
            raise ConfigurationError(msg)
        for name, key in self.keys.items():
            if not 0 < len(name.encode()) <= _LONGEST_NAME:
                msg = f"the name of a signing key has 1 to {_LONGEST_NAME} bytes, not {name!r}"
                raise ConfigurationError(msg)
            if len(key) < _SHORTEST:
                msg = (
                    f"signing key {name!r} has {len(key)} bytes, at least {_SHORTEST} are needed: "
                    "take secrets.token_bytes(32)"
                )
                raise ConfigurationError(msg)
        if self.mode not in ("warn", "require"):
            msg = f"Signing(mode={self.mode!r}): use 'warn' or 'require'"
            raise ConfigurationError(msg)

    def __repr__(self) -> str:
        return f"Signing(keys of {', '.join(self.keys)}, mode={self.mode!r})"


def sign(body: bytes, queue: str, signing: Signing) -> bytes:
    """Append the signature of a message on its way into a queue."""
    name, key = next(iter(signing.keys.items()))
    shown = name.encode()
    return body + _code(body, queue, key) + shown + bytes([len(shown)]) + _MARK


def flaw(body: bytes, queue: str, signing: Signing) -> str:
    """Say what is wrong with the signature of a message found in a queue; "" if it is sound."""
    if not body.endswith(_MARK):
        return "it is not signed"
    end = len(body) - len(_MARK) - 1
    start = end - body[end]
    if start < _MAC:
        return "its signature is cut short"
    name = body[start:end].decode("utf-8", "backslashreplace")
    key = signing.keys.get(name)
    if key is None:
        return f"it is signed with key {name!r}, which is not known here"
    plain, code = body[: start - _MAC], body[start - _MAC : start]
    if not hmac.compare_digest(code, _code(plain, queue, key)):
        return f"its signature with key {name!r} is of other bytes, or of another queue"
    return ""


def _code(body: bytes, queue: str, key: bytes) -> bytes:
    shown = queue.encode("utf-8", "surrogateescape")
    return hmac.digest(key, len(shown).to_bytes(4, "big") + shown + body, "sha256")
