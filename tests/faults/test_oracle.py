"""The oracle itself: it must see what it is there for."""

from redis import Redis

from tests.faults.load import QUEUE, Load
from tests.faults.oracle import judge
from tests.faults.site import Site


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
