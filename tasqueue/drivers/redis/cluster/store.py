"""A cluster as a `Store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import JOB_KEY, OpenGroup, Submit, TellEnd
from tasqueue.drivers.redis.cluster.driver import ClusterAsyncDriver, ClusterBlockingDriver
from tasqueue.drivers.redis.cluster.group import IN_A_CLUSTER, ClusterSweeper, open_group, seal
from tasqueue.drivers.redis.cluster.lease import ClusterLease
from tasqueue.drivers.redis.cluster.request import cluster_keys, steps_in_cluster
from tasqueue.drivers.redis.cluster.topology import MAP, Topology
from tasqueue.drivers.redis.command import Steps, ask
from tasqueue.drivers.redis.elsewhere import tell_end
from tasqueue.drivers.redis.group import Sweeper
from tasqueue.drivers.redis.keys import RESULT
from tasqueue.drivers.redis.request import KeepOpts
from tasqueue.drivers.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasqueue.core.ports import Request, WorkerInfo
    from tasqueue.drivers.redis.address import Address
    from tasqueue.drivers.redis.aio import AsyncDriver
    from tasqueue.drivers.redis.blocking import BlockingDriver


class ClusterStore(RedisStore):
    """See `RedisStore`."""

    gathers: bool = False

    def __init__(self, address: Address, keep: KeepOpts | None = None) -> None:
        self._topology = Topology(address.nodes, address.shown)
        super().__init__(address, keep)

    async def perform(self, request: Request) -> Any:
        """As `RedisStore.perform`; asked once more where a server is not there any more.

        A push is repeated by who sent it, as a repeat.
        """
        try:
            return await super().perform(request)
        except BackendUnavailable:
            if isinstance(request, Submit):
                raise
            return await super().perform(request)

    def perform_blocking(self, request: Request) -> Any:
        """As `perform`, for code without an event loop."""
        try:
            return super().perform_blocking(request)
        except BackendUnavailable:
            if isinstance(request, Submit):
                raise
            return super().perform_blocking(request)

    async def identity(self) -> str:
        """The lowest ID among the cluster's servers."""
        (slots,) = await self._async.run(ask(MAP))
        names = sorted(server[2].decode() for _, _, *servers in slots for server in servers)
        return f"redis cluster {names[0] if names else ''}"

    def lease(self, worker: WorkerInfo) -> ClusterLease:
        """A worker's place in this store; nothing is sent before its first beat.

        Raises:
            ConfigurationError: a queue's name that a cluster cannot have.
        """
        for queue in worker.queues:
            cluster_keys(queue)
        return ClusterLease(
            worker, self._async_worker, blocking=self._blocking_worker, keep=self.keep
        )

    def _steps(self, request: Request) -> Steps[Any]:
        if isinstance(request, OpenGroup):
            return open_group(request, self.keep.expiry_ms)
        if isinstance(request, TellEnd):
            return tell_end(request, IN_A_CLUSTER)
        steps = steps_in_cluster(request, self.keep)
        return _sealed(steps, request.seals) if isinstance(request, Submit) else steps

    def _sweeps(self) -> Sweeper:
        return ClusterSweeper()

    def _channels(self, job_id: str) -> Sequence[str]:
        """The job's channel alone: others lie on other servers."""
        return (RESULT + JOB_KEY + job_id,)

    def _drivers(self, *, patient: bool) -> tuple[AsyncDriver, BlockingDriver]:
        return (
            ClusterAsyncDriver(self.address, self._topology, patient=patient),
            ClusterBlockingDriver(self.address, self._topology, patient=patient),
        )


def _sealed(steps: Steps[Any], group_ids: Sequence[str]) -> Steps[Any]:
    """Seal groups when all that a request sends is on its way."""
    answer = yield from steps
    for group_id in group_ids:
        yield from seal(group_id)
    return answer


def store_at(address: Address, keep: KeepOpts | None = None) -> RedisStore:
    """The store at an address: one server, or a cluster."""
    return (ClusterStore if address.nodes else RedisStore)(address, keep)
