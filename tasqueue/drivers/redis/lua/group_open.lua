-- GROUP_OPEN: makes members of a group known, chunk by chunk. Keeps true: each chunk counts once
-- however often it is sent; a group that is never sealed goes by itself after a day. A group without
-- members is complete, and calls its callback. What an earlier job under the ID of a member left
-- behind is gone: the sweep must not take it for this one's end.
-- KEYS the group's   ARGV gid start(members known before this chunk) size(of the group)
--   n(fields and values) field value … member …
-- Reply: how many members were added.
local g, gid = KEYS[1], ARGV[1]
local start, size, first = tonumber(ARGV[2]), tonumber(ARGV[3]), 5 + tonumber(ARGV[4])
local is, fields, has = types(), {}, {}
for i = 5, first - 1, 2 do
  fields[#fields + 1], fields[#fields + 2] = ARGV[i], ARGV[i + 1]
  has[ARGV[i]] = ARGV[i + 1]
end
local function goes(side)
  local queue = has[side .. ':queue']
  return not queue or open(is, queue, has[side .. ':due'])
end
if not (groups(is)(gid) and goes('ok') and goes('bad')) then return bad('a key of the group') end
if redis.call('HEXISTS', g, 'sealed') == 1 then return 0 end
local known = redis.call('LLEN', g .. ':m')
if known > start then return 0 end
if known < start then return redis.error_reply('BADARG members are missing: the group was lost') end

if #fields > 0 then redis.call('HSET', g, unpack(fields)) end
if has['ok:id'] then redis.call('SET', RES .. 'job:msg:' .. has['ok:id'], has['ok:record']) end
for i = first, #ARGV do
  redis.call('RPUSH', g .. ':m', ARGV[i])
  redis.call('SADD', g .. ':p', ARGV[i])
  for id in string.gmatch(ARGV[i], '[^>]+') do
    redis.call('EXPIRE', RES .. 'job:msg:' .. id, 0)         -- a producer has no right to DEL
    redis.call('EXPIRE', RES .. id, 0)
  end
end
local id = redis.call('HGET', g, 'ok:id')
if id then redis.call('EXPIRE', RES .. 'job:msg:' .. id, DAY) end
for _, part in ipairs({'', ':m', ':p'}) do redis.call('EXPIRE', g .. part, DAY) end
if size == 0 then seal(gid) end
return #ARGV - first + 1
