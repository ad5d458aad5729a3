-- ENQUEUE: record and message in one step. Keeps true: one call is applied once, however often it
-- is sent and in whichever order the network delivers it. A generated ID needs no trace: a repeat,
-- or a first request that arrives after its repeat, sees the record. A user's ID may be enqueued
-- again, so its call leaves a token of its own for 15 minutes. Either is written only where it is not
-- yet (NX), which is the question and the trace in one command; nothing after it can fail. The last call of a flow seals its
-- groups: none of them can fire before all its jobs are here.
-- KEYS queue ss, or none where there are no jobs   ARGV n gid(to be sealed)…, then per job:
--   id call('' = the ID was generated) due record raw
-- Reply per job: 1 pushed; 0 this call was applied before.
local is, out = types(), {}
local queue = KEYS[1]
if queue and not is(queue, 'list') then return bad('the queue') end
local first = 2 + tonumber(ARGV[1])
local group_ok = groups(is)
for i = 2, first - 1 do
  if not group_ok(ARGV[i]) then return bad('a key of a group') end
  if redis.call('EXISTS', group_key(ARGV[i])) == 0 then
    return redis.error_reply('BADARG a group that is to be sealed is not open')
  end
end
for i = first, #ARGV, 5 do
  local due = ARGV[i + 2]
  if due ~= '' then
    if not tonumber(due) then return redis.error_reply('BADARG a due time') end
    if not is(KEYS[2], 'zset') then return bad('the scheduled set') end
  end
end
-- Whether a call comes for the first time; then its trace is left. A record is a trace by itself.
local function fresh(id, call, record)
  if call ~= '' then return redis.call('SET', 'tq:eq:' .. call, 1, 'NX', 'EX', 900), record end
  if record == '' then return redis.call('EXISTS', RES .. 'job:msg:' .. id) == 0, '' end
  return redis.call('SET', RES .. 'job:msg:' .. id, record, 'NX'), ''
end
for i = first, #ARGV, 5 do
  local is_new, record = fresh(ARGV[i], ARGV[i + 1], ARGV[i + 3])
  if is_new then push(queue, ARGV[i + 2], ARGV[i], record, ARGV[i + 4]) end
  out[#out + 1] = is_new and 1 or 0
end
for i = 2, first - 1 do seal(ARGV[i]) end
return out
