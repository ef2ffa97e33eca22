"""The atomic steps in Redis, as Lua: what must never be half done."""

OPEN = """
-- KEYS: stream, session, open sessions. ARGV: token, ttl s, field, blob, session id, child id,
-- Unix ms. Makes a session once.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('XADD', KEYS[1], '*', ARGV[3], ARGV[4])
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'last', -1, 'stored', -1, 'state', 'open',
  'child', ARGV[6], 'at', ARGV[7])
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[5])
return 1
"""

TAKE = """
-- KEYS: session, open sessions. ARGV: Unix ms, ttl s, what MongoDB has, child id, session id,
-- 1 if it is sealed there. Makes the caller the owner: its token is higher than any before. What
-- Redis has lost is made up from MongoDB. Answers token, last, stored, state, 1 if it was lost.
local known = redis.call('HMGET', KEYS[1], 'token', 'last', 'stored', 'state')
local lost = known[1] and 0 or 1
local stored = math.max(tonumber(known[3] or -1), tonumber(ARGV[3]))
local last = tonumber(known[2] or -1)
if last < stored then last, lost = stored, 1 end
local state = known[4] or (ARGV[6] == '1' and 'sealed' or 'open')
if state == 'sealed' then return {known[1] or '0', last, stored, state, lost} end
local token = math.max(tonumber(known[1] or 0) + 1, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'token', string.format('%.0f', token), 'last', last,
  'stored', stored, 'state', state, 'child', ARGV[4], 'at', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[5])
return {string.format('%.0f', token), last, stored, state, lost}
"""

LOWER = """
-- KEYS: session. ARGV: token, last. Takes the mark back; only for the owner.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'last', ARGV[2])
return 1
"""

SNAPSHOT = """
-- KEYS: sessions. ARGV: token and snapshot of each. Keeps one only for the owner.
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'token') == ARGV[2 * i - 1] then
    redis.call('HSET', key, 'snapshot', ARGV[2 * i])
  end
end
return 1
"""

APPEND = """
-- KEYS: stream, open sessions, then one session key a group. ARGV: ttl s, Unix ms, groups as
-- msgpack: session id, token, first, last, what is known to be stored, whether to seal, items
-- (field, blob each). A group is taken whole or not at all: only from the holder of the token,
-- only at last + 1, only while open. Answers group, status and `last` of those not taken.
-- All writes come after all checks and the stream first, so that a refused write changes nothing.
local out, entry, marks = {}, {}, {}
for n, group in ipairs(cmsgpack.unpack(ARGV[3])) do
  local id, token, first, last, stored, seal = unpack(group, 1, 6)
  local key = KEYS[n + 2]
  local known = redis.call('HMGET', key, 'token', 'last', 'state')
  local status
  if not known[1] then status = 'unknown'
  elseif tonumber(known[1]) ~= token then status = 'fenced'
  elseif math.max(tonumber(known[2]), stored) + 1 ~= first then status = 'moved'
  elseif known[3] ~= 'open' then status = 'sealed'
  end
  if status then
    out[#out + 1] = {n, status, known[2] or '-1'}
  else
    for i = 7, #group do entry[#entry + 1] = group[i] end
    marks[#marks + 1] = {key, last, seal, id}
  end
end
if #entry > 0 then redis.call('XADD', KEYS[1], '*', unpack(entry)) end
for _, mark in ipairs(marks) do
  local key, last, seal, id = unpack(mark)
  redis.call('HSET', key, 'last', last, 'state', seal and 'sealed' or 'open', 'at', ARGV[2])
  redis.call('EXPIRE', key, ARGV[1])
  if seal then
    redis.call('HDEL', key, 'snapshot')
    redis.call('SREM', KEYS[2], id)
  end
end
return out
"""

READ = """
-- KEYS: stream, lease. ARGV: group, consumer, count. Only for the holder of the lease: one that
-- was frozen reads nothing past it. What was delivered before and never settled comes first, and
-- alone, so that a call whose answer was lost leaves no hole behind.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return false end
for _, after in ipairs({'0', '>'}) do
  local found = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3],
    'STREAMS', KEYS[1], after)
  if found and found[1] and #found[1][2] > 0 then return found[1][2] end
end
return {}
"""

SETTLE = """
-- KEYS: stream, lease, then session keys. ARGV: group, consumer, number of entries, entry ids, then
-- the stored mark of each session. Acknowledges, deletes and marks in one step; only for the holder
-- of the lease.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
local n = tonumber(ARGV[3])
for i = 4, 3 + n do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
for i = 3, #KEYS do
  local stored = redis.call('HGET', KEYS[i], 'stored')
  local mark = tonumber(ARGV[3 + n + i - 2])
  -- A full Redis refuses the mark, and must not refuse the deletion that makes room: what is in
  -- MongoDB is the truth, and the next mark covers this one.
  if stored and tonumber(stored) < mark then redis.pcall('HSET', KEYS[i], 'stored', mark) end
end
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

SETTLE_PLACES = """
-- KEYS: leases. ARGV: ms, how many are given back, then the holder of each. Gives the first ones
-- back and takes or renews the others, each so far as no other holder has it.
local given, answer = tonumber(ARGV[2]), 0
for i, key in ipairs(KEYS) do
  local holder, mine = redis.call('GET', key), ARGV[i + 2]
  if holder == mine then
    if i <= given then redis.call('DEL', key) else redis.call('PEXPIRE', key, ARGV[1]) end
  elseif i > given and not holder then
    -- A full Redis refuses what is new: that is told, and keeps none of the others.
    local taken = redis.pcall('SET', key, mine, 'PX', ARGV[1])
    if taken.err then answer = taken end
  end
end
return answer
"""
