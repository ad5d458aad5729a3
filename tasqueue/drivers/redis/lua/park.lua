-- PARK: keeps a job whose task nobody registers, one LIST a task. Keeps true: nothing is dropped
-- for an unknown name, and looking for jobs to release costs one SMEMBERS however many are parked.
-- KEYS if names list   ARGV token task   Reply: 1 parked, 0 not held.
local is = types()
if not (is(KEYS[1], 'hash') and is(KEYS[2], 'set') and is(KEYS[3], 'list')) then
  return bad('a key of the queue')
end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return 0 end
redis.call('LPUSH', KEYS[3], raw)
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
