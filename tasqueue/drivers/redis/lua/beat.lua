-- BEAT: a worker's presence in hb is its registration, the value its liveness. Keeps true: a
-- worker that was reaped never comes back under its old ID, only a first beat makes the field. One
-- that was told to stop says so in its record: whoever reaps it then charges nobody.
-- KEYS hb wk   ARGV wid new('1'|'') record leaving('1'|'')
-- Reply: the counter; 0 is fenced: take a new ID.
if ARGV[2] == '1' and redis.call('HSETNX', KEYS[1], ARGV[1], 0) == 1 then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[4] == '1' then
  local record = redis.call('HGET', KEYS[2], ARGV[1]) or ''
  if string.sub(record, -8) ~= '|leaving' then
    redis.call('HSET', KEYS[2], ARGV[1], record .. '|leaving')
  end
end
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
