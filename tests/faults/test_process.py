"""Rows 47 and 48: forks, and what an operating system may run out of."""

import subprocess
import sys
from typing import Any

import pytest

from tests.faults.load import QUEUE, Fate, Load
from tests.faults.site import Site
from tests.parity.program import ROOT

SLOW = pytest.mark.slow_fault

_FORKING = """
import os, sys
from tasqueue import Job, JobOpts
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.engine import plan

store = RedisStore(Address.from_url(sys.argv[1]), KeepOpts(expiry_ms=3_600_000))

def send(name):
    job = Job.create("work", b"{}", JobOpts(id=name, queue=sys.argv[2]))
    plan.run_blocking(plan.enqueue(job), store)

send("before")
children = []
for at in range(4):
    pid = os.fork()
    if pid == 0:
        for turn in range(25):
            send(f"child-{at}-{turn}")
        os._exit(0)
    children.append(pid)
for turn in range(25):
    send(f"parent-{turn}")
codes = [os.waitpid(pid, 0)[1] for pid in children]
send("after")
sys.exit(any(codes))
"""


@SLOW
def test_row_47_a_fork_after_connecting_shares_no_socket(here: Site) -> None:
    command = [sys.executable, "-c", _FORKING, here.server.url, QUEUE]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    names = ["before", "after", *[f"parent-{turn}" for turn in range(25)]]
    names += [f"child-{at}-{turn}" for at in range(4) for turn in range(25)]
    load = Load()
    load.fates = dict.fromkeys(names, Fate.COMPLETED)
    here.hire()
    assert not here.finish(load)


@SLOW
def test_row_48_a_process_without_file_descriptors_goes_on_when_it_has_some(here: Site) -> None:
    load = Load(ms=20).plain(30)
    load.alone("greedy", "hoard", fate=Fate.COMPLETED, ms=1_500)
    load.plain(30).send(here.server.url)
    here.hire(concurrency=4, tasks="work,hoard")
    assert not here.finish(load)


@SLOW
def test_row_48_a_full_disk_for_logs_stops_no_worker(here: Site) -> None:
    load = Load().plain(20).failing(10).send(here.server.url)
    log: Any = here.folder / "worker-0.log"
    log.symlink_to("/dev/full")
    here.hire(concurrency=4)
    assert not here.finish(load)
