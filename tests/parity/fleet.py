"""Live Go beside us on one Redis: a Go producer and Go workers."""

import base64
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parity.program import GoProcess


@dataclass(frozen=True, kw_only=True)
class GoJob:
    """A job as Go's NewJob takes it; instants and spans in nanoseconds, 0 is none."""

    task: str
    payload: bytes | None = None
    id: str = ""
    queue: str = ""
    max_retries: int = 0
    eta_ns: int = 0
    schedule: str = ""
    timeout_ns: int = 0
    on_success: Sequence["GoJob"] = ()
    on_error: Sequence["GoJob"] = ()

    def spec(self) -> dict[str, Any]:
        """This job as the program's request wants it."""
        return {
            "task": self.task,
            "payload": None if self.payload is None else base64.b64encode(self.payload).decode(),
            "id": self.id,
            "queue": self.queue,
            "max_retries": self.max_retries,
            "eta_ns": self.eta_ns,
            "schedule": self.schedule,
            "timeout_ns": self.timeout_ns,
            "on_success": [job.spec() for job in self.on_success],
            "on_error": [job.spec() for job in self.on_error],
        }


class GoProducer(GoProcess):
    """A Go server that is never started: it enqueues and reads.

    What it returns for a message is Go's JSON of it: Go's field names, bytes in base64.
    Every call raises GoRefusedError when Go returns an error.
    """

    def __init__(self, program: Path, *, port: int, db: int = 0) -> None:
        super().__init__(program, "producer", "--addr", f"127.0.0.1:{port}", "--db", str(db))

    def enqueue(self, job: GoJob) -> str:
        return self._text("enqueue", job=job.spec())

    def group(self, jobs: Sequence[GoJob], *, group_id: str = "") -> str:
        return self._text("group", jobs=[job.spec() for job in jobs], id=group_id)

    def chain(self, jobs: Sequence[GoJob], *, chain_id: str = "") -> str:
        return self._text("chain", jobs=[job.spec() for job in jobs], id=chain_id)

    def get_job(self, job_id: str) -> dict[str, Any]:
        return self._message("get_job", job_id)

    def get_group(self, group_id: str) -> dict[str, Any]:
        return self._message("get_group", group_id)

    def get_chain(self, chain_id: str) -> dict[str, Any]:
        return self._message("get_chain", chain_id)

    def get_result(self, job_id: str) -> bytes:
        return base64.b64decode(self._text("get_result", id=job_id))

    def get_tasks(self) -> dict[str, dict[str, Any]]:
        """The task records in the store, by the name of the task."""
        tasks = self.ask(op="get_tasks")["value"]
        return {task["name"]: task for task in tasks}

    def get_pending(self, queue: str) -> list[dict[str, Any]]:
        pending: list[dict[str, Any]] = self.ask(op="get_pending", queue=queue)["value"] or []
        return pending

    def get_pending_page(
        self, queue: str, *, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """One page, and how many wait in all."""
        page = self.ask(op="get_pending_page", queue=queue, offset=offset, limit=limit)["value"]
        return page["jobs"] or [], page["total"]

    def ended(self) -> tuple[list[str], list[str]]:
        """The IDs of the successful and of the failed jobs, newest first."""
        return (
            self.ask(op="get_success")["value"] or [],
            self.ask(op="get_failed")["value"] or [],
        )

    def delete_job(self, job_id: str) -> None:
        self.ask(op="delete_job", id=job_id)

    def _text(self, op: str, **fields: Any) -> str:
        text: str = self.ask(op=op, **fields)["value"]
        return text

    def _message(self, op: str, key: str) -> dict[str, Any]:
        message: dict[str, Any] = self.ask(op=op, id=key)["value"]
        return message


class GoWorker(GoProcess):
    """A Go worker, ready when made. Each run counts in Redis: HINCRBY runs:<queue> <job id> 1.

    Kinds of task: add, echo, fail, flaky, gosave, meta, nosave, prev, slow, total (go/worker.go);
    ``"other=echo"`` registers a kind under another name.
    """

    def __init__(
        self,
        program: Path,
        *,
        port: int,
        tasks: Sequence[str],
        queues: Sequence[str] = ("tasqueue:tasks",),
        concurrency: int = 4,
        db: int = 0,
        poll_ms: int = 100,
    ) -> None:
        super().__init__(
            program,
            "worker",
            *("--addr", f"127.0.0.1:{port}"),
            *("--db", str(db)),
            *("--queues", ",".join(queues)),
            *("--tasks", ",".join(tasks)),
            *("--concurrency", str(concurrency)),
            *("--poll-ms", str(poll_ms)),
        )
        assert self.read() == {"ready": True}

    def stop(self) -> int:
        """Ask the worker to end (SIGTERM) and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait()
