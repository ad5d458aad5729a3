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

-- Takes an ended member out, by its name; what it saved is kept for the callback.
local function take(gid, name, failed, saved)
  local g = group_key(gid)
  if redis.call('SISMEMBER', g .. ':p', name) == 0 then return 0 end
  if failed then redis.call('SADD', g .. ':f', name) end
  if saved then redis.call('HSET', g .. ':r', name, saved) end
  redis.call('SREM', g .. ':p', name)
  if redis.call('HEXISTS', g, 'sealed') == 0 then
    redis.call('EXPIRE', g .. ':f', DAY)
    redis.call('EXPIRE', g .. ':r', DAY)
  end
  fire(gid)
  return 1
end

-- An ended job of a member. place '': the job is the member by itself; else where its path is in m.
local function member(gid, place, id, failed, saved)
  local name = id
  if place ~= '' then
    name = redis.call('LINDEX', group_key(gid) .. ':m', place)
    if not name then return end
    if not failed and string.match(name, '[^>]*$') ~= id then return end
  end
  take(gid, name, failed, saved)
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
  if has[4] then member(has[4], has[5], id, true) end
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
