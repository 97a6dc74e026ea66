-- What both scripts do first: find the group's history as it stands, or begin a new one.
--
-- KEYS: the group's facts; its entries.
-- ARGV: 1 and 2, the server's run and line; 3, whether its data outlives a run; 4, an epoch never used before;
-- 5 and 6, milliseconds for which entries and facts are kept.
--
-- An entry's id is `offset-time`. Offsets grow by one, so an entry's place is found without a search, and one
-- that is missing shows in their number. An entry says how long after the one before it it came, so that
-- the time of one that is kept no longer is known.
local facts, entries = KEYS[1], KEYS[2]
local keep, clock = tonumber(ARGV[5]), redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', facts, 'epoch', 'offset', 'at', 'run', 'line')
local epoch, offset, at = found[1], tonumber(found[2]), tonumber(found[3])
local run, line = ARGV[1], ARGV[2]

local function begin()
  epoch, offset, at = ARGV[4], 0, 0
  if redis.call('TYPE', entries).ok == 'stream' then
    redis.call('DEL', entries)
  end
end

local function note()
  redis.call('HSET', facts, 'epoch', epoch, 'offset', offset, 'at', at, 'run', run, 'line', line)
end

-- A server that has begun anew may have lost what came last, and would give its offsets a second time. So may
-- one that was a replica for a while. Its line tells that, until it forgets it an hour after its last replica
-- has gone: then it says zeros, and what is noted stays, for links that know the line still.
local forgotten = not string.find(line, '[^0]')
local same = found[4] == run and (forgotten or found[5] == line)
local known = epoch and offset and at and (same or (ARGV[3] == '1' and found[5] == line))
if not known then
  begin()
elseif forgotten then
  line = found[5] or line
end

local function entry(first)
  local one = redis.call('XRANGE', entries, first, '+', 'COUNT', 1)[1]
  if one then
    local place, time = string.match(one[1], '^(%d+)-(%d+)$')
    return tonumber(place), tonumber(time), one[2]
  end
end

local function is_old(first)
  local _, time = entry(first)
  return time and now - time >= keep
end

-- Where the first is old, the next one is looked at, then the one two further on, four, eight, until one
-- is not; then the last step is halved.
local function drop_old()
  local old = entry('-')
  if not old or not is_old(old) then
    return
  end
  local young, step = offset + 1, 1
  while old + step < young and is_old(old + step) do
    old, step = old + step, step * 2
  end
  young = math.min(young, old + step)
  while young - old > 1 do
    local middle = math.floor((old + young) / 2)
    if is_old(middle) then
      old = middle
    else
      young = middle
    end
  end
  redis.call('XTRIM', entries, 'MINID', young)
end
