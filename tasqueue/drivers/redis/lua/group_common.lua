-- Shared by the scripts that end members of groups. Keeps true: a group calls its callback once
-- (field 'fired'), never before it is sealed; what an open group needs has no TTL, what is left of
-- one that ended, or was never sealed, has one.
-- A group lies under tq:gp:{gid}: a HASH (its callbacks and flags), :m LIST of its members in
-- order, :p SET of the open and :f SET of the failed ones, :r HASH of what they saved. A member is
-- the ID of its job, or the path a>b>c of jobs that must all succeed.
local OPEN = 'tq:gp:open'

local function group_key(gid) return 'tq:gp:{' .. gid .. '}' end

-- Like types(), for all that the end of a group may write; it asks once a group and call.
local function groups(is)
  local seen, check = {}, nil
  local function goes(queue, due) return not queue or open(is, queue, due) end
  check = function(gid)
    if seen[gid] == nil then
      local g = group_key(gid)
      seen[gid] = is(g, 'hash') and is(g .. ':m', 'list') and is(g .. ':p', 'set')
        and is(g .. ':f', 'set') and is(g .. ':r', 'hash') and is(OPEN, 'set')
        and is(RES .. 'failed', 'zset')
      if seen[gid] then
        local has = redis.call('HMGET', g, 'ok:queue', 'ok:due', 'bad:queue', 'bad:due', 'up:gid')
        seen[gid] = goes(has[1], has[2]) and goes(has[3], has[4]) and (not has[5] or check(has[5]))
      end
    end
    return seen[gid]
  end
  return check
end

-- Nobody needs a group any more. What stays for a while says that it was there and has fired.
local function close_group(gid)
  local g = group_key(gid)
  redis.call('UNLINK', g, g .. ':m', g .. ':p', g .. ':f', g .. ':r')
  redis.call('HSET', g, 'sealed', 1, 'fired', 1)
  redis.call('EXPIRE', g, 900)
  redis.call('SREM', OPEN, gid)
end

local fire

-- Takes ended members out, each once; what they saved is kept for the callback. ended: per member
-- name failed saved(false = nothing). Returns how many were open.
local function take(gid, ended)
  if #ended == 0 then return 0 end
  local g, names, seen = group_key(gid), {}, {}
  for at = 1, #ended, 3 do names[#names + 1] = ended[at] end
  local was_open = redis.pcall('SMISMEMBER', g .. ':p', unpack(names))
  if was_open.err then                                       -- this user may not call it
    for at, name in ipairs(names) do was_open[at] = redis.call('SISMEMBER', g .. ':p', name) end
  end
  local out, failed, saved = {}, {}, {}
  for at, name in ipairs(names) do
    if was_open[at] == 1 and not seen[name] then
      seen[name], out[#out + 1] = true, name
      if ended[3 * at - 1] then failed[#failed + 1] = name end
      if ended[3 * at] then
        saved[#saved + 1] = name
        saved[#saved + 1] = ended[3 * at]
      end
    end
  end
  if #out == 0 then return 0 end
  if #failed > 0 then redis.call('SADD', g .. ':f', unpack(failed)) end
  if #saved > 0 then redis.call('HSET', g .. ':r', unpack(saved)) end
  redis.call('SREM', g .. ':p', unpack(out))
  if redis.call('HEXISTS', g, 'sealed') == 0 then
    redis.call('EXPIRE', g .. ':f', DAY)
    redis.call('EXPIRE', g .. ':r', DAY)
  end
  fire(gid)
  return #out
end

-- Notes an ended job of a member for take. place '': the job is the member by itself; else where
-- its path is in m.
local function note(ended, gid, place, id, failed, saved)
  local name = id
  if place ~= '' then
    name = redis.call('LINDEX', group_key(gid) .. ':m', place)
    if not name then return end
    if not failed and string.match(name, '[^>]*$') ~= id then return end
  end
  local n = #ended
  ended[n + 1], ended[n + 2], ended[n + 3] = name, failed, saved or false
end

-- The callback of a failed group will not come: whoever waits for it is told, and the group that
-- it is a member of.
local function fail_callback(g)
  local has = redis.call('HMGET', g, 'ok:id', 'never', 'ttl', 'up:gid', 'up:place')
  local id, record, ttl = has[1], has[2], tonumber(has[3]) or 0
  if not id then return end
  local time = redis.call('TIME')
  if ttl > 0 then
    redis.call('SET', RES .. 'job:msg:' .. id, record, 'PX', ttl)
  else
    redis.call('SET', RES .. 'job:msg:' .. id, record)
  end
  redis.call('ZADD', RES .. 'failed', time[1] .. string.format('%06d', time[2]) .. '000', id)
  if has[4] then
    local ended = {}
    note(ended, has[4], has[5], id, true)
    take(has[4], ended)
  end
end

-- Calls the callback of a sealed group without open members.
fire = function(gid)
  local g = group_key(gid)
  if redis.call('SCARD', g .. ':p') > 0 then return end
  local has = redis.call('HMGET', g, 'sealed', 'fired')
  if not has[1] or has[2] then return end
  local failed = redis.call('SCARD', g .. ':f') > 0
  local side = failed and 'bad:' or 'ok:'
  local to = redis.call('HMGET', g, side .. 'queue', side .. 'due', side .. 'id',
    side .. 'record', side .. 'raw')
  if to[1] then push(to[1], to[2], to[3], to[4], to[5]) end
  redis.call('HSET', g, 'fired', 1)
  if failed then fail_callback(g) end
  if not to[1] then close_group(gid) end
end

-- All members are known and on their way: from now on the group may fire.
local function seal(gid)
  local g = group_key(gid)
  if redis.call('HEXISTS', g, 'sealed') == 1 then return end
  redis.call('HSET', g, 'sealed', 1)
  for _, part in ipairs({'', ':m', ':p', ':f', ':r'}) do redis.call('PERSIST', g .. part) end
  local id = redis.call('HGET', g, 'ok:id')
  if id then redis.call('PERSIST', RES .. 'job:msg:' .. id) end
  redis.call('SADD', OPEN, gid)
  fire(gid)
end
