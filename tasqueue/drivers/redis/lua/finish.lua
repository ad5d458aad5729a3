-- FINISH: the end of a job in one step: released jobs, group, result, record, success or failed
-- list, acknowledgement. Keeps true: only the holder of the token can finish; everything happens
-- once a token, and once for the message's bytes where copies may exist; bytes for the dead letters
-- get there in the same step. Records live for 15 minutes at least, so that a repeated or late
-- ENQUEUE finds them. While anybody waits, the job's channel is told record and result, just as a
-- read would give them now (word.py), or else an empty word; that it may not be spoken on stops
-- nothing.
-- What a batch has in common is asked and written in one command; commands are what a job costs.
-- KEYS if hb dl dx cr   ARGV wid now(ns) db(channels are those of all databases) n, n tokens, then
-- per job:
--   id listing('success'|'failed'|'') record has('1' a result, '' none, '-' never touch that key)
--   result ttl(ms, 0 = for ever) more(0, or how many follow), and if more:
--   once dead member(group ID or '') place(in the group; '' = the job itself)
--   closes(group ID or ''), then per job that is released: queue due id record raw
-- Reply per job: 1 applied; 2 decided before (token gone but I am registered, or another copy was
--   first); 0 fenced; -1 a key has the wrong type: nothing was written, the job is still held.
local inflight, hb, dl, dx, cr = unpack(KEYS)
local wid, now, db, n = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local is, out = types(), {}
if not (is(inflight, 'hash') and is(hb, 'hash') and is(dl, 'zset') and is(dx, 'hash')
    and is(cr, 'hash')) then
  return bad('a key of the queue')
end
if not tonumber(now) then return redis.error_reply('BADARG now') end

local charges = redis.call('EXISTS', cr) == 1
local ears = redis.pcall('PUBSUB', 'SHARDNUMSUB', 'tq:ears')   -- an error has no [2]
local group_ok = groups(is)
local held = redis.call('HMGET', inflight, unpack(ARGV, 5, 4 + n))
local time, moments = redis.call('TIME'), {}
local listed, ended, gone = {success = {}, failed = {}}, {}, {}

-- When what is kept for a while ends, as the server writes it: then SET need not rewrite itself.
local function moment(ttl)
  if not moments[ttl] then
    moments[ttl] = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ttl)
  end
  return moments[ttl]
end

local function keep(key, value, ttl)
  if ttl > 0 then
    redis.call('SET', key, value, 'PXAT', moment(ttl))
  else
    redis.call('SET', key, value)
  end
end

-- What lies under the result's key without having been saved just now is left for a read.
local function word(has, record, result)
  if has ~= '1' or #record + #result > 4096 then return '' end
  return db .. ' ' .. #record .. ' ' .. record .. result
end

local i = 5 + n
for at = 1, n do
  local token, id, listing, record = ARGV[4 + at], ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local has, result, ttl, more = ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local once, dead, gid, place, closes, first, last = '', '', '', '', '', 0, -1
  i = i + 7
  if more ~= '0' then
    once, dead, gid, place, closes = unpack(ARGV, i, i + 4)
    first, last, i = i + 5, i + more - 1, i + more
  end
  local ok = ttl and (listing == '' or (listed[listing] and is(RES .. listing, 'zset')))
    and (gid == '' or group_ok(gid)) and (closes == '' or group_ok(closes))
  for c = first, last, 5 do ok = ok and open(is, ARGV[c], ARGV[c + 1]) end
  local raw = not gone[token] and held[at]
  if not raw then
    out[at] = redis.call('HEXISTS', hb, wid) == 1 and 2 or 0
  elseif decided(once) then
    ended[#ended + 1], gone[token] = token, true
    out[at] = 2
  elseif not ok then
    out[at] = -1
  else
    for c = first, last, 5 do
      push(ARGV[c], ARGV[c + 1], ARGV[c + 2], ARGV[c + 3], ARGV[c + 4])
    end
    if gid ~= '' then
      local failed = listing == 'failed'
      local saved = not failed and has == '1' and result
      if not failed and has == '' and is(RES .. id, 'string') then
        saved = redis.call('GET', RES .. id)               -- what an earlier attempt saved
      end
      member(gid, place, id, failed, saved)
    end
    if has == '1' then
      keep(RES .. id, result, ttl)
    elseif has == '' and ttl > 0 then
      redis.call('PEXPIRE', RES .. id, ttl)                -- what an earlier attempt saved
    end
    keep(RES .. 'job:msg:' .. id, record, ttl > 0 and math.max(ttl, 900000) or 0)
    if listing ~= '' then
      local list = listed[listing]
      list[#list + 1] = now
      list[#list + 1] = id
    end
    if closes ~= '' then close_group(closes) end
    if dead ~= '' then
      redis.call('ZADD', dl, now, raw)
      redis.call('HSET', dx, redis.sha1hex(raw), dead)
    end
    if charges then acquit(cr, raw) end
    decide(once)
    ended[#ended + 1], gone[token] = token, true
    if (ears[2] or 0) > 0 then
      redis.pcall('SPUBLISH', RES .. 'job:msg:' .. id, word(has, record, result))
    end
    out[at] = 1
  end
end
for listing, list in pairs(listed) do
  if #list > 0 then redis.call('ZADD', RES .. listing, unpack(list)) end
end
if #ended > 0 then redis.call('HDEL', inflight, unpack(ended)) end
return out
