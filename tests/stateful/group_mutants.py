"""Deliberate faults in the scripts of groups; the model of groups must find each of them."""

from typing import Final

GROUPS: Final[dict[str, tuple[str, str, str]]] = {
    "a group fires before it is sealed": (
        "", "if not has[1] or has[2] then return end", "if has[2] then return end",
    ),
    "a group forgets that it fired": (
        "", "  redis.call('HSET', g, 'fired', 1)\n  if failed", "  if failed",
    ),
    "a group fires with open members": (
        "", "if redis.call('SCARD', g .. ':p') > 0 then return end", "",
    ),
    "a group takes a member twice": (
        "", "was_open[at] == 1 and not seen[name]", "not seen[name]",
    ),
    "a group forgets who failed": (
        "", "if #failed > 0 then redis.call('SADD', g .. ':f', unpack(failed)) end", "",
    ),
    "a group loses what was saved": (
        "", "if #saved > 0 then redis.call('HSET', g .. ':r', unpack(saved)) end", "",
    ),
    "a chain in a group ends with any link": (
        "", "if not failed and string.match(name, '[^>]*$') ~= id then return end", "",
    ),
    "a chain in a group fails with its last link alone": (
        "", "if not failed and string.match", "if string.match",
    ),
    "a sealed group goes by itself": (
        "", "redis.call('PERSIST', g .. part)", "local _ = part",
    ),
    "a group that is not sealed stays": (
        "group_open",
        "redis.call('EXPIRE', g .. part, DAY)", "local _ = part",
    ),
    "what members of a group that is not sealed saved stays": (
        "", "redis.call('EXPIRE', g .. ':r', DAY)", "",
    ),
    "a closed group leaves its keys": (
        "", "redis.call('UNLINK', g, g .. ':m', g .. ':p', g .. ':f', g .. ':r')", "",
    ),
    "a closed group is swept for ever": ("", "redis.call('SREM', OPEN, gid)", ""),
    "a closed group is forgotten at once": (
        "", "redis.call('HSET', g, 'sealed', 1, 'fired', 1)", "",
    ),
    "a failed group tells nobody around it": (
        "", "    take(has[4], ended)\n", "",
    ),
    "a failed group leaves its callback waiting": (
        "", "if failed then fail_callback(g) end", "",
    ),
    "a group opened again doubles its members": (
        "group_open", "if known > start then return 0 end", "",
    ),
    "a sealed group can be opened again": (
        "group_open", "if redis.call('HEXISTS', g, 'sealed') == 1 then return 0 end", "",
    ),
    "finish tells no group": ("finish", "if gid ~= '' then", "if false then"),
    "finish closes no group": ("finish", "if closes ~= '' then", "if false then"),
    "enqueue seals no group": ("enqueue", "for i = 2, first - 1 do seal(ARGV[i]) end", ""),
    "a sweep takes nobody out": ("group_sweep", "for i = 3, #ARGV, 4 do", "for i = 3, 0, 4 do"),
    "a sweep closes no group": ("group_sweep", "if ARGV[2] == '1' or", "if"),
}  # fmt: skip
