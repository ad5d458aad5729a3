"""A worker's notes: what was written is what is read, also when the writer is dead."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from tasqueue.engine.process import ledger
from tasqueue.engine.process.ledger import NEVER, Ledger

QUEUES = ("tasqueue:tasks", "été", "{a}:b")
TOKENS = st.sampled_from([f"{kind}{n}:0123456789abcdef" for kind in ("", "s") for n in range(4)])
STEPS = st.one_of(
    st.tuples(st.just("begun"), TOKENS, st.sampled_from(QUEUES)),
    st.tuples(st.just("ended"), TOKENS, st.just("")),
    st.tuples(st.just("named"), st.text("0123456789abcdef", min_size=1, max_size=32), st.just("")),
)


@contextmanager
def _written(slots: int) -> Iterator[tuple[int, Ledger]]:
    fd = ledger.blank()
    notes = Ledger(fd, QUEUES, slots)
    try:
        yield fd, notes
    finally:
        notes.close()
        os.close(fd)


@given(st.lists(STEPS, max_size=30), st.integers(1, 9))
def test_a_ledger_names_the_jobs_that_have_begun_and_not_ended(
    steps: list[tuple[str, str, str]], slots: int
) -> None:
    worker_id, running, ended = "", dict[str, str](), 0
    with _written(slots) as (fd, notes):
        for what, text, queue in steps:
            if what == "named":
                notes.named(worker_id := text)
            elif what == "begun":
                notes.begun(queue, text, None)
                if text not in running and len(running) < slots:
                    running[text] = queue
            else:
                notes.ended(text)
                ended += running.pop(text, None) is not None
            page = ledger.read(fd, QUEUES)
            assert page.worker_id == worker_id
            assert page.ended == ended
            assert {job.token: job.queue for job in page.begun} == running
            assert {job.over_at for job in page.begun} <= {NEVER}


def test_a_limit_is_an_instant_that_every_process_of_the_host_understands() -> None:
    with _written(2) as (fd, notes):
        notes.begun(QUEUES[0], "1:a", 0.0)
        (job,) = ledger.read(fd, QUEUES).begun
        program = "import sys, time; sys.exit(not time.monotonic() > float(sys.argv[1]))"
        assert subprocess.call([sys.executable, "-c", program, str(job.over_at)]) == 0


def test_nothing_is_read_of_a_process_that_wrote_nothing() -> None:
    fd = ledger.blank()
    assert ledger.read(fd, QUEUES) == ledger.Page("", 0, [])
    os.close(fd)


def test_the_notes_of_a_killed_process_are_there() -> None:
    program = """
import os, signal, sys
from tasqueue.engine.process import Ledger
notes = Ledger(int(sys.argv[1]), ("q",), 4)
notes.named("me")
notes.begun("q", "1:a", None)
notes.begun("q", "2:a", None)
notes.ended("1:a")
os.kill(os.getpid(), signal.SIGKILL)
"""
    fd = ledger.blank()
    run = subprocess.run([sys.executable, "-c", program, str(fd)], pass_fds=(fd,), check=False)
    assert run.returncode == -9
    assert ledger.read(fd, ("q",)) == ledger.Page("me", 1, [ledger.Begun("q", "2:a", NEVER)])
    os.close(fd)
