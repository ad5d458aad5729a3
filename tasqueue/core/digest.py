"""How bytes are named where the name only has to be the same for the same bytes."""

from __future__ import annotations

import hashlib


def sha1(data: bytes) -> str:
    """Name bytes as Redis and its scripts do: 40 hex digits. A name, no protection."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
