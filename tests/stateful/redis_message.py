"""The messages of the model: real ones on the wire, and what the rules depend on in them."""

import hashlib
from dataclasses import dataclass

from hypothesis import strategies as st

from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.ports import Push, Settlement
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis.keys import RESULT, queue_keys
from tasqueue.drivers.redis.process import Place

Q = "q"
K = queue_keys(Q)
WORKERS = "abc"
HERE = Place("", "", 0, "", 30)
FATES = st.sampled_from(["ok", "twice", "batch twice", "lost reply", "lost request"])
RECORD = RESULT + "job:msg:"


def body(
    job_id: str,
    *,
    task: str = "ok",
    eta: int | None = None,
    kids: int = 0,
    retried: int = 0,
    turn: str = "",
) -> bytes:
    """Write a message; ``kids`` is the length of the chain below it, ``turn`` its ``Ext.t``."""
    opts = JobOpts(id=job_id, queue=Q, eta_ns=eta)
    ext: dict[str, object] = {"t": turn} if turn else {}
    job = Job(task, b"\xff" * kids, opts, ext=ext)
    return encode_job(JobMessage(Meta(job_id, queue=Q, retried=retried), job))


@dataclass(frozen=True)
class Facts:
    """What a message says, as far as the rules depend on it."""

    id: str
    task: str
    eta: int | None
    kids: int
    retried: int
    turn: str

    @property
    def may_have_copies(self) -> bool:
        return self.eta is not None or bool(self.turn)


def facts(raw: bytes) -> Facts:
    message = decode_job(raw)
    job = message.job
    turn = job.ext.get("t", "")
    assert isinstance(turn, str)
    kids = len(job.payload or b"")
    return Facts(message.id, job.task, job.opts.eta_ns, kids, message.meta.retried, turn)


def sha1(raw: bytes) -> str:
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def script_of(settlement: Settlement) -> str:
    return "finish" if settlement.again is None else "retry"


@dataclass
class Call:
    """One enqueue call of a producer, which may send it more than once."""

    push: Push
    tries: int = 0
    applied: bool = False
