-- UNPARK: parked jobs of one task back into the queue, oldest first, at the young end. Keeps true:
-- a job is in one of the two; a name stays listed as long as it has jobs.
-- KEYS list names queue   ARGV task max budget(bytes)   Reply: how many; fewer than are left is fine.
local is = types()
if not (is(KEYS[1], 'list') and is(KEYS[2], 'set') and is(KEYS[3], 'list')) then
  return bad('a key of the queue')
end
local found = oldest(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
if #found > 0 then redis.call('LPUSH', KEYS[3], unpack(found)) end
drop_oldest(KEYS[1], #found)
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return #found
