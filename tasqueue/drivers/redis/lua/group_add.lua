-- GROUP_ADD: makes members of a group known in a cluster, chunk by chunk; records lie in other slots
-- and are the caller's. Keeps true: each chunk counts once however often, and however late, it
-- arrives; a sealed group is not changed; one that is never sealed goes by itself after a day.
-- KEYS the group's, its :m, its :p   ARGV start(members known before this chunk)
--   n(fields and values) field value … member …
-- Reply: how many members were added.
local g, m, p = unpack(KEYS)
local is, start, first = types(), tonumber(ARGV[1]), 3 + tonumber(ARGV[2])
if not (is(g, 'hash') and is(m, 'list') and is(p, 'set')) then return bad('a key of the group') end
if redis.call('HEXISTS', g, 'sealed') == 1 then return 0 end
local known = redis.call('LLEN', m)
if known > start then return 0 end
if known < start then return redis.error_reply('BADARG members are missing: the group was lost') end

if first > 3 then redis.call('HSET', g, unpack(ARGV, 3, first - 1)) end
for i = first, #ARGV do
  redis.call('RPUSH', m, ARGV[i])
  redis.call('SADD', p, ARGV[i])
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, DAY) end
return #ARGV - first + 1
