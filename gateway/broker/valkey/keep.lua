-- Keeps a message and passes it on to the group's channel: `common.lua` stands before it.
--
-- KEYS: 3, what the message's idempotency key is remembered by, if it has one.
-- ARGV: 7, most entries that are kept; 8, the group's channel; 9, the message; 10, milliseconds for which
-- the idempotency key is remembered.
-- Gives `epoch offset repeated`.
--
-- What adds comes first: if there is no memory for it, or a key holds something else, nothing has changed.
if KEYS[3] then
  local first = redis.call('GET', KEYS[3])
  if first then
    return first .. ' 1'
  end
end

local function add()
  local before = at
  offset, at = offset + 1, math.max(now, at)
  local gap = offset > 1 and at - before or 0
  local id = offset .. '-' .. at
  return redis.pcall('XADD', entries, 'MAXLEN', '=', ARGV[7], id, 'gap', gap, 'data', ARGV[9])
end

local added = add()
if added.err and string.find(added.err, 'equal or smaller', 1, true) then
  begin() -- somebody else has changed one of the two keys
  added = add()
end
if added.err then -- an id has no such field
  return added
end
note()
drop_old()
redis.call('PEXPIRE', entries, ARGV[5])
redis.call('PEXPIRE', facts, ARGV[6])
local position = epoch .. ' ' .. offset
if KEYS[3] then
  redis.call('SET', KEYS[3], position, 'PX', ARGV[10])
end
redis.call('PUBLISH', ARGV[8], '+' .. position .. '\n' .. ARGV[9])
return position .. ' 0'
