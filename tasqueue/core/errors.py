"""Every exception Tasqueue raises, as one tree.

TasqueueError
├── ConfigurationError (ValueError)   the program is wired wrongly
│   ├── DuplicateTask                 two functions, one task name
│   ├── QueueConflict                 one queue, two concurrencies
│   ├── ScheduleError                 a cron text that Go would refuse
│   ├── ArgumentError (TypeError)     a call that does not fit the task's signature
│   ├── LimitExceeded                 a message, chain or group larger than the limits
│   └── Unsupported                   this back end cannot do that
├── NotFound (LookupError)            the store has nothing under that name
│   ├── TaskNotFound                  kept for back ends; a job of an unknown task is parked
│   │   └── TaskNotRegistered
│   ├── JobNotFound
│   └── ResultNotFound
├── WireError
│   ├── EncodeError
│   └── DecodeError                   keeps the bytes
├── BackendError
│   ├── BackendUnavailable            could not reach the server, or it cannot serve now: try again
│   └── BackendRejected               the server refused; trying again will not help
│       └── WrongType                 a key holds another type than ours: somebody else wrote it
├── EnqueueError
│   └── EnqueueUnconfirmed (BackendUnavailable)   perhaps not stored, or not as safe as asked for;
│                                     safe to repeat by ID
├── JobError
│   ├── JobFailed
│   └── JobTimeout
└── ResultTimeout (TimeoutError)      the waiter's patience ended, not the job

JobSignal                             said by a handler on purpose, not an error
├── Retry
├── Snooze
├── Cancel
└── Reject                            said by the SDK: the payload does not fit, final at once
"""

from __future__ import annotations

from typing import Any


class TasqueueError(Exception):
    """Root of everything this library raises."""


class ConfigurationError(TasqueueError, ValueError):
    """The program is wired wrongly; running it again will not help."""


class DuplicateTask(ConfigurationError):
    """A second function was registered under the name of another."""


class QueueConflict(ConfigurationError):
    """A queue was given a second concurrency (Go: server.go, RegisterTask)."""


class ScheduleError(ConfigurationError):
    """A schedule text that robfig's ParseStandard, and so Go, would refuse."""


class ArgumentError(ConfigurationError, TypeError):
    """A call does not fit the task's signature; the message names the parameter and the path."""


class LimitExceeded(ConfigurationError):
    """A message, chain or group is larger than the limits of ``core.limits``."""


class Unsupported(ConfigurationError):
    """This back end, or this pair of back ends, lacks the ability that was asked for."""


class NotFound(TasqueueError, LookupError):
    """The store has nothing under that name."""


class TaskNotFound(NotFound):
    """No task of that name. Nothing here raises it: a job of an unknown task is parked."""


class TaskNotRegistered(TaskNotFound):
    """The task is not registered in this program. Nothing here raises it, as `TaskNotFound`."""


class JobNotFound(NotFound):
    """No job, group or chain of that ID: never enqueued, deleted, or expired."""


class ResultNotFound(NotFound):
    """The job saved nothing, has not ended yet, or its result has expired (Go: ErrNotFound)."""


class WireError(TasqueueError):
    """Bytes and messages do not fit together."""


class EncodeError(WireError):
    """A message holds a value that Go's wire cannot carry."""


class DecodeError(WireError):
    """Bytes that are no message; nothing was changed.

    Attributes:
        body: the bytes as they were found, so that nothing is lost on the way.
    """

    def __init__(self, reason: str, body: bytes) -> None:
        super().__init__(reason)
        self.body = body


class BackendError(TasqueueError):
    """A server, or the way to it, failed.

    Attributes:
        in_doubt: what was asked for may have been done all the same, as a whole or in part.
        logged: the log has told of it, as of each outage that a worker meets.
    """

    in_doubt: bool = False
    logged: bool = False


class BackendUnavailable(BackendError):
    """The server is out of reach or cannot serve now (loading, read-only, out of memory …).

    Attributes:
        word: the server's word for it, such as ``OOM`` or ``READONLY``; "" if it is out of reach.
    """

    def __init__(self, reason: str = "", word: str = "") -> None:
        super().__init__(reason)
        self.word = word


class BackendRejected(BackendError):
    """The server refused the command; repeating it will not help."""


class WrongType(BackendRejected):
    """A key holds another type than ours; nothing was written. Goes on once the key is gone."""


class EnqueueError(TasqueueError):
    """A job could not be handed to the broker."""


class EnqueueUnconfirmed(EnqueueError, BackendUnavailable):
    """It is not known whether the job is stored, or stored as safe as asked for.

    Enqueuing it again with its ID, by the same app or server, is safe: that is the same job.

    Attributes:
        job_id: the ID to ask about, or to enqueue again.
        job_ids: those of all jobs of the call, in order; ``job_id`` is one of them.
        stored: whether it is stored for certain, and may only be lost in a failover.
    """

    in_doubt: bool = True

    def __init__(self, job_id: str, reason: str, *, stored: bool = True) -> None:
        what = "lost in a failover" if stored else "stored or not"
        super().__init__(f"job {job_id} may be {what}: {reason}")
        self.job_id = job_id
        self.job_ids: tuple[str, ...] = (job_id,)
        self.stored = stored

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).__new__, (type(self), *self.args), self.__dict__


class JobError(TasqueueError):
    """A job ended badly.

    Attributes:
        job_id: the job's ID.
        message: the text of its last error, as stored in ``PrevErr``.
        type: the name of the last error's class; "" if the job ran elsewhere than in an `App`.
        traceback: where it was raised, in the worker, as text (its last 16 KiB); "" as above.
    """

    def __init__(
        self,
        text: str,
        *,
        job_id: str = "",
        message: str = "",
        type: str = "",  # noqa: A002 -- the attribute's name
        traceback: str = "",
    ) -> None:
        super().__init__(text)
        self.job_id = job_id
        self.message = message
        self.type = type
        self.traceback = traceback
        if traceback:
            self.add_note(f"In the worker:\n{traceback}")


class JobFailed(JobError):
    """A job used up its attempts."""


class JobTimeout(JobError):
    """An attempt ran longer than the job's own ``timeout`` (seconds)."""


class ResultTimeout(TasqueueError, TimeoutError):
    """The waiter gave up; the job itself goes on."""


class JobSignal(Exception):
    """Something a handler says on purpose by raising it. No `TasqueueError`: it is no mistake."""


class Retry(JobSignal):
    """Run this job again; it counts as a failed attempt.

    Attributes:
        after: seconds until the next attempt; None takes the task's back-off.
    """

    def __init__(self, reason: str = "retry", *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Snooze(JobSignal):
    """Run this job again later without using up an attempt.

    Attributes:
        after: seconds until then.
    """

    def __init__(self, after: float) -> None:
        super().__init__(f"snoozed for {after} s")
        self.after = after


class Cancel(JobSignal):
    """End this job as failed now, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


class Reject(JobSignal):
    """The payload does not fit the handler: the job fails now, whatever attempts are left.

    The SDK says it by itself; a handler on a bare `Server` may say it too.
    """
