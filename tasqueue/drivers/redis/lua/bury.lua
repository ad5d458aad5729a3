-- BURY: bytes that are no message go to the dead letters, with the reason. Keeps true: bytes that
-- nobody can read are kept and listable; a worker that lost them cannot bury them.
-- KEYS if dl dx   ARGV token now(ns) reason   Reply: 1 buried, 0 not held.
local is = types()
if not (is(KEYS[1], 'hash') and is(KEYS[2], 'zset') and is(KEYS[3], 'hash')) then
  return bad('a key of the queue')
end
if not tonumber(ARGV[2]) then return redis.error_reply('BADARG now') end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return 0 end
redis.call('ZADD', KEYS[2], ARGV[2], raw)
redis.call('HSET', KEYS[3], redis.sha1hex(raw), ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
