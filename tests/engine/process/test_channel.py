"""The line between a supervisor and a worker process."""

import socket
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from tasqueue.engine.process import Hello, Order

SECONDS = st.floats(0, allow_nan=False)
HELLOS = st.builds(Hello, st.text(), st.lists(st.text(), max_size=3).map(tuple), SECONDS, SECONDS)
CHILD = """
import signal, sys
from tasqueue.engine.process import channel
channel._FUSE = 0.1
line = channel.Channel(int(sys.argv[1]))
line.listen(lambda order: print(order.name, flush=True), 0.0)
signal.pause()
"""


@given(HELLOS, st.data())
def test_a_greeting_is_read_when_it_is_whole(hello: Hello, data: st.DataObject) -> None:
    line = hello.line()
    assert line.count(b"\n") == 1
    assert Hello.parse(line) == hello
    assert Hello.parse(line[: data.draw(st.integers(0, len(line) - 1))]) is None


def test_a_process_whose_supervisor_is_gone_stops_and_ends_even_if_it_is_stuck() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(fd)], pass_fds=(fd,), stdout=subprocess.PIPE
        )
    with process, ours:
        for order in Order:
            ours.sendall(order.value)
        ours.shutdown(socket.SHUT_RDWR)
        assert process.stdout is not None
        told = process.stdout.read().split()
        assert process.wait() == 1
    assert told == [b"STOP", b"NOW", b"RETIRE", b"STOP"]


def test_a_greeting_shows_no_password() -> None:
    hello = Hello("redis://user:geheim@host/0", ("math",), 30.0, 10.0)
    assert "math" in repr(hello)
    assert "geheim" not in repr(hello)
