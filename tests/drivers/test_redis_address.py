"""Addresses: what is read out of a URL, and what is never shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import ConfigurationError
from tasqueue.drivers.redis import Address


@pytest.mark.parametrize(
    ("url", "kind", "options", "shown"),
    [
        ("redis://h", "redis", {"host": "h", "port": 6379}, "redis://h:6379/0"),
        ("redis://h:1/2", "redis", {"host": "h", "port": 1, "db": 2}, "redis://h:1/2"),
        ("redis://h/?db=3", "redis", {"host": "h", "port": 6379, "db": 3}, "redis://h:6379/3"),
        ("valkey://h", "redis", {"host": "h", "port": 6379}, "valkey://h:6379/0"),
        ("rediss://h", "rediss", {"host": "h", "port": 6379}, "rediss://h:6379/0"),
        ("valkeys://h", "rediss", {"host": "h", "port": 6379}, "valkeys://h:6379/0"),
        ("redis://[::1]:7", "redis", {"host": "::1", "port": 7}, "redis://[::1]:7/0"),
        ("unix:///tmp/s?db=1", "unix", {"path": "/tmp/s", "db": 1}, "unix:///tmp/s?db=1"),
        (
            "redis://u:p%40ss@h",
            "redis",
            {"host": "h", "port": 6379, "username": "u", "password": "p@ss"},
            "redis://h:6379/0",
        ),
    ],
)
def test_a_url_is_read(url: str, kind: str, options: dict[str, Any], shown: str) -> None:
    address = Address.from_url(url)
    assert address.sentinels is None
    assert (address.kind, dict(address.options), address.shown) == (kind, options, shown)
    address.blocking_wire().disconnect()
    address.async_wire()


SAME = [
    ("redis://h", "redis://u:p@h:6379/0"),
    ("redis://h/2", "valkey://h?db=2"),
    ("unix:///tmp/s?db=1", "unix:///tmp/s?db=1"),
    ("redis+sentinel://a,b/main", "redis+sentinel://c,b:26379/main/0"),
    ("redis+cluster://a,b", "redis+cluster://b:6379,c"),
]
OTHER = [
    ("redis://h", "redis://i"),
    ("redis://h", "redis://h:1"),
    ("redis://h", "redis://h/1"),
    ("redis://h", "redis+cluster://h"),
    ("unix:///tmp/s", "unix:///tmp/t"),
    ("unix:///tmp/s", "unix:///tmp/s?db=1"),
    ("redis+sentinel://a,b/main", "redis+sentinel://a,b/other"),
    ("redis+sentinel://a,b/main/0", "redis+sentinel://a,b/main/1"),
    ("redis+sentinel://a/main", "redis+sentinel://b/main"),
    ("redis+sentinel://h:1/main", "redis://h:1"),
    ("redis+cluster://a", "redis+cluster://b"),
]


@pytest.mark.parametrize(
    ("left", "right", "same"), [(*pair, True) for pair in SAME] + [(*pair, False) for pair in OTHER]
)
def test_two_addresses_that_name_one_thing_in_common_are_of_the_same_database(
    left: str, right: str, *, same: bool
) -> None:
    one, two = Address.from_url(left), Address.from_url(right)
    assert one.meets(two) is same
    assert two.meets(one) is same


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://",
        "localhost:6379",
        "http://h",
        "redis://h:port",
        "redis://h:99999",
        "redis://h/zero",
        "redis://h?colour=red",
        "redis://h?db=-1",
        "redis://h,i",
        "redis+sentinel://h",
        "redis+sentinel://h/name/zero",
        "redis+sentinel://h:port/name",
        "redis://h?sentinel_password=x",
        "unix+sentinel://h/name",
        "redis+",
        "redis+://h",
        "redis+other://h",
        "redis+cluster://h/1",
        "redis+cluster://h?db=1",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Address.from_url(url)


def test_a_url_of_a_cluster_is_read() -> None:
    address = Address.from_url("rediss+cluster://u:p@h,i:1")
    assert address.nodes == (("h", 6379), ("i", 1))
    assert (address.kind, address.shown) == ("rediss", "rediss+cluster://h:6379,i:1")
    one = address.node(("i", 1))
    assert one.shown == "rediss://i:1/0"
    assert one.options["password"] == "p"


@given(st.text(st.characters(categories=["Ll", "Nd"]), min_size=1))
def test_no_secret_is_ever_shown(secret: str) -> None:
    canary = f"canary{secret}canary"
    address = Address.from_url(f"redis://user:{canary}@h")
    assert address.options["password"] == canary
    assert canary not in repr(address)
    assert canary not in str(address)
    for bad in (f"redis://user:{canary}@h/zero", f"http://user:{canary}@h"):
        with pytest.raises(ConfigurationError) as caught:
            Address.from_url(bad)
        assert canary not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts", "service", "db", "shown"),
    [
        (
            "redis+sentinel://u:p@h,i:1,[::1]:2/name/3?sentinel_username=v&sentinel_password=w",
            (("h", 26379), ("i", 1), ("::1", 2)),
            "name",
            3,
            "redis+sentinel://h:26379,i:1,[::1]:2/name/3",
        ),
        (
            "rediss+sentinel://h/name",
            (("h", 26379),),
            "name",
            0,
            "rediss+sentinel://h:26379/name/0",
        ),
    ],
)
def test_a_url_of_sentinels_is_read(
    url: str, hosts: tuple[Any, ...], service: str, db: int, shown: str
) -> None:
    address = Address.from_url(url)
    assert address.sentinels is not None
    assert (address.sentinels.hosts, address.sentinels.service) == (hosts, service)
    assert (address.db, address.shown) == (db, shown)
    assert address.kind == url.partition("+")[0]
    assert "password" not in repr(address)
    if "u:p" in url:
        assert address.options["password"] == "p"
        assert address.sentinel_options == {"username": "v", "password": "w"}
    address.blocking_wire().disconnect()


def test_tls_checks_the_certificate_and_the_host() -> None:
    wire: Any = Address.from_url("rediss://h").blocking_wire()
    assert wire.cert_reqs.name == "CERT_REQUIRED"
    assert wire.check_hostname
    careless: Any = Address.from_url("rediss://h?ssl_cert_reqs=none").blocking_wire()
    assert careless.cert_reqs.name == "CERT_NONE"
