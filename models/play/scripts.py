"""The atomic steps in Redis, as Lua: what must never be half done."""

OPEN = """
-- KEYS: stream, session. ARGV: token, ttl s, field, blob. Makes a session once.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('XADD', KEYS[1], '*', ARGV[3], ARGV[4])
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'last', -1, 'stored', -1, 'state', 'open')
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""

APPEND = """
-- KEYS: stream, then one session key a group.
-- ARGV: ttl s, then for each group: token, first, last, 1 to seal, number of items, items
-- (field, blob each). A group is taken whole or not at all: only from the holder of the token,
-- only at last + 1, only while open. Answers a status and the `last` of each group.
-- All writes come after all checks and the stream first, so that a refused write changes nothing.
local out, entry, marks = {}, {}, {}
local at = 2
for group = 2, #KEYS do
  local token, first, last, seal = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local fields = 2 * tonumber(ARGV[at + 4])
  at = at + 5
  local known = redis.call('HMGET', KEYS[group], 'token', 'last', 'state')
  local status = 'taken'
  if not known[1] then status = 'unknown'
  elseif known[1] ~= token then status = 'fenced'
  elseif tonumber(known[2]) + 1 ~= first then status = 'moved'
  elseif known[3] ~= 'open' then status = 'sealed'
  else
    for i = at, at + fields - 1 do entry[#entry + 1] = ARGV[i] end
    marks[#marks + 1] = {KEYS[group], last, seal == '1' and 'sealed' or 'open'}
  end
  out[#out + 1] = status
  out[#out + 1] = status == 'taken' and last or (known[2] or '-1')
  at = at + fields
end
if #entry > 0 then redis.call('XADD', KEYS[1], '*', unpack(entry)) end
for _, mark in ipairs(marks) do
  redis.call('HSET', mark[1], 'last', mark[2], 'state', mark[3])
  redis.call('EXPIRE', mark[1], ARGV[1])
end
return out
"""

SETTLE = """
-- KEYS: stream, then session keys. ARGV: group, channel, message, number of entries, entry ids,
-- then the stored mark of each session. Acknowledges, deletes, marks and tells in one step.
local n = tonumber(ARGV[4])
for i = 5, 4 + n do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
for i = 2, #KEYS do
  local stored = redis.call('HGET', KEYS[i], 'stored')
  local mark = tonumber(ARGV[4 + n + i - 1])
  if stored and tonumber(stored) < mark then redis.call('HSET', KEYS[i], 'stored', mark) end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return n
"""

HOLD = """
-- KEYS: lease. ARGV: holder, ms. Takes a free lease or renews one's own: 2 taken, 1 renewed, 0 no.
local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 2
end
if holder ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

RELEASE = """
-- KEYS: lease. ARGV: holder. Gives a lease back, if it is still one's own.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
