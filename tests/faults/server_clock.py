"""The clock of a server, which a test turns while it runs: clock.c, loaded before the server."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("clock.c")
_US: Final = 1_000_000


class ServerClock:
    """Seconds by which a server's time of day is wrong; its monotonic clock stays right."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        compiler = shutil.which("cc")
        assert compiler is not None, "the clock of a server is turned by a C library: no cc found"
        flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, "-o", library, _SOURCE], check=True)
        self._file: Final = folder / "clock.us"
        self._turned = 0.0
        self._file.write_bytes(struct.pack("=q", 0))
        self.env: Final = {"LD_PRELOAD": str(library), "TQ_CLOCK_FILE": str(self._file)}
        """The environment that a server must be started in."""

    def turn(self, seconds: float) -> None:
        """Turn it ahead, or back."""
        self._turned += seconds
        with self._file.open("r+b") as file:  # in place: the server has it mapped
            file.write(struct.pack("=q", int(self._turned * _US)))
