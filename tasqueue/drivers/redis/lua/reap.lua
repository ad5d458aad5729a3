-- REAP: ends a worker and puts everything it held back, oldest at the old end. Keeps true: compare
-- and set on the beat counter, so nobody who beat since is reaped; the tombstone lets the landing
-- be swept again, since a doorbell that was still blocked may ring after this. What a child had
-- begun when it died is a suspect, and so is what was held on two lost hosts; only a suspect that
-- was the one job of its process is charged, and convicted at 12 points: a crowd proves nothing.
-- KEYS queue hb wk if ld tb cr su cv   ARGV wid seen why points begun tokens …
--   why 'exit' (the worker itself, in good order), 'host' (its lease is over, or its process is
--   gone), 'child' (its supervisor saw it end: no beat can follow), 'orphan' (a tombstone, or no
--   beats: the worker must be absent).
--   seen: the counter that was seen, for 'host'. points: what a suspect is charged with if it was
--   the one job; 0 for 'child' if the process held jobs of other queues, which this call cannot
--   see; 0 for 'host' if the worker was told to stop: that it is gone is no loss then.
-- Reply: -1 not reaped, else how many jobs it held.
local Q, hb, wk, inflight, ld, tb, cr, su, cv = unpack(KEYS)
local wid, seen, why, points = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local is = types()
if not (is(Q, 'list') and is(hb, 'hash') and is(wk, 'hash') and is(inflight, 'hash')
    and is(ld, 'list') and is(tb, 'zset') and is(cr, 'hash') and is(su, 'list')
    and is(cv, 'list')) then
  return bad('a key of the queue')
end
local beat = redis.call('HGET', hb, wid)
if why == 'orphan' then
  if beat then return -1 end
elseif not beat or (why == 'host' and beat ~= seen) then
  return -1
end

local begun = {}
for i = 5, #ARGV do begun[ARGV[i]] = true end
local jobs, flat = {}, redis.call('HGETALL', inflight)
for i = 1, #flat, 2 do
  jobs[#jobs + 1] = {tonumber(string.match(flat[i], '%d+')) or 0, flat[i + 1], flat[i]}
end
table.sort(jobs, function(x, y) return x[1] > y[1] or (x[1] == y[1] and x[3] > y[3]) end)

local function charge(field, more)
  local sum = (tonumber(redis.call('HGET', cr, field)) or 0) + more
  redis.call('HSET', cr, field, string.format('%.0f', sum))
  redis.call('EXPIRE', cr, 7 * DAY)
  return sum
end

-- Where a job goes that its worker had when it died.
local function put_back(token, raw)
  local kind = string.sub(token, 1, 1)
  local guilty = why == 'child' and begun[token]
  if kind == 's' and #jobs == 1 then
    local charged = (guilty or why == 'host') and points > 0
    if charged and charge('c' .. redis.sha1hex(raw), points) >= 12 then
      return redis.call('RPUSH', cv, raw)
    end
  elseif kind ~= 's' and kind ~= 'c' then
    local lost = why == 'host' and points > 0
    if guilty or (lost and charge('h' .. redis.sha1hex(raw), 1) >= 2) then
      return redis.call('RPUSH', su, raw)
    end
  end
  give_back(token, raw, Q, su, cv)
end

local landed = redis.call('LRANGE', ld, 0, -1)
for _, raw in ipairs(landed) do redis.call('RPUSH', Q, raw) end
for _, job in ipairs(jobs) do put_back(job[3], job[2]) end
redis.call('DEL', inflight, ld)
redis.call('HDEL', hb, wid)
redis.call('HDEL', wk, wid)
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', tb, '-inf', now - 3600)
redis.call('ZADD', tb, 'NX', now, wid)
redis.call('EXPIRE', tb, 7200)
return #jobs + #landed
