"""TLS for tests: a certificate authority of a folder's own, and a front before a plain server."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Authority:
    """Writes certificates into a folder."""

    folder: Path

    @property
    def file(self) -> Path:
        """Its own certificate, for those who trust it."""
        return self.folder / "ca.crt"

    def issue(self, name: str, *names: str) -> Path:
        """Write ``name``.crt and ``name``.key for these names; returns the certificate's path."""
        self._openssl(
            "req", "-new", *_KEY, "-keyout", f"{name}.key", "-out", "csr", "-subj", "/CN=x"
        )
        (self.folder / "ext").write_text(f"subjectAltName={','.join(names)}\n")
        self._openssl(
            "x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "ext", "-out", f"{name}.crt", "-days", "2",
        )  # fmt: skip
        return self.folder / f"{name}.crt"

    def sign_itself(self, name: str, *names: str) -> Path:
        """Write a certificate that nobody has signed."""
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(names)}",
        )  # fmt: skip
        return self.folder / f"{name}.crt"

    def found(self) -> None:
        """Write its own certificate."""
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2",
            "-subj", "/CN=ca of a test",
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def _openssl(self, *args: str) -> None:
        if not shutil.which("openssl"):
            pytest.fail("no openssl: install it, the tests of TLS make their certificates with it")
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@contextmanager
def tls_front(port: int, certificate: Path, *, clients: Path | None = None) -> Iterator[int]:
    """Speak TLS on a port of its own and pass on to a plain server; yields the port.

    ``clients`` is the authority whose certificates clients must have.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    front = _Front(port, context)
    thread = threading.Thread(target=lambda: asyncio.run(front.run()), name="tls front")
    thread.start()
    try:
        front.ready.wait()
        yield front.port
    finally:
        front.stop()
        thread.join()


class _Front:
    def __init__(self, behind: int, context: ssl.SSLContext) -> None:
        self._behind = behind
        self._context = context
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self.ready = threading.Event()
        self.port = 0

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda *_: None)  # refused handshakes are what is tested
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = int(server.sockets[0].getsockname()[1])
        self.ready.set()
        await self._end.wait()
        server.close()

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back = await asyncio.open_connection("127.0.0.1", self._behind)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(
                [
                    asyncio.create_task(_pass_on(reader, back[1])),
                    asyncio.create_task(_pass_on(back[0], writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        writer.close()
        back[1].close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
