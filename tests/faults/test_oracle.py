"""The oracle itself: it must see what it is there for."""

from typing import Any

from redis import Redis

from tasqueue.core.wire import decode_job
from tasqueue.drivers.redis.keys import queue_keys
from tests.faults.load import QUEUE, Load
from tests.faults.oracle import judge
from tests.faults.site import Site
from tests.faults.soak.copies import copies


def _done(here: Site) -> tuple[Redis, Load]:
    load = Load().plain(2).send(here.server.url)
    here.hire()
    assert not here.finish(load)
    return here.conn, load


def test_the_oracle_sees_each_kind_of_wrong(here: Site) -> None:
    conn, load = _done(here)
    conn.zadd("tq:res:success", {"plain-0": 2.0})  # a second completion, which no reader sees
    assert judge(conn, QUEUE, load.fates, here.witness()).completed_twice == ["plain-0"]

    witness = here.witness()
    assert witness is not None
    body = witness.bodies["plain-0"]
    conn.lpush(QUEUE, body)  # a second entry that nobody sees any more
    conn.delete(QUEUE)
    assert judge(conn, QUEUE, load.fates, here.witness()).entered_twice == ["plain-0"]

    conn.hset(f"tq:if:{{{QUEUE}}}:ghost", "1:x", body)
    verdict = judge(conn, QUEUE, load.fates)
    assert verdict.doubled == {"plain-0": ["completed", "pending"]}
    assert verdict.left == [f"tq:if:{{{QUEUE}}}:ghost"]
    conn.delete(f"tq:if:{{{QUEUE}}}:ghost")

    conn.zrem("tq:res:success", "plain-1")
    assert judge(conn, QUEUE, load.fates).lost == ["plain-1"]
    conn.zadd("tq:res:failed", {"plain-1": 1.0, "nobody": 1.0})
    verdict = judge(conn, QUEUE, load.fates)
    assert verdict.misplaced == {"plain-1": "failed"}
    assert verdict.strangers == ["nobody"]

    conn.set("forgotten", 1)
    assert judge(conn, QUEUE, load.fates).left == ["forgotten"]


def test_the_journal_tells_whose_completions_were_two(here: Site) -> None:
    # As Go does it: the same bytes pushed twice, and a record written without any token.
    load = Load().later(2, seconds=3600).send(here.server.url)
    store: Any = here.conn
    keys = queue_keys(QUEUE)
    bodies = {decode_job(body).id: body for body in store.zrange(keys.scheduled, 0, -1)}
    store.delete(keys.scheduled)
    store.lpush(QUEUE, bodies["later-0"])
    store.lpush(QUEUE, bodies["later-0"])
    store.lpush(QUEUE, bodies["later-1"])
    here.hire()
    assert not here.finish(load)
    store.zadd("tq:res:success", {"later-0": 1.0})
    witness = here.witness()
    assert witness is not None
    assert witness.completed_twice() == ["later-0"]
    assert witness.ours_twice() == set()
    assert copies(here.server.folder, ["later-0"]) == {"Go 1, ours 1: copies of the same bytes": 1}
    with store.pipeline() as pipe:  # in one step with a token's end, as only ours do it
        pipe.zadd("tq:res:success", {"later-1": 2.0}).hset(f"tq:if:{{{QUEUE}}}:a", "1:x", "-")
        pipe.hdel(f"tq:if:{{{QUEUE}}}:a", "1:x").execute()
    witness = here.witness()
    assert witness is not None
    assert witness.ours_twice() == {"later-1"}
