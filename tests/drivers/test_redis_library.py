"""Scripts as a function library: loaded where it is missing, and never needed to get along."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tasqueue.core.errors import BackendRejected
from tasqueue.core.ports import Submit
from tasqueue.drivers.redis import Address, RedisStore, library_source
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import call
from tasqueue.drivers.redis.script import NAMES, library_name, script
from tests.drivers.fleet import fleet
from tests.drivers.test_redis_store import push
from tests.servers import Valkey


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[Redis]:
    with own_valkey.client() as client:
        yield client


def functions(admin: Redis) -> dict[str, set[str]]:
    """The functions of each library on the server."""
    found: dict[str, set[str]] = {}
    for library in admin.function_list():
        entry = dict(zip(library[::2], library[1::2], strict=True))
        names = [dict(zip(one[::2], one[1::2], strict=True)) for one in entry[b"functions"]]
        found[entry[b"library_name"].decode()] = {one[b"name"].decode() for one in names}
    return found


def acl(admin: Any, user: str, *rules: str) -> None:
    """Give a user rights."""
    admin.execute_command("ACL", "SETUSER", user, *rules)


def calls(admin: Redis) -> set[str]:
    """In which ways scripts were called."""
    stats = admin.info("commandstats")
    ran = {name.removeprefix("cmdstat_") for name, stat in stats.items() if stat["calls"]}
    return ran & {"fcall", "evalsha", "eval", "function|load"}


def test_the_first_call_loads_the_library_and_later_ones_are_one_command(
    own_valkey: Valkey, admin: Redis
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    assert store.perform_blocking(Submit([push("a")])) == [True]
    assert functions(admin) == {library_name(): {script(name).function for name in NAMES}}
    admin.config_resetstat()
    assert store.perform_blocking(Submit([push("b")])) == [True]
    assert calls(admin) == {"fcall"}
    store.close()


def test_it_survives_a_flush_of_scripts_and_a_restart(own_valkey: Valkey, admin: Redis) -> None:
    admin.function_load(library_source())
    admin.script_flush()
    own_valkey.restart(kill=True)
    admin.config_resetstat()
    store = RedisStore(Address.from_url(own_valkey.url))
    assert store.perform_blocking(Submit([push("a")])) == [True]
    assert calls(admin) == {"fcall"}
    store.close()


async def test_a_flush_of_scripts_and_functions_while_jobs_run_is_not_noticed(
    own_valkey: Valkey, admin: Redis
) -> None:
    async with fleet(own_valkey.url) as f:
        for number in range(20):
            admin.function_flush()
            admin.script_flush()
            await f.does(f"{number}")
    assert f.done == [f"{number}" for number in range(20)]


def test_two_versions_live_side_by_side(own_valkey: Valkey, admin: Redis) -> None:
    ours = library_name()
    other = ours[:-4] + "beef"
    admin.function_load(library_source().replace(ours[4:], other[4:]))
    store = RedisStore(Address.from_url(own_valkey.url))
    assert store.perform_blocking(Submit([push("a")])) == [True]
    assert set(functions(admin)) == {ours, other}
    store.close()


def test_whoever_loads_it_second_goes_on(own_valkey: Valkey) -> None:
    """Both were told that it is missing, as two workers that start together are."""
    driver = BlockingDriver(Address.from_url(own_valkey.url))
    mark = call("mark", ["tq:if:{q}:w"], ["1:t", "id", "record", ""])
    with own_valkey.client() as admin:
        lost = driver._once(driver._calls.written([mark]), 1)
        admin.function_load(library_source())
        repair = driver._calls.repair([mark], lost)
        (load,) = next(repair)
        (answer,) = driver._once(driver._calls.written([load]), 1)
        assert "already exists" in str(answer)
        assert repair.send([answer]) == [mark]
    driver.close()


REFUSALS = {
    "no functions": ("-fcall -function", {"evalsha", "eval"}),
    "no loading": ("-function", {"fcall", "evalsha", "eval", "function|load"}),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_where_functions_are_refused_scripts_do(
    what: str, own_valkey: Valkey, admin: Redis
) -> None:
    rules, ways = REFUSALS[what]
    acl(admin, "worker", "on", ">pw", "~*", "&*", "+@all", *rules.split())
    async with fleet(own_valkey.url.replace("//", "//worker:pw@")) as f:
        await f.does("a")
        await f.does("b")
    assert calls(admin) <= ways
    assert "eval" in calls(admin)
    assert functions(admin) == {}


def test_a_server_without_functions_is_asked_once(own_valkey: Valkey, admin: Redis) -> None:
    """As Redis 6 answers: it does not know the command."""
    with own_valkey.client() as client:
        acl(client, "default", "-fcall")
        store = RedisStore(Address.from_url(own_valkey.url))
        for name in "abc":
            assert store.perform_blocking(Submit([push(name)])) == [True]
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == 1
        store.close()


def test_who_may_run_nothing_is_told_what_an_administrator_can_do(
    own_valkey: Valkey, admin: Redis
) -> None:
    acl(admin, "worker", "on", ">canary", "~*", "+@all", "-@scripting", "+fcall")
    store = RedisStore(Address.from_url(own_valkey.url.replace("//", "//worker:canary@")))
    with pytest.raises(BackendRejected, match=r"library_source\(\) with FUNCTION LOAD") as caught:
        store.perform_blocking(Submit([push("a")]))
    assert "canary" not in str(caught.value)
    admin.function_load(library_source())
    assert store.perform_blocking(Submit([push("a")])) == [True]
    store.close()


def test_a_full_server_that_lost_the_library_is_drained_all_the_same(
    own_valkey: Valkey, admin: Redis
) -> None:
    driver = BlockingDriver(Address.from_url(own_valkey.url))
    admin.hset("tq:if:{q}:w", "1:t", "message")
    admin.config_set("maxmemory", 1)
    mark: Any = call("mark", ["tq:if:{q}:w"], ["1:t", "id", "record", ""])
    (answer,) = driver.exchange([mark])
    assert answer == 1
    driver.close()
