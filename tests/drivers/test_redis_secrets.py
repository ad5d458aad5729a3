"""A password is in no error, traceback, log line or repr, whatever goes wrong."""

import logging
import traceback
from typing import Any

import pytest

from tasqueue import App
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import BackendError, ConfigurationError, TasqueueError
from tasqueue.core.ports import Read, WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.engine.advice import advise
from tasqueue.results.redis_results import RedisResults
from tests.servers import Valkey

CANARY = "canary"


def at(server: Valkey, user: str = "default") -> str:
    return server.url.replace("//", f"//{user}:{CANARY}@")


PLACES = {
    "nobody listens": "redis://u:canary@127.0.0.1:1",
    "no such host": "redis://u:canary@nowhere.invalid",
    "no such socket": "unix:///nowhere/redis.sock?password=canary",
    "no sentinel": "redis+sentinel://u:canary@127.0.0.1:1/main?sentinel_password=canary",
    "no TLS": "rediss://u:canary@127.0.0.1:PORT",
    "a wrong password": "redis://default:canary@127.0.0.1:PORT",
    "no rights": "redis://limited:canary@127.0.0.1:PORT",
    "a database that is not there": "redis://whole:canary@127.0.0.1:PORT/999",
}


@pytest.mark.parametrize("what", PLACES)
async def test_an_error_of_the_way_to_a_server_shows_no_password(
    what: str, own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with own_valkey.client() as admin:
        acl: Any = admin.execute_command
        acl("ACL", "SETUSER", "limited", "on", f">{CANARY}", "+select")
        acl("ACL", "SETUSER", "whole", "on", f">{CANARY}", "~*", "+@all")
        admin.config_set("requirepass", "right")
    url = PLACES[what].replace("PORT", str(own_valkey.port))
    store = RedisStore(Address.from_url(url, origin="TASQUEUE_URL"))
    lease = store.lease(WorkerInfo(queues=("q",)))
    told: list[BaseException] = []
    for ask in (lambda: store.perform_blocking(Read(["a"])), lease.beat):
        with pytest.raises(BackendError) as caught:
            ask()
        told.append(caught.value)
    for awaited in (store.perform(Read(["a"])), lease.promote("q")):
        with pytest.raises(BackendError) as caught:
            await awaited
        told.append(caught.value)
    await advise(store)
    await store.aclose()
    store.close()
    texts = ["".join(traceback.format_exception(error)) for error in told]
    shown = "\n".join([*texts, caplog.text, repr(store), repr(store.address), repr(lease)])
    assert CANARY not in shown
    assert all(isinstance(error, TasqueueError) for error in told)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:canary@h/zero",
        "redis://u:canary@h:port",
        "redis://u:canary@h?colour=red",
        "redis://u:canary@h,i",
        "http://u:canary@h",
        "redis+sentinel://u:canary@h",
        "redis+cluster://u:canary@h/7",
        "redis+other://u:canary@h",
    ],
)
def test_an_error_of_a_url_shows_no_password(url: str) -> None:
    for use in (Address.from_url, RedisBroker.from_url, RedisResults.from_url, _sent):
        with pytest.raises(ConfigurationError) as caught:
            use(url)
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def _sent(url: str) -> None:
    with App(url) as app:
        app.send("note")


def test_an_app_and_its_parts_show_no_password(own_valkey: Valkey) -> None:
    with App(at(own_valkey)) as app:
        assert CANARY not in repr(app)
        assert CANARY not in repr(app.server)
    for face in (RedisBroker.from_url(at(own_valkey)), RedisResults(password=CANARY)):
        assert CANARY not in repr(face)
