"""The suite's worker as an app, for the command line: ``tasqueue worker tests.faults.program:app``.

The environment says where: ``TASQUEUE_URL``, and ``TQ_DIARY`` for the notes of all its processes.
"""

import logging
import os
from pathlib import Path

from tasqueue import App, JobContext
from tests.faults import failpoint, flows
from tests.faults.diary import Diary
from tests.faults.load import QUEUE
from tests.faults.task import TASKS, Handler, noted

HOUR = 3600.0

app = App(result_ttl=HOUR)


def _serve(diary: Diary) -> None:
    diary.listen()
    if fail := os.environ.get("TQ_FAIL"):
        failpoint.install(fail, Path(os.environ["TQ_FAIL_ONCE"]))
    for name, handler in TASKS.items():
        _task(name, noted(diary, handler))
    flows.tasks_of(app, diary.note)
    if level := os.environ.get("TQ_LOG"):
        logging.getLogger("tasqueue").setLevel(level)
    diary.note("ready", os.getpid())


def _task(name: str, handler: Handler) -> None:
    @app.task(name=name, queue=QUEUE, raw=True, backoff=float(os.environ.get("TQ_BACKOFF", "0.5")))
    async def run(ctx: JobContext, payload: bytes) -> None:
        await handler(payload, ctx)


if "TQ_DIARY" in os.environ:
    _serve(Diary(Path(os.environ["TQ_DIARY"])))
