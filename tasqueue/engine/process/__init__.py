"""Worker processes and their supervisor, which starts them, watches them and tidies up."""

from tasqueue.engine.process.channel import Channel, Hello, Order
from tasqueue.engine.process.ledger import Ledger
from tasqueue.engine.process.limits import Limits
from tasqueue.engine.process.supervisor import UNFINISHED, Supervisor

__all__ = ["UNFINISHED", "Channel", "Hello", "Ledger", "Limits", "Order", "Supervisor"]
