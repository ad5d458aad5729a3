-- PROMOTE: due jobs from the scheduled set into the queue, earliest first. Keeps true: a job is in
-- one of the two, never in both. The clock is the server's, in ns as text: a Lua number would lose
-- digits on its way to text.
-- KEYS ss queue su cv   ARGV max budget(bytes)
-- Reply {moved, now, score of the next one or '', jobs that wait where no doorbell rings}
local is, ss, queue, su, cv = types(), unpack(KEYS)
if not (is(ss, 'zset') and is(queue, 'list') and is(su, 'list') and is(cv, 'list')) then
  return bad('the queue')
end
local time, max, budget = redis.call('TIME'), tonumber(ARGV[1]), tonumber(ARGV[2])
local now = time[1] .. string.format('%06d', time[2]) .. '000'
local due, size, step = {}, 0, 1
while #due < max and size < budget do
  local n = math.min(step, max - #due)
  local part = redis.call('ZRANGEBYSCORE', ss, '-inf', now, 'LIMIT', #due, n)
  for _, raw in ipairs(part) do
    due[#due + 1] = raw
    size = size + #raw
  end
  if #part < n then break end
  step = math.min(2 * step, 16)
end
if #due > 0 then
  redis.call('LPUSH', queue, unpack(due))
  redis.call('ZREM', ss, unpack(due))
end
local following = redis.call('ZRANGE', ss, 0, 0, 'WITHSCORES')[2] or ''
return {#due, now, following, redis.call('LLEN', su) + redis.call('LLEN', cv)}
