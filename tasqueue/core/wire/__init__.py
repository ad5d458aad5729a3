"""Bytes exactly as Go Tasqueue v2 writes them; the only room with CamelCase and nanoseconds.

Messages are msgpack maps keyed by Go's field names, in Go's order, integers never shortened
(``go/SPEC.md`` §2). Reading is as lenient as Go's decoder (§2.6): any key order, unknown and
missing keys, text as str or bin, structs as arrays, bytes after the message.
"""

from tasqueue.core.wire.form import Form, form_of
from tasqueue.core.wire.job import decode_job, encode_both, encode_record
from tasqueue.core.wire.peek import is_message_of
from tasqueue.core.wire.reading import decode_chain, decode_group
from tasqueue.core.wire.task import TaskRecord, decode_task, encode_task
from tasqueue.core.wire.writing import encode_chain, encode_group, encode_job

__all__ = [
    "Form",
    "TaskRecord",
    "decode_chain",
    "decode_group",
    "decode_job",
    "decode_task",
    "encode_both",
    "encode_chain",
    "encode_group",
    "encode_job",
    "encode_record",
    "encode_task",
    "form_of",
    "is_message_of",
]
