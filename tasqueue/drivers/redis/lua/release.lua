-- RELEASE: gives unstarted jobs back at the old end. Keeps true: their order, and one place a job.
-- KEYS queue if   ARGV tokens, oldest first   Reply: how many went back.
local is, n = types(), 0
if not (is(KEYS[1], 'list') and is(KEYS[2], 'hash')) then return bad('a key of the queue') end
for i = #ARGV, 1, -1 do
  local raw = redis.call('HGET', KEYS[2], ARGV[i])
  if raw then
    redis.call('RPUSH', KEYS[1], raw)
    redis.call('HDEL', KEYS[2], ARGV[i])
    n = n + 1
  end
end
return n
