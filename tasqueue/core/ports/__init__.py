"""What a back end must be able to do, as Protocols; and the plain data that crosses.

Two faces are public and small, `Broker` and `Results`: a third party can write a back end
against them. Back ends that can do more lack no method, they have more types: a `Store` answers
requests of clients, a `Lease` is one worker's place in a store. A broker and a results store
that lie in one server share one `Store`, which then ends a job in one atomic step.

`Request` values are data. A plan (`tasqueue.engine.plan`) yields them, and a store performs
them, awaited or blocking: so `.delay()` and `.adelay()` share every line but the socket.
"""

from tasqueue.core.ports.face import Broker, Delivery, Results
from tasqueue.core.ports.lease import Holding, Lease, Reaper, Upkeep
from tasqueue.core.ports.request import (
    CHAIN_KEY,
    GROUP_KEY,
    JOB_KEY,
    Decided,
    Forget,
    GroupResults,
    Listing,
    OpenGroup,
    Parked,
    Pause,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Request,
    Submit,
    Sweep,
    Tasks,
    TellEnd,
    Withdraw,
    Workers,
    Write,
)
from tasqueue.core.ports.settlement import Answer, Claim, Mark, Settlement, WorkerInfo
from tasqueue.core.ports.store import Advising, BlockingStore, Placed, Store, Stored, Supervised

__all__ = [
    "CHAIN_KEY", "GROUP_KEY", "JOB_KEY", "Advising", "Answer", "BlockingStore", "Broker", "Claim",
    "Decided", "Delivery", "Forget", "GroupResults", "Holding", "Lease", "Listing", "Mark",
    "OpenGroup", "Parked", "Pause", "Pending", "PendingPage", "Placed", "Push", "PutTask", "Read",
    "Reaper", "Request", "Results", "Settlement", "Store", "Stored", "Submit", "Supervised",
    "Sweep", "Tasks", "TellEnd", "Upkeep", "Withdraw", "WorkerInfo", "Workers", "Write",
]  # fmt: skip
