"""Deliberate faults in the scripts; the model must find each of them.

``just mutants [words of a name …]`` runs the model once a fault, two at a time; it stops at the
first example that shows it. The last line says how many were found.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from tasqueue.drivers.redis.script import Script, assemble
from tests.stateful.group_mutants import GROUPS

LUA: Final[dict[str, tuple[str, str, str]]] = {
    "claim copies": ("claim", "drop_oldest(Q, #waited, queue_ends)", ""),
    "claim copies what landed": ("claim", "drop_oldest(ld, landed, landing_ends)", ""),
    "trim takes one too many": ("", "0, -(n + 1))", "0, -(n + 2))"),
    "a list is taken whole too soon": ("", "if n < last then", "if n <= last then"),
    "a list that was taken whole stays": ("", "then redis.call('DEL', list)", "then"),
    "tokens repeat": ("claim", "seq + i) .. ':' .. nonce", "seq + i) .. ':0'"),
    "a fenced worker may claim": ("claim", "if known == 0 then", "if false then"),
    "a fenced claim keeps what landed": ("claim", "    redis.call('DEL', ld)\n", ""),
    "finish without a token": ("finish", "if not raw then", "if false then"),
    "finish takes a token twice": ("finish", "not gone[token] and held[at]", "held[at]"),
    "finish says applied to a zombie": (
        "finish", "registered == 1 and 2 or registered == 0 and 0 or -1", "1",
    ),
    "finish ignores copies": ("finish", "marked[once] or decided(once)", "marked[once]"),
    "finish ignores copies in its own batch": (
        "finish", "marked[once] or decided(once)", "decided(once)",
    ),
    "finish forgets the once-key": ("finish", "do decide(once) end", "do local _ = once end"),
    "finish loses dead bytes": ("finish", "redis.call('ZADD', dl, now, raw)", ""),
    "finish keeps the token": (
        "finish", "redis.call('HDEL', inflight, unpack(ended))", "local _ = ended",
    ),
    "finish lists nobody": ("finish", "    if list then", "    if false then"),
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
        "enqueue", "'tq:eq:' .. call, 1, 'NX', 'EX'", "'tq:eq:' .. call, 1, 'EX'",
    ),
    "enqueue does not check a repeat": (
        "enqueue", "key, record, 'NX')", "key, record)",
    ),
    "enqueue keeps the token by job": ("enqueue", "'tq:eq:' .. call", "'tq:eq:' .. ARGV[i]"),
    "enqueue of many does not check a repeat": (
        "enqueue", "redis.pcall('MSETNX', unpack(records)) == 1",
        "redis.call('MSET', unpack(records))",
    ),
    "enqueue of many gives up at a repeat": (
        "enqueue", "if not all_new then", "if not many then",
    ),
    "enqueue takes an ID that comes twice in a call for new": ("enqueue", " or seen[id]", ""),
    "enqueue takes a refusal for a yes": (
        "enqueue", "unpack(records)) == 1", "unpack(records)) ~= 0",
    ),
    "enqueue of many needs the right to MSETNX": (
        "enqueue", "redis.pcall('MSETNX'", "redis.call('MSETNX'",
    ),
    "enqueue of many loses what is due": (
        "enqueue", "if late and #set > 0", "if not many and late and #set > 0",
    ),
    "enqueue of many pushes one": ("enqueue", "queue, unpack(list))", "queue, list[1])"),
    "park drops": ("park", "redis.call('LPUSH', KEYS[3], raw)", ""),
    "unpark doubles": ("unpark", "drop_oldest(KEYS[1], #found)", ""),
    "promote doubles": ("promote", "redis.call('ZREM', ss, unpack(due))", ""),
    "release doubles": ("release", "redis.call('HDEL', KEYS[2], ARGV[i])", ""),
    "mark is not fenced": ("mark", "redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1", "true"),
    "bury keeps the token": ("bury", "redis.call('HDEL', KEYS[1], ARGV[1])", ""),
    "a worker that was told to stop does not say so": ("beat", "ARGV[4] == '1'", "false"),
    "a worker says that it leaves again and again": (
        "beat", "string.sub(record, -8) ~= '|leaving'", "true",
    ),
    "nobody is lost with a worker that was told to stop": (
        "reap", "why == 'host' and points > 0", "why == 'host'",
    ),
    "a beat revives": ("beat", "ARGV[2] == '1' and redis.call", "redis.call"),
    "a suspect runs beside others": ("claim", "holds == 0 and ARGV[5] == '1'", "ARGV[5] == '1'"),
    "a suspect runs beside another queue's": (
        "claim", "holds == 0 and ARGV[5] == '1'", "holds == 0",
    ),
    "jobs come in beside a suspect": ("claim", "holds == 1 and string.sub", "false and string.sub"),
    "nobody drains for a suspect for long": (
        "claim", "drains == wid and not tired then", "false then",
    ),
    "everybody drains for a suspect": ("claim", "drains == wid and not tired then", "true then"),
    "a drainer is never relieved": ("claim", "(tired and drains ~= wid)", "false"),
    "a drainer never rests": ("claim", "drains == wid and not tired", "drains == wid"),
    "a suspect that is taken keeps its drainer": ("claim", "      redis.call('DEL', sg)\n", ""),
    "a suspect is claimed and stays": ("claim", "      drop_oldest(su, 1)\n", ""),
    "a convicted job runs again": ("claim", "hold('c', convicted)", "hold('', convicted)"),
    "a convicted job is claimed and stays": ("claim", "    drop_oldest(cv, #convicted)\n", ""),
    "a drained claim keeps what landed": (
        "claim", "tired then return unland({'drain'})", "tired then return {'drain'}",
    ),
    "a suspect that goes back is none any more": (
        "", "kind == 's' and suspects or kind == 'c' and convicts or queue",
        "kind == 'c' and convicts or queue",
    ),
    "a convicted job that goes back runs again": (
        "", "kind == 's' and suspects or kind == 'c' and convicts or queue",
        "kind == 's' and suspects or queue",
    ),
    "a crash convicts a crowd": (
        "reap", "if kind == 's' and #jobs == 1 then", "if kind == 's' then",
    ),
    "a crash charges what had not begun": (
        "reap", "why == 'child' and begun[token]", "why == 'child'",
    ),
    "a lost host weighs like a crash": (
        "reap", "tonumber(ARGV[4])", "ARGV[3] == 'host' and 4 or tonumber(ARGV[4])",
    ),
    "a lost host weighs nothing": ("reap", "why == 'host') and points", "false) and points"),
    "a kill weighs like a crash": (
        "reap", "tonumber(ARGV[4])", "ARGV[3] == 'child' and 4 or tonumber(ARGV[4])",
    ),
    "a kill weighs nothing": ("reap", "and points > 0", "and points ~= 1"),
    "a crash is forgiven": ("reap", "points) >= 12", "points) >= 16"),
    "a crash convicts too soon": ("reap", "points) >= 12", "points) >= 8"),
    "one lost host makes a suspect": ("reap", "1) >= 2) then", "1) >= 1) then"),
    "no lost host makes a suspect": ("reap", "1) >= 2) then", "1) >= 99) then"),
    "a clean exit makes suspects": (
        "reap", "lost = why == 'host' and points > 0", "lost = why == 'exit' or why == 'host'",
    ),
    "finish clears no charge": ("finish", "if charges then acquit(cr, raw) end", ""),
    "retry clears no charge": ("retry", "if charges then acquit", "if false then acquit"),
    "a charge is not forgotten whole": ("", "'h' .. sha, 'c' .. sha)", "'h' .. sha)"),
    "promote tells of no suspects": ("promote", "redis.call('LLEN', su) + ", ""),
    "release loses a suspect": ("release", "give_back(ARGV[i], raw", "tostring(ARGV[i], raw"),
}  # fmt: skip
PYTHON: Final = (
    "the worker passes no once-key",
    "the worker does not mark its retries",
    "the supervisor takes every job for a lone one",
    "the supervisor says that nothing had begun",
)
"""Faults of the callers; `test_redis_model` puts them in."""
_TOGETHER: Final = 2
_PYTEST: Final = (
    sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider",
    "-k", "whatever_happens",
)  # fmt: skip


def mutate(mutant: str, name: str, sound: Script) -> Script:
    """Return the script with the fault, if it is the one that the fault is for."""
    where, old, new = (LUA | GROUPS).get(mutant, ("none", "", ""))
    if where not in {name, ""} or old not in sound.source:
        if where == name:
            msg = f"the fault {mutant!r} does not apply any more"
            raise AssertionError(msg)
        return sound
    flags, _, rest = sound.source.replace(old, new).partition("\n")
    assert flags.startswith("#!lua")
    return assemble("", rest)


class Verdict(NamedTuple):
    """What a run of the model against one fault came to."""

    mutant: str
    found: bool
    seconds: float
    why: str

    def __str__(self) -> str:
        said = "found   " if self.found else "SURVIVED"
        return f"{said} {self.seconds:5.1f} s  {self.mutant}  [{self.why}]"


def judge(mutant: str) -> Verdict:
    """Run the model against one fault, with CI's examples."""
    start = time.monotonic()
    environment = {"HYPOTHESIS_PROFILE": "ci", "TASQUEUE_MUTANT": mutant}
    model = "group" if mutant in GROUPS else "redis"
    run = subprocess.run(
        (*_PYTEST, f"tests/stateful/test_{model}_model.py"),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line[4:100].strip() for line in run.stdout.splitlines() if line.startswith("E   ")]
    why = next((line for line in said if line), "no example shows it")
    # 1 is a test that failed; anything else is a run that was none, which finds nothing.
    none = any(words in run.stdout for words in ("does not apply", "Error compiling"))
    found = run.returncode == 1 and not none
    return Verdict(mutant, found, time.monotonic() - start, why)


def main(words: list[str]) -> int:
    """Judge the faults whose names hold all the words; returns how many were not found."""
    chosen = [name for name in (*LUA, *PYTHON, *GROUPS) if all(word in name for word in words)]
    start, survivors = time.monotonic(), []
    with ThreadPoolExecutor(_TOGETHER) as pool:
        for verdict in pool.map(judge, chosen):
            sys.stdout.write(f"{verdict}\n")
            sys.stdout.flush()
            survivors += [] if verdict.found else [verdict.mutant]
    figures = f"mutants: {len(chosen)} tried, {len(chosen) - len(survivors)} found"
    lived = f"; SURVIVED: {', '.join(survivors)}" if survivors else ""
    sys.stdout.write(f"{figures}, in {time.monotonic() - start:.0f} s{lived}\n")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
