"""Errors of the server and of the way to it, in our words; and calls that do not fit."""

import errno
import socket
from typing import Any

import pytest
from redis import exceptions

from tasqueue.core.errors import BackendRejected, BackendUnavailable, WrongType
from tasqueue.core.ports import Answer, Push, Settlement
from tasqueue.drivers.redis.command import call, command, pack, portions
from tasqueue.drivers.redis.error import ScriptMissing, translate
from tasqueue.drivers.redis.keys import QueueKeys, queue_keys
from tasqueue.drivers.redis.settlement import retry, settle

K = queue_keys("q")
Response = exceptions.ResponseError

PASSING: list[BaseException] = [
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.ClusterDownError("The cluster is down"),
    exceptions.MasterDownError("Link with MASTER is down"),
    exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'"),
    Response("OOM command not allowed when used memory > 'maxmemory'. script: x"),
    Response("NOREPLICAS Not enough good replicas to write."),
    Response("MISCONF Errors writing to the AOF file: No space left on device"),
    Response("UNBLOCKED force unblock from blocking operation"),
    Response("LOADING Redis is loading the dataset in memory"),
]
FINAL: list[BaseException] = [
    exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
    exceptions.NoPermissionError("this user has no permissions to run the 'lpush' command"),
    Response("NOAUTH Authentication required."),
    Response("ERR unknown command"),
    Response("BADARG now"),
]
REASONS: list[tuple[BaseException, str]] = [
    (exceptions.ConnectionError("Error 111 connecting to h:1. Connection refused."), "refused"),
    (exceptions.ConnectionError("Connection closed by server."), "connection closed by server"),
    (exceptions.TimeoutError("Timeout reading from h:1"), "timed out"),
    (OSError(errno.ECONNRESET, "whatever"), "connection reset"),
    (TimeoutError(), "timed out"),
    (socket.gaierror("Name or service not known"), "name or service not known"),
    (ConnectionError(), "ConnectionError"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_a_server_that_cannot_serve_now_is_unavailable(error: BaseException) -> None:
    told = translate(error, "redis://h", "")
    assert isinstance(told, BackendUnavailable)
    assert str(told).startswith("redis://h cannot serve now: ")


@pytest.mark.parametrize("error", FINAL, ids=repr)
def test_a_refusal_is_a_refusal(error: BaseException) -> None:
    assert isinstance(translate(error, "redis://h", ""), BackendRejected)


@pytest.mark.parametrize(("error", "reason"), REASONS)
def test_a_lost_way_says_why(error: BaseException, reason: str) -> None:
    told = translate(error, "redis://h", "TASQUEUE_URL")
    assert isinstance(told, BackendUnavailable)
    assert reason in str(told)
    assert "TASQUEUE_URL" in str(told)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoScriptError("No matching script."), ScriptMissing),
        (Response("WRONGTYPE Operation against a key holding the wrong kind"), WrongType),
        (Response("BADKEY the queue does not have the type"), WrongType),
    ],
)
def test_what_the_driver_itself_acts_on_has_a_class(error: BaseException, kind: type) -> None:
    assert type(translate(error, "redis://h", "")) is kind


def test_a_key_of_ours_is_under_the_tag_of_its_queue_and_never_wrapped_twice() -> None:
    assert QueueKeys("tasqueue:tasks").beats == "tq:hb:{tasqueue:tasks}"
    assert QueueKeys("{tasks}").held("w") == "tq:if:{tasks}:w"
    assert QueueKeys("a{b}c").landing("w") == "tq:ld:a{b}c:w"
    assert QueueKeys("a{}c").parked_jobs("t") == "tq:pk:{a{}c}:t"


def test_a_portion_is_limited_by_number_and_by_bytes() -> None:
    assert [len(p) for p in portions(range(401), lambda _: 1)] == [200, 200, 1]
    assert [len(p) for p in portions([150, 50, 1, 999, 2], lambda _: 1, int)] == [2, 1, 1, 1]
    assert [len(p) for p in portions([600_000] * 3, lambda n: n)] == [1, 1, 1]
    assert [len(p) for p in portions([9 << 20, 1, 1], lambda n: n)] == [1, 2]
    assert list(portions([], lambda _: 1)) == []


def test_commands_are_packed_as_the_server_reads_them() -> None:
    assert pack([command("GET", "é", b"\x00", 7)]) == (
        b"*4\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n$1\r\n\x00\r\n$1\r\n7\r\n"
    )


def test_only_a_script_can_be_sent_in_full() -> None:
    full = call("mark", ["k"], ["a"]).in_full()
    assert full.args[0] == "EVAL"
    assert full.args[2:] == (1, "k", "a")
    with pytest.raises(TypeError):
        command("GET", "a").in_full()


def test_a_retry_needs_a_next_attempt() -> None:
    with pytest.raises(TypeError):
        retry(K, "w", [Settlement("1:t", "id", b"record")])


def _feed(batch: list[Settlement], *replies: list[Any]) -> list[Answer]:
    """Answer the steps of a settlement from hand."""
    steps = settle(K, "w", batch, now_ns=1)
    sent = next(steps)
    for given in replies:
        assert len(given) == len(sent)
        try:
            sent = steps.send(given)
        except StopIteration as end:
            answers: list[Answer] = end.value
            return answers
    raise AssertionError("the steps want more replies")


def test_nothing_to_settle_sends_nothing() -> None:
    with pytest.raises(StopIteration):
        next(settle(K, "w", [], now_ns=1))


def test_a_server_that_cannot_serve_now_leaves_the_whole_batch_to_be_sent_again() -> None:
    two = [Settlement(f"{i}:t", "id", b"record") for i in range(2)]
    away = BackendUnavailable("OOM")
    for replies in ([[away]], [[WrongType("bad")], [[1], away]]):
        with pytest.raises(BackendUnavailable):
            _feed(two, *replies)
    with pytest.raises(BackendUnavailable):
        _feed(two[:1], [away])


def test_a_refusal_that_is_no_bad_key_is_raised() -> None:
    two = [Settlement(f"{i}:t", "id", b"record") for i in range(2)]
    with pytest.raises(BackendRejected, match="NOPERM"):
        _feed(two, [BackendRejected("NOPERM")], [[1], BackendRejected("NOPERM")])


def test_finishes_and_retries_keep_their_order() -> None:
    again = Push("q", "id", b"record", b"body")
    kinds = [None, None, again, None, again, again]
    batch = [Settlement(f"{i}:t", "id", b"r", again=kind) for i, kind in enumerate(kinds)]
    assert _feed(batch, [[1, 2], [1], [0], [-1, 1]]) == [1, 2, 1, 0, -1, 1]
