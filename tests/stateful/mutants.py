"""Deliberate faults in the scripts; the model must find each of them.

``python -m tests.stateful.mutants [words of a name …]`` runs the model once a fault; slow.
"""

import os
import subprocess
import sys
import time
from typing import Final

from tasqueue.drivers.redis.script import Script, assemble

LUA: Final[dict[str, tuple[str, str, str]]] = {
    "claim copies": ("claim", "drop_oldest(Q, #waiting)", ""),
    "claim copies what landed": ("claim", "drop_oldest(ld, #landed)", ""),
    "trim takes one too many": ("", "0, -(n + 1))", "0, -(n + 2))"),
    "tokens repeat": ("claim", "seq + i) .. ':' .. nonce", "seq + i) .. ':0'"),
    "a fenced worker may claim": ("claim", "redis.call('HEXISTS', hb, wid) == 0", "false"),
    "a fenced claim keeps what landed": ("claim", "  redis.call('DEL', ld)\n", ""),
    "finish without a token": ("finish", "if not raw then", "if false then"),
    "finish says applied to a zombie": (
        "finish", "redis.call('HEXISTS', hb, wid) == 1 and 2 or 0", "1",
    ),
    "finish ignores copies": ("finish", "elseif decided(once) then", "elseif false then"),
    "finish forgets the once-key": ("finish", "    decide(once)\n    redis", "    redis"),
    "finish loses dead bytes": ("finish", "redis.call('ZADD', dl, now, raw)", ""),
    "finish keeps the token": (
        "finish", "decide(once)\n    redis.call('HDEL', inflight, token)", "decide(once)",
    ),
    "finish lists nobody": ("finish", "if listing ~= '' then", "if false then"),
    "retry forgets the once-key": ("retry", "    decide(once)\n    redis", "    redis"),
    "retry ignores copies": ("retry", "elseif decided(once) then", "elseif false then"),
    "retry without a token": (
        "retry", "redis.call('HEXISTS', inflight, token) == 0", "false",
    ),
    "retry loses what was saved": ("retry", "if ARGV[i + 4] == '1' then", "if false then"),
    "reap does not compare": ("reap", "(why == 'host' and beat ~= seen)", "false"),
    "reap takes the living for orphans": ("reap", "if beat then return -1 end", ""),
    "reap forgets the landing": (
        "reap", "for _, raw in ipairs(landed) do redis.call('RPUSH', Q, raw) end", "",
    ),
    "reap leaves no tombstone": ("reap", "redis.call('ZADD', tb, 'NX', now, wid)", ""),
    "reap leaves the beat": ("reap", "redis.call('HDEL', hb, wid)", ""),
    "enqueue ignores its call token": (
        "enqueue", "redis.call('EXISTS', 'tq:eq:' .. call) == 1", "false",
    ),
    "enqueue does not check a repeat": (
        "enqueue", "again and redis.call('EXISTS', RES .. 'job:msg:' .. id) == 1", "false",
    ),
    "enqueue keeps the token by job": ("enqueue", "'tq:eq:' .. call", "'tq:eq:' .. id"),
    "park drops": ("park", "redis.call('LPUSH', KEYS[3], raw)", ""),
    "unpark doubles": ("unpark", "drop_oldest(KEYS[1], #found)", ""),
    "promote doubles": ("promote", "redis.call('ZREM', ss, unpack(due))", ""),
    "release doubles": ("release", "redis.call('HDEL', KEYS[2], ARGV[i])", ""),
    "mark is not fenced": ("mark", "redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1", "true"),
    "bury keeps the token": ("bury", "redis.call('HDEL', KEYS[1], ARGV[1])", ""),
    "a beat revives": ("beat", "ARGV[2] == '1' and redis.call", "redis.call"),
}  # fmt: skip
WORKER: Final = ("the worker passes no once-key", "the worker does not mark its retries")


def mutate(mutant: str, name: str, sound: Script) -> Script:
    """Return the script with the fault, if it is the one that the fault is for."""
    where, old, new = LUA.get(mutant, ("none", "", ""))
    if where not in {name, ""} or old not in sound.source:
        if where == name:
            msg = f"the fault {mutant!r} does not apply any more"
            raise AssertionError(msg)
        return sound
    flags, _, rest = sound.source.replace(old, new).partition("\n")
    assert flags.startswith("#!lua")
    return assemble("", rest)


def main(words: list[str]) -> int:
    """Run the model against each fault; returns how many it did not find."""
    survivors = 0
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly"]
    for mutant in (*LUA, *WORKER):
        if not all(word in mutant for word in words):
            continue
        start = time.monotonic()
        run = subprocess.run(
            [*command, "tests/stateful/test_redis_model.py"],
            env=os.environ | {"TASQUEUE_MUTANT": mutant},
            capture_output=True,
            text=True,
            check=False,
        )
        lived = run.returncode == 0
        survivors += lived
        why = [line for line in run.stdout.splitlines() if line.startswith("E   ")]
        said = "SURVIVED" if lived else "found   "
        line = f"{said} {time.monotonic() - start:5.1f} s  {mutant}  [{(why or ['?'])[0][4:90]}]\n"
        sys.stdout.write(line)
        sys.stdout.flush()
    sys.stdout.write(f"not found: {survivors}\n")
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
