"""Who enqueues and who works in one run of a live test, and what the workers counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from redis import Redis

from tasqueue.core.job import DEFAULT_QUEUE
from tests.parity.live.client import Client, GoClient, PythonClient
from tests.parity.live.fleet import GoWorker, PythonWorker, WorkerProcess


class Hire(Protocol):
    """Starts a worker that ends with the test."""

    def __call__(
        self,
        tasks: Sequence[str],
        *,
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        concurrency: int = 4,
    ) -> WorkerProcess: ...


@contextmanager
def hiring(kind: type[GoWorker] | type[PythonWorker], place: Path, port: int) -> Iterator[Hire]:
    """Start workers of one language; ``place`` is the Go program, or a folder for logs."""
    with ExitStack() as workers:

        def hire(
            tasks: Sequence[str],
            *,
            queues: Sequence[str] = (DEFAULT_QUEUE,),
            concurrency: int = 4,
        ) -> WorkerProcess:
            worker = kind(place, port=port, tasks=tasks, queues=queues, concurrency=concurrency)
            return workers.enter_context(worker)

        yield hire


def runs_of(store: Redis, kind: type[WorkerProcess], queue: str = DEFAULT_QUEUE) -> Counter[str]:
    """How often each job was run by workers of one language."""
    counts: dict[Any, Any] = store.hgetall(f"{kind.RUNS}:{queue}")
    return Counter({job_id.decode(): int(count) for job_id, count in counts.items()})


@dataclass(frozen=True)
class Pair:
    """A client of one language, and workers of one language."""

    client: Client
    """Whose turn it is to enqueue."""
    hire: Hire
    """Whose turn it is to work."""
    kind: type[WorkerProcess]
    go: GoClient
    python: PythonClient
    store: Redis

    @property
    def clients(self) -> tuple[Client, Client]:
        """Both readers."""
        return self.go, self.python

    def runs(self, queue: str = DEFAULT_QUEUE) -> Counter[str]:
        """How often each job was run."""
        return runs_of(self.store, self.kind, queue)
