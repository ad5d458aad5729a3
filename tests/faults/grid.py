"""A cluster of three servers, each with a journal, and worker processes beside it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.load import QUEUE, Load
from tests.faults.oracle import Verdict, places
from tests.faults.site import PATIENCE, Site, until
from tests.faults.witness import AOF, Witness, acknowledged, listen
from tests.servers import Cluster, Valkey, cluster


class Grid(Site):
    """See `Site`."""

    def __init__(self, servers: Cluster, folder: Path, queue: str) -> None:
        super().__init__(servers.nodes[0], folder, journal=True)
        self.conn.close()
        self.conn = servers.client()
        self.servers = servers
        self.url = servers.url
        self.queue = queue

    def witness(self) -> Witness:
        """What entered, by the journals of all servers."""
        seen = Witness()
        for node in self.servers.nodes:
            part = listen(node.folder)
            seen.entries += part.entries
            seen.bodies |= part.bodies
        return seen

    def finish(self, load: Load, *, within: float = PATIENCE) -> Verdict:
        """As on one server, but that the end of a job is its acknowledgement, the last step of it.

        Its record, its result and its place among the ended may be written again: by who could
        not hear whether it was done, and by the next run after a crash before the last step.
        """
        # What is among the ended may be on its way once more, after a crash before its last step.
        until(lambda: not places(self.conn, self.queue).pending, "the last steps", within=within)
        verdict = super().finish(load, within=within)
        ends = acknowledged([node.folder for node in self.servers.nodes])
        verdict.completed_twice = [job_id for (job_id, _), count in ends.items() if count > 1]
        assert {job_id for job_id, _ in ends} == set(load.fates)
        return verdict

    def begin_moves(self, keys: Sequence[str]) -> list[tuple[str, Valkey]]:
        """Begin to move the slots of these keys, each to another server; returns what to where."""
        moves: list[tuple[str, Valkey]] = []
        for key in keys:
            source = self.servers.of(key)
            target = next(node for node in self.servers.nodes if node is not source)
            self.servers.begin_move(key, target)
            moves.append((key, target))
        return moves

    def end_moves(self, moves: Sequence[tuple[str, Valkey]]) -> None:
        """Move their keys, and let everybody know."""
        for key, target in moves:
            self.servers.end_move(key, target)


@contextmanager
def grid(folder: Path, queue: str = QUEUE) -> Generator[Grid]:
    """Open such a site."""
    kept = {name.replace("-", "_"): value for name, value in AOF.items()}
    with cluster(aof=True, **kept) as servers:
        here = Grid(servers, folder, queue)
        try:
            yield here
        finally:
            here.dismiss()
