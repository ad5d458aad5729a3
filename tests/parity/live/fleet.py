"""Live processes on one Redis: a Go producer, Go workers, and Python workers beside them."""

import base64
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tasqueue.core.job import DEFAULT_QUEUE
from tests.parity.program import GoProcess, LineProcess


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A job to enqueue from either side; instants and spans in nanoseconds, 0 is none."""

    task: str
    payload: bytes | None = None
    id: str = ""
    queue: str = ""
    max_retries: int = 0
    eta_ns: int = 0
    schedule: str = ""
    timeout_ns: int = 0
    on_success: Sequence["JobSpec"] = ()
    on_error: Sequence["JobSpec"] = ()

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

    def __init__(self, program: Path, *, port: int) -> None:
        super().__init__(program, "producer", "--addr", f"127.0.0.1:{port}")

    def enqueue(self, job: JobSpec) -> str:
        return self._text("enqueue", job=job.spec())

    def group(self, jobs: Sequence[JobSpec], *, group_id: str = "") -> str:
        return self._text("group", jobs=[job.spec() for job in jobs], id=group_id)

    def chain(self, jobs: Sequence[JobSpec], *, chain_id: str = "") -> str:
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


class WorkerProcess(LineProcess):
    """A worker of either language, ready when made.

    Kinds of task: add, echo, fail, flaky, meta, nosave, prev, slow, total (go/worker.go and
    worker.py); ``"other=echo"`` registers a kind under another name.
    """

    RUNS: ClassVar[str]
    """Each run counts in Redis: HINCRBY <RUNS>:<queue> <job id> 1."""

    def stop(self) -> int:
        """Ask the worker to end (SIGTERM) and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait()


def _worker_flags(
    *, port: int, tasks: Sequence[str], queues: Sequence[str], concurrency: int
) -> list[str]:
    return [
        *("--addr", f"127.0.0.1:{port}"),
        *("--queues", ",".join(queues)),
        *("--tasks", ",".join(tasks)),
        *("--concurrency", str(concurrency)),
    ]


class GoWorker(WorkerProcess):
    """A worker of Go Tasqueue."""

    RUNS = "runs"

    def __init__(
        self,
        program: Path,
        *,
        port: int,
        tasks: Sequence[str],
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        concurrency: int = 4,
    ) -> None:
        flags = _worker_flags(port=port, tasks=tasks, queues=queues, concurrency=concurrency)
        super().__init__(
            program,
            "worker",
            *flags,
            *("--poll-ms", "100"),
            log=program.with_name("go-worker.log"),
        )
        assert self.read() == {"ready": True}


class PythonWorker(WorkerProcess):
    """A worker of ours, on the engine's own API (worker.py)."""

    RUNS = "python-runs"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        tasks: Sequence[str],
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        concurrency: int = 4,
    ) -> None:
        super().__init__(
            sys.executable,
            *("-m", "tests.parity.live.worker"),
            *_worker_flags(port=port, tasks=tasks, queues=queues, concurrency=concurrency),
            log=folder / "python-worker.log",
        )
        assert self.read() == {"ready": True}
