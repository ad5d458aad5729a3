"""TLS: the certificate and the host's name are checked unless the URL says otherwise."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Read
from tasqueue.drivers.redis import Address, RedisStore
from tests.drivers.fleet import fleet
from tests.servers import Valkey
from tests.tls import Authority, tls_front

HERE = ("DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.found()
    made.issue("here", *HERE)
    made.issue("elsewhere", "DNS:elsewhere.example")
    made.issue("client", "DNS:client")
    made.sign_itself("self", *HERE)
    return made


@pytest.fixture
def fronts() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def front(fronts: ExitStack, server: Valkey, certificate: Path, **options: Any) -> str:
    port = fronts.enter_context(tls_front(server.port, certificate, **options))
    return f"rediss://localhost:{port}/0"


async def ask(url: str, *, awaited: bool) -> Any:
    store = RedisStore(Address.from_url(url))
    read = Read(["a"])
    try:
        return await store.perform(read) if awaited else store.perform_blocking(read)
    finally:
        await store.aclose()
        store.close()


async def test_jobs_run_over_tls(
    authority: Authority, fronts: ExitStack, own_valkey: Valkey
) -> None:
    url = front(fronts, own_valkey, authority.folder / "here.crt")
    async with fleet(f"{url}?ssl_ca_certs={authority.file}") as f:
        await f.does("a")


REFUSED = {
    "a certificate that nobody signed": ("self.crt", "", "self-signed"),
    "an authority that nobody knows": ("here.crt", "", "unable to get local issuer"),
    "the certificate of another host": ("elsewhere.crt", "ca", "[Hh]ostname mismatch"),
}


@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_trusted_is_refused_and_the_error_says_why(
    authority: Authority, fronts: ExitStack, own_valkey: Valkey, *, what: str, awaited: bool
) -> None:
    file, trust, words = REFUSED[what]
    url = front(fronts, own_valkey, authority.folder / file).replace("//", "//u:canary@")
    with pytest.raises(BackendUnavailable, match=words) as caught:
        await ask(f"{url}?ssl_ca_certs={authority.file}" if trust else url, awaited=awaited)
    assert "certificate" in str(caught.value)
    assert "ssl_ca_certs" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("awaited", [True, False])
async def test_only_a_url_that_says_so_trusts_anybody(
    authority: Authority, fronts: ExitStack, own_valkey: Valkey, *, awaited: bool
) -> None:
    url = front(fronts, own_valkey, authority.folder / "self.crt")
    assert await ask(f"{url}?ssl_cert_reqs=none", awaited=awaited) == [None]
    store = RedisStore(Address.from_url(f"{url}?ssl_cert_reqs=none"))
    assert any("ssl_cert_reqs=none" in line for line in await store.advice())
    await store.aclose()


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_client_may_have_a_certificate_too(
    authority: Authority, fronts: ExitStack, own_valkey: Valkey, *, awaited: bool
) -> None:
    url = front(fronts, own_valkey, authority.folder / "here.crt", clients=authority.file)
    url += f"?ssl_ca_certs={authority.file}"
    with pytest.raises(BackendUnavailable):
        await ask(url, awaited=awaited)
    mine = authority.folder / "client"
    url += f"&ssl_certfile={mine}.crt&ssl_keyfile={mine}.key"
    assert await ask(url, awaited=awaited) == [None]


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_server_without_tls_is_not_spoken_to_in_the_open(
    own_valkey: Valkey, *, awaited: bool
) -> None:
    with pytest.raises(BackendUnavailable):
        await ask(own_valkey.url.replace("redis:", "rediss:"), awaited=awaited)


@pytest.mark.parametrize("kind", ["rediss", "valkeys", "rediss+sentinel"])
def test_tls_is_checked_by_default_however_the_url_is_written(kind: str) -> None:
    url = f"{kind}://h/name" if "+" in kind else f"{kind}://h"
    address = Address.from_url(url)
    for settings in (address._settings(address.options), address._settings({})):
        assert settings["ssl_check_hostname"]
        assert settings.get("ssl_cert_reqs", "required") == "required"
    assert ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2
