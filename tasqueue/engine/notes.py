"""What a worker process notes for others of its host, who may outlive it."""

from __future__ import annotations


class Notes:
    """The notes of a process that nobody supervises: it takes none."""

    supervisor_pid: int | None = None
    """The process that reads the notes, and gives the jobs back when this one dies."""

    def named(self, worker_id: str) -> None:
        """This process goes by a worker ID now."""

    def begun(self, queue: str, token: str, seconds: float | None) -> None:
        """A job's handler begins; its attempt is over in so many seconds (None: no limit)."""

    def ended(self, token: str) -> None:
        """A job's handler ended, or was never reached; for any token."""
