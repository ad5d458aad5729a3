-- Shared by every script. Keeps true: a script raises before its first write, or not at all.
-- Callers ask the types of LIST, ZSET and HASH keys, or read them, and look at numbers first; SET,
-- MSET, EXISTS and DEL cannot raise on a type. Within a script the order is always: copy first
-- (push, status, result), then mark as decided, and delete the token last.
local RES, DAY = 'tq:res:', 86400

-- Asks whether a key has a type or is absent; one memory a call, so a batch asks each key once. An
-- absent key is taken for what the first who asks will make of it: a queue may have the name of
-- another's scheduled set, and whoever asks for both must be told before either is written.
local function types()
  local seen = {}
  return function(key, want)
    local kind = seen[key]
    if not kind then
      kind = redis.call('TYPE', key).ok
      if kind == 'none' then kind = want end
      seen[key] = kind
    end
    return kind == want
  end
end

-- The same without a memory, which is most of what types() costs: for who asks of no key twice.
local function typed(key, want)
  local kind = redis.call('TYPE', key).ok
  return kind == want or kind == 'none'
end

local function bad(what)
  return redis.error_reply('BADKEY ' .. what .. ' does not have the type that Tasqueue gives it')
end

-- Whether a message may go to a queue: its key has the right type and its due time is a number.
local function open(is, queue, due)
  if due == '' then return is(queue, 'list') end
  return tonumber(due) ~= nil and is('tasqueue:ss:' .. queue, 'zset')
end

local function push(queue, due, id, record, raw)
  if record ~= '' then redis.call('SET', RES .. 'job:msg:' .. id, record) end
  if due == '' then
    redis.call('LPUSH', queue, raw)
  else
    redis.call('ZADD', 'tasqueue:ss:' .. queue, due, raw)
  end
end

-- The messages at the old (right) end of a LIST, oldest first; their bytes; and whether there are
-- no more. Steps that end at 3, 7, 15 … and grow to 16 keep the overshoot of the byte budget small;
-- the first message comes whatever its size, and alone if it fills the budget.
local function oldest(list, max, budget)
  local found, n, size = {}, 0, 0
  while n < max and size < budget do
    local last = math.min(n == 0 and 3 or 2 * n + 1, n + 16, max)
    local part = redis.pcall('LRANGE', list, -last, -n - 1)
    if part.err then
      error(string.find(part.err, '^WRONGTYPE') and bad('a list of the queue') or part)
    end
    for i = #part, 1, -1 do
      n = n + 1
      found[n] = part[i]
      size = size + #part[i]
      if n == 1 and size >= budget then return found, size, false end
    end
    if n < last then return found, size, true end
  end
  return found, size, false
end

-- What took a LIST whole says so: to delete it costs less.
local function drop_oldest(list, n, whole)
  if n == 0 then return end
  if whole then redis.call('DEL', list) else redis.call('LTRIM', list, 0, -(n + 1)) end
end

-- A token says how its job was claimed: 's…' as a suspect, 'c…' convicted, otherwise plainly. The
-- job goes back where it came from, to the old end.
local function give_back(token, raw, queue, suspects, convicts)
  local kind = string.sub(token, 1, 1)
  redis.call('RPUSH', kind == 's' and suspects or kind == 'c' and convicts or queue, raw)
end

-- A message that was decided, however, is charged with nothing any more.
local function acquit(charges, raw)
  local sha = redis.sha1hex(raw)
  redis.call('HDEL', charges, 'h' .. sha, 'c' .. sha)
end

-- Whether these bytes were decided before; the name is '' where no copies can exist.
local function decided(once)
  return once ~= '' and redis.call('EXISTS', 'tq:once:' .. once) == 1
end

local function decide(once)
  if once ~= '' then redis.call('SET', 'tq:once:' .. once, 1, 'EX', DAY) end
end
