-- PUT: messages into one queue or one scheduled set of a cluster, where a record, its message and
-- what released it lie in different slots. Keeps true: a message arrives once a token, however
-- often its sender repeats the step, as long as it does so within 15 minutes of the last time.
-- KEYS target token …   ARGV 'list'|'zset', then per token: due raw
-- Reply per token: 1 put; 0 it was put before.
local target, is, out = KEYS[1], types(), {}
if not is(target, ARGV[1]) then return bad('the queue') end
for i = 2, #KEYS do
  if ARGV[1] == 'zset' and not tonumber(ARGV[2 * i - 2]) then
    return redis.error_reply('BADARG a due time')
  end
end
for i = 2, #KEYS do
  local due, raw = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local before = redis.call('EXISTS', KEYS[i]) == 1
  if before then
    redis.call('EXPIRE', KEYS[i], 900)
  else
    if ARGV[1] == 'list' then
      redis.call('LPUSH', target, raw)
    else
      redis.call('ZADD', target, due, raw)
    end
    redis.call('SET', KEYS[i], 1, 'EX', 900)
  end
  out[#out + 1] = before and 0 or 1
end
return out
