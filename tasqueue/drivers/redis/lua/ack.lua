-- ACK: the last step of a job's end in a cluster, when all that lies in other slots is written.
-- Keeps true: only the holder of the token acknowledges; bytes for the dead letters get there in
-- the same step; a job that was decided is charged with nothing any more.
-- KEYS if dl dx cr   ARGV now(ns), then per job: token dead('' or why)
-- Reply per job: 1 acknowledged; 0 not held.
local inflight, dl, dx, cr = unpack(KEYS)
local is, out, now = types(), {}, ARGV[1]
if not (is(inflight, 'hash') and is(dl, 'zset') and is(dx, 'hash') and is(cr, 'hash')) then
  return bad('a key of the queue')
end
if not tonumber(now) then return redis.error_reply('BADARG now') end
local charges = redis.call('EXISTS', cr) == 1
for i = 2, #ARGV, 2 do
  local token, dead = ARGV[i], ARGV[i + 1]
  local raw = redis.call('HGET', inflight, token)
  if raw then
    if dead ~= '' then
      redis.call('ZADD', dl, now, raw)
      redis.call('HSET', dx, redis.sha1hex(raw), dead)
    end
    if charges then acquit(cr, raw) end
    redis.call('HDEL', inflight, token)
  end
  out[#out + 1] = raw and 1 or 0
end
return out
