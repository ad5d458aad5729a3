-- CLAIM: moves the oldest jobs from landing and queue into the in-flight HASH, under tokens
-- '<kind><seq>:<nonce>' (the kind is empty for now). Keeps true: a job is in one place; a fenced
-- worker gets nothing, and what its late doorbell took goes back; no token repeats even if the
-- counter does.
-- KEYS queue ld if hb sq   ARGV wid nonce max budget(bytes)
-- Reply {'fenced'} or {'ok', token, raw, …}, oldest first.
local Q, ld, inflight, hb, sq = unpack(KEYS)
local wid, nonce, max, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local is = types()
if not (is(Q, 'list') and is(ld, 'list')) then return bad('the queue') end
if not (is(inflight, 'hash') and is(hb, 'hash') and is(sq, 'string')) then
  return bad('a key of the queue')
end

if redis.call('HEXISTS', hb, wid) == 0 then
  local landed = redis.call('LRANGE', ld, 0, -1)
  for _, raw in ipairs(landed) do redis.call('RPUSH', Q, raw) end
  redis.call('DEL', ld)
  return {'fenced'}
end

local landed, size = oldest(ld, max, budget)
local waiting = oldest(Q, max - #landed, budget - size)
local n = #landed + #waiting
local out, fields = {'ok'}, {}
if n == 0 then return out end
local seq = redis.call('INCRBY', sq, n) - n
for i = 1, n do
  local token = string.format('%.0f', seq + i) .. ':' .. nonce
  local raw = landed[i] or waiting[i - #landed]
  fields[2 * i - 1], fields[2 * i] = token, raw
  out[2 * i], out[2 * i + 1] = token, raw
end
redis.call('HSET', inflight, unpack(fields))
drop_oldest(ld, #landed)
drop_oldest(Q, #waiting)
return out
