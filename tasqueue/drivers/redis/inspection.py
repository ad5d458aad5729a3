"""What a queue's keys tell those who only look: which jobs are parked, and who works here."""

from __future__ import annotations

from typing import Final

from tasqueue.core.ports import Parked, Workers
from tasqueue.core.wire import is_message_of
from tasqueue.drivers.redis.command import Steps, ask, command, text
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import here, parse, vanished

_PAGE: Final = 200
_PAGES: Final = 25


def parked(request: Parked) -> Steps[bool]:
    """Look for a job among the parked ones of its task, youngest first.

    Where a task has more than 5,000 of them, one that was not found among those counts as parked.
    """
    name = queue_keys(request.queue).parked_jobs(request.task)
    for page in range(_PAGES):
        (bodies,) = yield from ask(command("LRANGE", name, page * _PAGE, (page + 1) * _PAGE - 1))
        if any(is_message_of(body, request.job_id) for body in bodies):
            return True
        if len(bodies) < _PAGE:
            return False
    return True


def workers(request: Workers) -> Steps[list[str]]:
    """List who is registered, but for those of this host whose process is gone."""
    keys = queue_keys(request.queue)
    registered, places = yield from ask(
        command("HKEYS", keys.beats), command("HGETALL", keys.workers)
    )
    mine = here(0)
    gone = {
        worker
        for worker, place in zip(places[::2], places[1::2], strict=True)
        if (where := parse(text(place))) is not None and vanished(where, mine)
    }
    return [text(worker) for worker in registered if worker not in gone]
