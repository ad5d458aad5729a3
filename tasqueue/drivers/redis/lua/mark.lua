-- MARK: 'processing' records, in batches. Keeps true: the record of a job that is no longer held
-- is never overwritten, nor that of a job which a copy of its message has ended.
-- KEYS if   ARGV per job: token id record once   Reply: how many were written.
local n = 0
for i = 1, #ARGV, 4 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 and not decided(ARGV[i + 3]) then
    redis.call('SET', RES .. 'job:msg:' .. ARGV[i + 1], ARGV[i + 2])
    n = n + 1
  end
end
return n
