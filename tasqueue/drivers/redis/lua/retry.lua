-- RETRY: another attempt now or later; the same step sends a job back whose task is known
-- elsewhere. Keeps true: a token becomes exactly one successor; where copies may exist the first
-- decision about those bytes, FINISH or RETRY, is the only one.
-- KEYS if hb cr   ARGV wid, then per job: token id once record has('1'|'') result queue due raw
-- Reply per job as FINISH.
local inflight, hb, cr, wid = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local is, out = types(), {}
if not (is(inflight, 'hash') and is(hb, 'hash') and is(cr, 'hash')) then
  return bad('a key of the queue')
end
local charges = redis.call('EXISTS', cr) == 1
for i = 2, #ARGV, 9 do
  local token, once, queue, due = ARGV[i], ARGV[i + 2], ARGV[i + 6], ARGV[i + 7]
  if redis.call('HEXISTS', inflight, token) == 0 then
    out[#out + 1] = redis.call('HEXISTS', hb, wid) == 1 and 2 or 0
  elseif decided(once) then
    redis.call('HDEL', inflight, token)
    out[#out + 1] = 2
  elseif not open(is, queue, due) then
    out[#out + 1] = -1
  else
    push(queue, due, ARGV[i + 1], ARGV[i + 3], ARGV[i + 8])
    if ARGV[i + 4] == '1' then redis.call('SET', RES .. ARGV[i + 1], ARGV[i + 5]) end
    if charges then acquit(cr, redis.call('HGET', inflight, token)) end
    decide(once)
    redis.call('HDEL', inflight, token)
    out[#out + 1] = 1
  end
end
return out
