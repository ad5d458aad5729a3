"""When something runs next: instants and spans, the cron dialect, back-off.

No clock: what "now" is comes in as a parameter.
"""

from tasqueue.core.timing.backoff import AT_ONCE, Backoff
from tasqueue.core.timing.dialect import parse_schedule
from tasqueue.core.timing.duration import parse_duration
from tasqueue.core.timing.moment import NS_PER_S, from_ns, span_from_ns, span_ns, to_ns
from tasqueue.core.timing.schedule import CronSchedule, EverySchedule, Schedule

__all__ = [
    "AT_ONCE",
    "NS_PER_S",
    "Backoff",
    "CronSchedule",
    "EverySchedule",
    "Schedule",
    "from_ns",
    "parse_duration",
    "parse_schedule",
    "span_from_ns",
    "span_ns",
    "to_ns",
]
