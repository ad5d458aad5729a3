"""A Redis or Valkey cluster: keys in other slots are written one after the other, in safe order.

One script cannot end a job there, since Go's key names lie in many slots. So a job ends in steps:
ownership, children, record and result, and the acknowledgement last. Each step may be repeated.
"""

from tasqueue.drivers.redis.cluster.store import ClusterStore, store_at

__all__ = ["ClusterStore", "store_at"]
