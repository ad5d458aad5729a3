-- FINISH: the end of a job in one step: released jobs, group, result, record, success or failed
-- list, acknowledgement. Keeps true: only the holder of the token can finish; everything happens
-- once a token, and once for the message's bytes where copies may exist; bytes for the dead letters
-- get there in the same step. Records live for 15 minutes at least, so that a repeated or late
-- ENQUEUE finds them. While anybody waits, the job's channel is told; that it may not be spoken on
-- stops nothing.
-- KEYS if hb dl dx cr   ARGV wid now(ns), then per job:
--   token id once listing('success'|'failed'|'') record has('1' a result, '' none, '-' never
--   touch that key) result ttl(ms, 0 = for ever) dead member(group ID or '')
--   place(in the group; '' = the job itself) closes(group ID or '')
--   k, then k × (queue due id record raw)
-- Reply per job: 1 applied; 2 decided before (token gone but I am registered, or another copy was
--   first); 0 fenced; -1 a key has the wrong type: nothing was written, the job is still held.
local inflight, hb, dl, dx, cr = unpack(KEYS)
local wid, now = ARGV[1], ARGV[2]
local is, out, i = types(), {}, 3
if not (is(inflight, 'hash') and is(hb, 'hash') and is(dl, 'zset') and is(dx, 'hash')
    and is(cr, 'hash')) then
  return bad('a key of the queue')
end
if not tonumber(now) then return redis.error_reply('BADARG now') end

local charges = redis.call('EXISTS', cr) == 1
local ears = redis.pcall('PUBSUB', 'SHARDNUMSUB', 'tq:ears')   -- an error has no [2]
local group_ok = groups(is)
local function keep(key, value, ttl)
  if ttl > 0 then redis.call('SET', key, value, 'PX', ttl) else redis.call('SET', key, value) end
end

while i <= #ARGV do
  local token, id, once, listing = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local ttl, dead, first, k = tonumber(ARGV[i + 7]), ARGV[i + 8], i + 13, tonumber(ARGV[i + 12])
  local gid, closes = ARGV[i + 9], ARGV[i + 11]
  local last = first + 5 * k - 1
  local ok = ttl and (listing == '' or is(RES .. listing, 'zset'))
    and (gid == '' or group_ok(gid)) and (closes == '' or group_ok(closes))
  for c = first, last, 5 do ok = ok and open(is, ARGV[c], ARGV[c + 1]) end
  local raw = redis.call('HGET', inflight, token)
  if not raw then
    out[#out + 1] = redis.call('HEXISTS', hb, wid) == 1 and 2 or 0
  elseif decided(once) then
    redis.call('HDEL', inflight, token)
    out[#out + 1] = 2
  elseif not ok then
    out[#out + 1] = -1
  else
    for c = first, last, 5 do
      push(ARGV[c], ARGV[c + 1], ARGV[c + 2], ARGV[c + 3], ARGV[c + 4])
    end
    if gid ~= '' then
      local failed = listing == 'failed'
      local saved = failed and ARGV[i + 4] or ARGV[i + 5] == '1' and ARGV[i + 6]
      if not saved and ARGV[i + 5] == '' and is(RES .. id, 'string') then
        saved = redis.call('GET', RES .. id)               -- what an earlier attempt saved
      end
      member(gid, ARGV[i + 10], id, failed, saved)
    end
    if ARGV[i + 5] == '1' then
      keep(RES .. id, ARGV[i + 6], ttl)
    elseif ARGV[i + 5] == '' and ttl > 0 then
      redis.call('PEXPIRE', RES .. id, ttl)                -- what an earlier attempt saved
    end
    keep(RES .. 'job:msg:' .. id, ARGV[i + 4], ttl > 0 and math.max(ttl, 900000) or 0)
    if listing ~= '' then redis.call('ZADD', RES .. listing, now, id) end
    if closes ~= '' then close_group(closes) end
    if dead ~= '' then
      redis.call('ZADD', dl, now, raw)
      redis.call('HSET', dx, redis.sha1hex(raw), dead)
    end
    if charges then acquit(cr, raw) end
    decide(once)
    redis.call('HDEL', inflight, token)
    if (ears[2] or 0) > 0 then redis.pcall('SPUBLISH', RES .. 'job:msg:' .. id, '') end
    out[#out + 1] = 1
  end
  i = last + 1
end
return out
