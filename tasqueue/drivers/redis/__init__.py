"""Redis and Valkey: keys, scripts, commands as data, two drivers for them, store and lease."""

from tasqueue.drivers.redis.address import Address
from tasqueue.drivers.redis.cluster import store_at
from tasqueue.drivers.redis.request import KeepOpts
from tasqueue.drivers.redis.script import library_source
from tasqueue.drivers.redis.store import RedisStore

__all__ = ["Address", "KeepOpts", "RedisStore", "library_source", "store_at"]
