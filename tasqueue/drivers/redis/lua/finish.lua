-- FINISH: the end of a job in one step: released jobs, group, result, record, success or failed
-- list, acknowledgement. Keeps true: only the holder of the token can finish; everything happens
-- once a token, and once for the message's bytes where copies may exist; bytes for the dead letters
-- get there in the same step. Records live for 15 minutes at least, so that a repeated or late
-- ENQUEUE finds them. While anybody waits, the job's channel is told record and result, just as a
-- read would give them now (word.py), or else an empty word; that it may not be spoken on stops
-- nothing.
-- What a batch has in common is asked and written in one command; commands are what a job costs. A
-- batch does what its jobs would do one after the other; what their groups call comes last, or
-- before a group is closed. Who may not call MSET or MSETEX writes one by one: nothing is refused
-- half way.
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
if not tonumber(now) then return redis.error_reply('BADARG now') end
local held = redis.pcall('HMGET', inflight, unpack(ARGV, 5, 4 + n))
local charged = redis.call('TYPE', cr).ok
if held.err or (charged ~= 'hash' and charged ~= 'none') then return bad('a key of the queue') end

local is, charges = types(), charged == 'hash'
local group_ok = groups(is)
local ears = redis.pcall('PUBSUB', 'SHARDNUMSUB', 'tq:ears')[2] or 0   -- an error has no [2]
local out, ended, gone, lives, listed = {}, {}, {}, {}, {}
local told, marked, heard = {}, {}, {}             -- by group, once-key, channel

local function list_of(listing)
  if listed[listing] == nil then
    local known = listing == 'success' or listing == 'failed'
    listed[listing] = known and is(RES .. listing, 'zset') and {}
  end
  return listed[listing]
end

-- Whether what follows from a job can be written.
local function sound(first, last)
  local dead, gid, closes = ARGV[first + 1], ARGV[first + 2], ARGV[first + 4]
  local ok = (dead == '' or is(dl, 'zset') and is(dx, 'hash'))
    and (gid == '' or group_ok(gid)) and (closes == '' or group_ok(closes))
  for c = first + 5, last, 5 do ok = ok and open(is, ARGV[c], ARGV[c + 1]) end
  return ok
end

-- What lies under the result's key without having been saved just now is left for a read.
local function word(has, record, result)
  if has ~= '1' or #record + #result > 4096 then return '' end
  return db .. ' ' .. #record .. ' ' .. record .. result
end

-- When what is kept for a while ends, as the server writes it: then SET need not rewrite itself.
local moments = {}
local function moment(ttl)
  if not moments[ttl] then
    local time = redis.call('TIME')
    moments[ttl] = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ttl)
  end
  return moments[ttl]
end

-- MSETEX is in Redis 8.4 and Valkey 9.1, if this user may call it.
local msetex = redis.REDIS_VERSION_NUM >= 0x080400 or (redis.VALKEY_VERSION_NUM or 0) >= 0x090100

-- Strings to be written together. Called with one it adds that; called without, it writes them all,
-- and before one with another time to live.
local function pile()
  local list, n, life = {}, 0, 0
  local function write()
    if n == 0 then return end
    if life == 0 then
      if redis.pcall('MSET', unpack(list, 1, n)).err then
        for k = 1, n, 2 do redis.call('SET', list[k], list[k + 1]) end
      end
    else
      list[n + 1], list[n + 2] = 'PXAT', moment(life)
      if not msetex or redis.pcall('MSETEX', n / 2, unpack(list, 1, n + 2)) ~= 1 then
        for k = 1, n, 2 do redis.call('SET', list[k], list[k + 1], 'PXAT', moment(life)) end
      end
    end
    n = 0
  end
  return function(key, value, ttl)
    if not key then return write() end
    if ttl ~= life then
      write()
      life = ttl
    end
    list[n + 1], list[n + 2] = key, value
    n = n + 2
  end
end

local i, records, brief = 5 + n, pile(), pile()
local function write()
  brief()
  records()
end

-- Takes what ended so far out of its groups.
local function tell()
  if not next(told) then return end
  write()
  for gid, members in pairs(told) do take(gid, members) end
  told = {}
end

for at = 1, n do
  local token, id, listing, record = ARGV[4 + at], ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local has, result, ttl, more = ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local first, last = i + 7, i + 6 + more
  local raw, list = not gone[token] and held[at], listing ~= '' and list_of(listing)
  local once, dead, gid, place, closes = '', '', '', '', ''
  if first <= last then once, dead, gid, place, closes = unpack(ARGV, first, first + 4) end
  if not raw then
    local registered = redis.pcall('HEXISTS', hb, wid)
    out[at] = registered == 1 and 2 or registered == 0 and 0 or -1
  elseif marked[once] or decided(once) then
    ended[#ended + 1], gone[token] = token, true
    out[at] = 2
  elseif not ttl or (listing ~= '' and not list) or (first <= last and not sound(first, last)) then
    out[at] = -1
  else
    local keeps = ttl > 0 and math.max(ttl, 900000) or 0
    if lives[id] then write() end
    for c = first + 5, last, 5 do
      if lives[ARGV[c + 2]] then write() end
      push(unpack(ARGV, c, c + 4))
    end
    if gid ~= '' then
      local failed = listing == 'failed'
      local saved = not failed and has == '1' and result
      if not failed and has == '' and is(RES .. id, 'string') then
        saved = redis.call('GET', RES .. id)                 -- what an earlier attempt saved
      end
      told[gid] = told[gid] or {}
      note(told[gid], gid, place, id, failed, saved)
    end
    if closes ~= '' then tell() end
    if has == '1' then
      (keeps == ttl and records or brief)(RES .. id, result, ttl)
    elseif has == '' and ttl > 0 then
      redis.call('PEXPIRE', RES .. id, ttl)                  -- what an earlier attempt saved
    end
    records(RES .. 'job:msg:' .. id, record, keeps)
    if list then
      list[#list + 1] = now
      list[#list + 1] = id
    end
    if closes ~= '' then close_group(closes) end
    if dead ~= '' then
      redis.call('ZADD', dl, now, raw)
      redis.call('HSET', dx, redis.sha1hex(raw), dead)
    end
    if charges then acquit(cr, raw) end
    if once ~= '' then marked[once] = true end
    ended[#ended + 1], gone[token], lives[id] = token, true, true
    if ears > 0 then heard[RES .. 'job:msg:' .. id] = word(has, record, result) end
    out[at] = 1
  end
  i = last + 1
end

write()
for listing, list in pairs(listed) do
  if list and #list > 0 then redis.call('ZADD', RES .. listing, unpack(list)) end
end
tell()
for once in pairs(marked) do decide(once) end
for channel, said in pairs(heard) do redis.pcall('SPUBLISH', channel, said) end
if #ended > 0 then redis.call('HDEL', inflight, unpack(ended)) end
return out
