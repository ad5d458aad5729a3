"""The processes in which a worker runs ``executor="process"`` jobs: each can be killed alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tasqueue.core.errors import Cancel, ConfigurationError, Reject, Retry, Snooze
from tasqueue.core.job import Job, JobMessage
from tasqueue.core.wire import encode_job
from tasqueue.engine.context import JobContext
from tasqueue.engine.remote import RemoteError
from tasqueue.sdk.definition import Spec
from tasqueue.sdk.frame import APART, Ask, Told, receive, send
from tasqueue.sdk.naming import module_name, runs_on_loop

_PROGRAM: Final = "from tasqueue.sdk.apart import main; main()"


class JobProcess:
    """A process that runs one job at a time, and may be killed while it does."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603 -- this same interpreter
                [sys.executable, "-c", _PROGRAM, str(fd)],
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
            )
        self._lock = threading.Lock()
        self._runs: JobContext | None = None

    def ask(self, ask: Ask, ctx: JobContext) -> Told | None:
        """Run a job, from its worker's thread; None if the process ended meanwhile."""
        with self._lock:
            self._runs = ctx
        ctx.interrupted_by(lambda: self.kill(ctx))
        try:
            send(self._line, ask)
            body = receive(self._line)
        except OSError:
            body = None
        finally:
            with self._lock:
                self._runs = None
        return None if body is None else msgspec.msgpack.decode(body, type=Told)

    def kill(self, ctx: JobContext) -> None:
        """End it, if it runs this job: by now it may have been given another one."""
        with self._lock:
            if self._runs is ctx:
                self._process.kill()

    def close(self) -> int:
        """End it in any case; returns its exit code, negative for a signal."""
        self._line.close()
        try:
            return self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class ProcessPool:
    """The idle processes of an app, started as they are needed, and kept for the next job."""

    def __init__(self) -> None:
        self._idle: list[JobProcess] = []
        self._pid = os.getpid()

    def take(self) -> JobProcess:
        """An idle process, or a new one. A forked child leaves its parent's alone.

        Raises:
            ConfigurationError: this is the process of a job itself.
        """
        if APART.is_set():
            msg = 'a job in a process of its own runs no other executor="process" job'
            raise ConfigurationError(msg)
        if self._pid != os.getpid():
            self._idle, self._pid = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return JobProcess()

    def give_back(self, process: JobProcess) -> None:
        """Keep a process that has done its job."""
        self._idle.append(process)

    def close(self) -> None:
        """End the idle processes."""
        while self._idle and self._pid == os.getpid():
            self._idle.pop().close()


def process_handler(
    spec: Spec, function: Callable[..., Any], pool: ProcessPool
) -> Callable[[bytes, JobContext], None]:
    """The engine's handler for a ``def`` function that runs in a process of its own.

    Raises:
        ConfigurationError: no other process can find the function by its name.
    """
    module, qualname = module_name(function.__module__), function.__qualname__
    if runs_on_loop(function):
        msg = f'{spec.name}: executor="process" is for def functions; async def runs on the loop'
        raise ConfigurationError(msg)
    if "<locals>" in qualname:
        msg = f'{spec.name}: with executor="process" the function stands at the top of its module'
        raise ConfigurationError(msg)

    def handle(payload: bytes, ctx: JobContext) -> None:
        ask = Ask(
            module=module,
            qualname=qualname,
            task=spec.name,
            payload=payload,
            message=encode_job(JobMessage(ctx.meta, Job(ctx.task, b""))),
            group_results=ctx.group_results,
            deadline=ctx.deadline,
            path=sys.path,
        )
        process = pool.take()
        told = process.ask(ask, ctx)
        if told is None:
            raise RemoteError(f"its process {_end(process.close())}", ("ProcessDied", ""))
        pool.give_back(process)
        ctx.saved = told.saved
        _raise(told)

    return handle


def _raise(told: Told) -> None:
    match told.kind:
        case "done":
            return
        case "retry":
            raise Retry(told.text, after=told.after)
        case "snooze":
            raise Snooze(told.after)  # type: ignore[arg-type] # what its handler said
        case "cancel":
            raise Cancel(told.text)
        case "reject":
            raise Reject(told.text)
        case "failed":
            raise RemoteError(told.text, told.origin)


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
