-- ENQUEUE: record and message in one step. Keeps true: one call is applied once, however often it
-- is sent and in whichever order the network delivers it. A generated ID needs no trace: a repeat,
-- or a first request that arrives after its repeat, sees the record. A user's ID may be enqueued
-- again, so its call leaves a token of its own for 15 minutes. Either is written only where it is not
-- yet (NX), which is the question and the trace in one command; nothing after it can fail. All records
-- of a call come before its messages, these in their order. The last call of a flow seals its
-- groups: none of them can fire before all its jobs are here.
-- A call of many writes its records, its LIST and its ZSET by one command each: commands are what a
-- job costs. A job that comes alone, the commonest call, gets no table or function that it does not
-- need: types() alone costs half a command.
-- KEYS queue ss, or none where there are no jobs   ARGV n gid(to be sealed)…, then per job:
--   id call('' = the ID was generated) due record raw
-- Reply per job: 1 pushed; 0 this call was applied before.
local queue, ss, first, last = KEYS[1], KEYS[2], 2 + ARGV[1], #ARGV
local many, is = last > first + 4, first > 2 and types() or typed
-- The caller sends 200 jobs at most (MAX_ITEMS); unpack() fails above some 7,900 values.
if last > 5000 then return redis.error_reply('BADARG too many jobs') end
if queue and not is(queue, 'list') then return bad('the queue') end
local late
for i = first + 2, last, 5 do
  if ARGV[i] ~= '' then
    if not tonumber(ARGV[i]) then return redis.error_reply('BADARG a due time') end
    late = true
  end
end
if late and not is(ss, 'zset') then return bad('the scheduled set') end
if first > 2 then
  local group_ok = groups(is)
  for i = 2, first - 1 do
    if not group_ok(ARGV[i]) then return bad('a key of a group') end
    if redis.call('EXISTS', group_key(ARGV[i])) == 0 then
      return redis.error_reply('BADARG a group that is to be sealed is not open')
    end
  end
end

-- Where all IDs were generated and are new, which is the rule, one command says so and writes the
-- records. An ID that comes twice in a call must not count twice; a producer may have no right to it.
local all_new = false
if many then
  local records, seen = {}, {}
  for i = first, last, 5 do
    local id, call, record = ARGV[i], ARGV[i + 1], ARGV[i + 3]
    if call ~= '' or record == '' or seen[id] then
      records = nil
      break
    end
    seen[id] = true
    local n = #records
    records[n + 1], records[n + 2] = RES .. 'job:msg:' .. id, record
  end
  all_new = records and redis.pcall('MSETNX', unpack(records)) == 1
end

local out, list, set = {}, many and {}, late and {}
for i = first, last, 5 do
  local call, due, raw, is_new = ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], all_new
  if not all_new then
    local key, record = RES .. 'job:msg:' .. ARGV[i], ARGV[i + 3]
    if call ~= '' then
      is_new = redis.call('SET', 'tq:eq:' .. call, 1, 'NX', 'EX', 900)
      if is_new and record ~= '' then redis.call('SET', key, record) end
    elseif record ~= '' then
      is_new = redis.call('SET', key, record, 'NX')
    else
      is_new = redis.call('EXISTS', key) == 0
    end
  end
  out[#out + 1] = is_new and 1 or 0
  if is_new and due ~= '' then
    set[#set + 1], set[#set + 2] = due, raw
  elseif is_new and many then
    list[#list + 1] = raw
  elseif is_new then
    redis.call('LPUSH', queue, raw)
  end
end
if many and #list > 0 then redis.call('LPUSH', queue, unpack(list)) end
if late and #set > 0 then redis.call('ZADD', ss, unpack(set)) end
for i = 2, first - 1 do seal(ARGV[i]) end
return out
