-- ENQUEUE: record and message in one step. Keeps true: one call is applied once, however often it
-- is sent and in whichever order the network delivers it. A generated ID needs no trace: a repeat,
-- or a first request that arrives after its repeat, sees the record. A user's ID may be enqueued
-- again, so its call leaves a token of its own for 15 minutes. The last call of a flow seals its
-- groups: none of them can fire before all its jobs are here.
-- KEYS queue ss   ARGV n gid(to be sealed)…, then per job:
--   id call('' = the ID was generated) due record raw
-- Reply per job: 1 pushed; 0 this call was applied before.
local is, out = types(), {}
local queue = KEYS[1]
if not (is(queue, 'list') and is(KEYS[2], 'zset')) then return bad('the queue') end
local first = 2 + tonumber(ARGV[1])
local group_ok = groups(is)
for i = 2, first - 1 do
  if not group_ok(ARGV[i]) then return bad('a key of a group') end
  if redis.call('EXISTS', group_key(ARGV[i])) == 0 then
    return redis.error_reply('BADARG a group that is to be sealed is not open')
  end
end
for i = first, #ARGV, 5 do
  if not open(is, queue, ARGV[i + 2]) then return redis.error_reply('BADARG a due time') end
end
for i = first, #ARGV, 5 do
  local id, call = ARGV[i], ARGV[i + 1]
  local trace = call ~= '' and 'tq:eq:' .. call or RES .. 'job:msg:' .. id
  local before = redis.call('EXISTS', trace) == 1
  if not before then
    push(queue, ARGV[i + 2], id, ARGV[i + 3], ARGV[i + 4])
    if call ~= '' then redis.call('SET', trace, 1, 'EX', 900) end
  end
  out[#out + 1] = before and 0 or 1
end
for i = 2, first - 1 do seal(ARGV[i]) end
return out
