-- RELEASE: gives unstarted jobs back at the old end. Keeps true: their order, one place a job, and a
-- suspect stays one.
-- KEYS queue if su cv   ARGV tokens, oldest first   Reply: how many went back.
local is, n = types(), 0
if not (is(KEYS[1], 'list') and is(KEYS[2], 'hash') and is(KEYS[3], 'list')
    and is(KEYS[4], 'list')) then
  return bad('a key of the queue')
end
for i = #ARGV, 1, -1 do
  local raw = redis.call('HGET', KEYS[2], ARGV[i])
  if raw then
    give_back(ARGV[i], raw, KEYS[1], KEYS[3], KEYS[4])
    redis.call('HDEL', KEYS[2], ARGV[i])
    n = n + 1
  end
end
return n
