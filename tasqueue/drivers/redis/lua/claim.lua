-- CLAIM: moves the oldest jobs from landing and queue into the in-flight HASH, under tokens
-- '<kind><seq>:<nonce>': kind 's' a suspect, 'c' a convicted job, else none. Keeps true: a job is
-- in one place; a fenced worker gets nothing, and what its late doorbell took goes back; no token
-- repeats even if the counter does; convicted jobs come first and are not run; a suspect is the
-- only thing that its process holds.
-- KEYS queue ld if hb sq su cv sg   ARGV wid nonce max budget(bytes) alone('1': the process holds
--   nothing on its other queues, and asks there for nothing)
-- Reply {'fenced'}, {'drain'} (claim nothing until the process is empty, then ask alone; the first
--   busy worker that sees a suspect is told so, for 30 s; then it is another's turn, or its own
--   again 30 s later), or {'ok', token, raw, …}, oldest first.
local Q, ld, inflight, hb, sq, su, cv, sg = unpack(KEYS)
local wid, nonce, max, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- Copies into the in-flight HASH; the caller drops the originals. The counter is the first thing
-- that is written: if it is none, that raises.
local function hold(kind, found)
  local out, n, format = {'ok'}, #found, string.format
  if n == 0 then return out end
  local seq = redis.call('INCRBY', sq, n) - n
  for i = 1, n do
    out[2 * i] = kind .. format('%d', seq + i) .. ':' .. nonce
    out[2 * i + 1] = found[i]
  end
  redis.call('HSET', inflight, unpack(out, 2))
  return out
end

-- Every job waits for this script, so what is read anyway tells by itself of a wrong type, and
-- types are asked only on the way that is taken rarely.
local known, holds = redis.call('HEXISTS', hb, wid), redis.call('HLEN', inflight)
local alone = holds == 1 and string.sub(redis.call('HKEYS', inflight)[1], 1, 1) == 's'
if known == 0 or alone or redis.call('EXISTS', su, cv) > 0 then
  local is = types()
  if not (is(Q, 'list') and is(ld, 'list') and is(su, 'list') and is(cv, 'list')) then
    return bad('the queue')
  end
  if not (is(sq, 'string') and is(sg, 'string')) then return bad('a key of the queue') end

  local function unland(reply)
    local landed = redis.call('LRANGE', ld, 0, -1)
    for _, raw in ipairs(landed) do redis.call('RPUSH', Q, raw) end
    redis.call('DEL', ld)
    return reply
  end

  if known == 0 then return unland({'fenced'}) end
  if alone then return unland({'drain'}) end
  local convicted = oldest(cv, max, budget)
  if #convicted > 0 then
    local out = hold('c', convicted)
    drop_oldest(cv, #convicted)
    return out
  end
  local suspect = redis.call('LRANGE', su, -1, -1)
  if #suspect > 0 then
    if holds == 0 and ARGV[5] == '1' then
      local out = hold('s', suspect)
      drop_oldest(su, 1)
      redis.call('DEL', sg)
      return unland(out)
    end
    local drains = redis.call('GET', sg)
    local tired = drains and redis.call('PTTL', sg) <= 30000
    if not drains or (tired and drains ~= wid) then
      redis.call('SET', sg, wid, 'PX', 60000)
      return unland({'drain'})
    end
    if drains == wid and not tired then return unland({'drain'}) end
  end
end

local found, size, landing_ends = oldest(ld, max, budget)
local landed = #found
local waited, _, queue_ends = oldest(Q, max - landed, budget - size)
for i = 1, #waited do found[landed + i] = waited[i] end
local out = hold('', found)
drop_oldest(ld, landed, landing_ends)
drop_oldest(Q, #waited, queue_ends)
return out
