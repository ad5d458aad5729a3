"""A store inside the process: for the first five minutes, for tests, and as the model of others."""

from tasqueue.drivers.memory.store import MemoryStore

__all__ = ["MemoryStore"]
