-- REAP: ends a worker and puts everything it held back, oldest at the old end. Keeps true: compare
-- and set on the beat counter, so nobody who beat since is reaped; the tombstone lets the landing
-- be swept again, since a doorbell that was still blocked may ring after this.
-- KEYS queue hb wk if ld tb   ARGV wid seen why
--   why 'exit' (the worker itself, in good order), 'host' (its lease is over, or its process is
--   gone), 'child' (its supervisor saw it end: no beat can follow), 'orphan' (a tombstone, or no
--   beats: the worker must be absent).
--   seen: the counter that was seen, for 'host'.
-- Reply: -1 not reaped, else how many jobs went back.
local Q, hb, wk, inflight, ld, tb = unpack(KEYS)
local wid, seen, why = ARGV[1], ARGV[2], ARGV[3]
local is = types()
if not (is(Q, 'list') and is(hb, 'hash') and is(wk, 'hash') and is(inflight, 'hash')
    and is(ld, 'list') and is(tb, 'zset')) then
  return bad('a key of the queue')
end
local beat = redis.call('HGET', hb, wid)
if why == 'orphan' then
  if beat then return -1 end
elseif not beat or (why == 'host' and beat ~= seen) then
  return -1
end

local jobs, flat = {}, redis.call('HGETALL', inflight)
for i = 1, #flat, 2 do
  jobs[#jobs + 1] = {tonumber(string.match(flat[i], '%d+')) or 0, flat[i + 1], flat[i]}
end
table.sort(jobs, function(x, y) return x[1] > y[1] or (x[1] == y[1] and x[3] > y[3]) end)
local landed = redis.call('LRANGE', ld, 0, -1)
for _, raw in ipairs(landed) do redis.call('RPUSH', Q, raw) end
for _, job in ipairs(jobs) do redis.call('RPUSH', Q, job[2]) end
redis.call('DEL', inflight, ld)
redis.call('HDEL', hb, wid)
redis.call('HDEL', wk, wid)
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', tb, '-inf', now - 3600)
redis.call('ZADD', tb, 'NX', now, wid)
redis.call('EXPIRE', tb, 7200)
return #jobs + #landed
