"""The program of a process that runs ``executor="process"`` jobs for a worker, one at a time.

It ends when the worker does, or kills it. Signals that end a whole group are the worker's affair.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import socket
import sys
import threading
from typing import Any

import msgspec

from tasqueue.core.errors import Cancel, Reject, Retry, Snooze
from tasqueue.core.wire import decode_job
from tasqueue.engine.context import JobContext, enter
from tasqueue.engine.executor import origin_of, text_of
from tasqueue.sdk.app import App
from tasqueue.sdk.frame import APART, Ask, Told, receive, send
from tasqueue.sdk.running import sync_handler
from tasqueue.sdk.task import Task


def main() -> None:
    """Answer what comes over the socket whose descriptor is the first argument."""
    APART.set()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = socket.socket(fileno=int(sys.argv[1]))
    line.set_inheritable(False)
    asked: queue.SimpleQueue[Ask] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, asked), daemon=True).start()
    while True:
        send(line, _answer(asked.get()))


def _listen(line: socket.socket, asked: queue.SimpleQueue[Ask]) -> None:
    """Take orders from a thread, so that a process whose worker died ends in the midst of a job."""
    decoder = msgspec.msgpack.Decoder(Ask)
    while body := receive(line):
        asked.put(decoder.decode(body))
    os._exit(0)


def _answer(ask: Ask) -> Told:
    ctx = JobContext(decode_job(ask.message), deadline=ask.deadline)
    ctx.group_results = ask.group_results
    enter(ctx)
    try:
        task = _found(ask)
        sync_handler(task.spec, task.function)(ask.payload, ctx)
    except BaseException as error:  # noqa: BLE001 -- user code may raise anything
        return _told(error, ctx.saved)
    return Told(saved=ctx.saved)


def _told(error: BaseException, saved: bytes | None) -> Told:
    text, origin = text_of(error), origin_of(error) or ("", "")
    match error:
        case Retry():
            return Told(kind="retry", saved=saved, text=text, after=error.after)
        case Snooze():
            return Told(kind="snooze", after=error.after)
        case Cancel():
            return Told(kind="cancel", saved=saved, text=text)
        case Reject():
            return Told(kind="reject", saved=saved, text=text)
        case _:
            return Told(kind="failed", saved=saved, text=text, origin=origin)


def _found(ask: Ask) -> Task[Any, Any]:
    """The task, by the name of its function, or by its own in an app of its module."""
    sys.path[:] = ask.path
    module = importlib.import_module(ask.module)
    found: Any = module
    for part in ask.qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Task) and found.name == ask.task:
        return found
    for app in vars(module).values():
        if isinstance(app, App) and ask.task in app.tasks:
            return app.tasks[ask.task]
    raise Reject(f"module {ask.module} defines no task {ask.task} when it is imported")
