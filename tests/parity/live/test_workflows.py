"""Groups and chains across the languages: both sides' readers say the same."""

from collections.abc import Sequence

from redis import Redis

from tests.parity.live.client import Message, ended
from tests.parity.live.fleet import JobSpec
from tests.parity.live.pair import Pair


async def read_afresh(
    pair: Pair, redis_client: Redis, what: str, key: str
) -> tuple[Message, Message]:
    """What each side's reader makes of the stored record as the enqueue left it.

    A reader writes what it found back, so the record is put back for the second.
    """
    record = redis_client.get(f"tq:res:{what}:msg:{key}")
    assert isinstance(record, bytes)
    by_go = await getattr(pair.go, f"get_{what}")(key)
    redis_client.set(f"tq:res:{what}:msg:{key}", record)
    by_python = await getattr(pair.python, f"get_{what}")(key)
    return by_go, by_python


async def all_ended(pair: Pair, job_ids: Sequence[str]) -> None:
    for job_id in job_ids:
        await ended(pair.client, job_id)


async def test_a_group_succeeds_when_all_have(pair: Pair, redis_client: Redis) -> None:
    pair.hire(["add"])
    members = [JobSpec(task="add", id=f"m{at}", payload=b'{"a":%d,"b":1}' % at) for at in range(5)]
    await pair.client.group(members, "g")
    await all_ended(pair, [member.id for member in members])
    by_go, by_python = await read_afresh(pair, redis_client, "group", "g")
    assert by_go["Status"] == "successful"
    assert by_go["JobStatus"] == {member.id: "successful" for member in members}
    assert [job["Opts"]["ID"] for job in by_go["Group"]["Jobs"]] == [m.id for m in members]
    assert by_python == by_go
    results = [await pair.client.get_result(member.id) for member in members]
    assert results == [b"1", b"2", b"3", b"4", b"5"]
    assert pair.runs() == {member.id: 1 for member in members}


async def test_a_group_fails_when_one_has(pair: Pair, redis_client: Redis) -> None:
    pair.hire(["echo", "fail"])
    members = [JobSpec(task="echo", id="good"), JobSpec(task="fail", id="bad", max_retries=1)]
    await pair.client.group(members, "g")
    await all_ended(pair, ["good", "bad"])
    by_go, by_python = await read_afresh(pair, redis_client, "group", "g")
    assert by_go["Status"] == "failed"
    assert by_go["JobStatus"] == {"good": "successful", "bad": "failed"}
    assert by_python == by_go


async def test_a_group_is_processing_while_nobody_works(pair: Pair, redis_client: Redis) -> None:
    await pair.client.group([JobSpec(task="echo", id="a"), JobSpec(task="echo", id="b")], "g")
    by_go, by_python = await read_afresh(pair, redis_client, "group", "g")
    assert by_go["Status"] == "processing"
    assert by_go["JobStatus"] == {"a": "queued", "b": "queued"}
    assert by_python == by_go


async def test_a_chain_hands_each_result_on(pair: Pair, redis_client: Redis) -> None:
    pair.hire(["echo", "total"])
    links = [
        JobSpec(task="echo", id="one", payload=b"5"),
        JobSpec(task="total", id="two", payload=b'{"n":10}'),
        JobSpec(task="total", id="three", payload=b'{"n":100}'),
    ]
    await pair.client.chain(links, "c")
    await all_ended(pair, ["one", "two", "three"])
    by_go, by_python = await read_afresh(pair, redis_client, "chain", "c")
    assert by_go == {
        "ID": "c",
        "Status": "successful",
        "JobID": "one",
        "PrevJobs": ["one", "two", "three"],
    }
    assert by_python == by_go
    for client in pair.clients:
        results = [await client.get_result(job_id) for job_id in ("one", "two", "three")]
        assert results == [b"5", b"15", b"115"]
    assert pair.runs() == {"one": 1, "two": 1, "three": 1}


async def test_a_chain_fails_at_the_link_that_fails(pair: Pair, redis_client: Redis) -> None:
    pair.hire(["echo", "fail"])
    links = [
        JobSpec(task="echo", id="one"),
        JobSpec(task="fail", id="two"),
        JobSpec(task="echo", id="three"),
    ]
    await pair.client.chain(links, "c")
    await all_ended(pair, ["one", "two"])
    by_go, by_python = await read_afresh(pair, redis_client, "chain", "c")
    assert by_go["Status"] == "failed"
    assert by_go["PrevJobs"] == ["one", "two"]
    assert by_python == by_go
    assert await pair.client.get_job("three") is None


async def test_a_chain_may_have_two_hundred_links(pair: Pair, redis_client: Redis) -> None:
    pair.hire(["echo", "total"])
    links = [JobSpec(task="echo", id="0", payload=b"0")]
    links += [JobSpec(task="total", id=str(at), payload=b'{"n":1}') for at in range(1, 200)]
    await pair.client.chain(links, "long")
    await ended(pair.client, "199")
    by_go, by_python = await read_afresh(pair, redis_client, "chain", "long")
    assert by_go["Status"] == "successful"
    assert by_python == by_go
    assert await pair.client.get_result("199") == b"199"
