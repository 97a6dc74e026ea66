-- Reads what is kept of a group: `common.lua` stands before it.
--
-- ARGV: 7, the offset behind which to begin, or nothing for the last entries; 8, most entries that are given.
-- Gives the epoch, the newest offset, whether all within the time is kept, the offset of the first message
-- that is given, and the messages.
drop_old()
local first, time, fields = entry('-')
if first and redis.call('XLEN', entries) ~= offset - first + 1 then
  redis.call('DEL', entries) -- somebody else has taken some out
  first = nil
end
if not known then
  note()
end
redis.call('PEXPIRE', facts, ARGV[6])

local whole
if first then
  whole = first == 1 or now - (time - fields[2]) >= keep
else
  whole = offset == 0 or now - at >= keep
end

local limit = tonumber(ARGV[8])
local start = ARGV[7] == '' and math.max(offset - limit, 0) or tonumber(ARGV[7])
local answer = {epoch, offset, whole and 1 or 0, offset + 1}
if first and limit > 0 and start < offset then
  answer[4] = math.max(start + 1, first)
  for _, one in ipairs(redis.call('XRANGE', entries, answer[4], '+', 'COUNT', limit)) do
    answer[#answer + 1] = one[2][4]
  end
end
return answer
