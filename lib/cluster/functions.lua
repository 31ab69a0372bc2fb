#!lua name=@
-- The functions that the engine runs for brood. One function is one step: nobody sees half of it, and either all of
-- it is in the append-only file or nothing.
--
-- A session is a process that is connected: its `epoch`, a number that is never given twice. `live` holds the epochs
-- with the time at which each is over unless it is heard of before; `gone` those that are over and still have
-- something. What a session has (leases, permits, the tasks it waits for) is listed in sets of its own, so that `retire`
-- can hand it on. Every function that changes something asks first whether its session lives; as `retire` removes a
-- session from `live` before it moves anything, a session that is over can neither take nor settle nor release.
--
--   live, gone      sorted sets: epoch -> end of its lease in ms, epoch -> since when
--   s:E i:E         what session E is; its inbox, a stream
--   l:E h:E c:E     what E has leased (queue|id), its permits (semaphore|holder), tasks it waits for (queue|id)
--   r:O             answers to the requests of process O that it may not have got: sequence number -> answer
--   w:WHAT, waits   the sessions that wait for WHAT; all such WHATs that there are
--   q:NAME:r        ready items, id -> ticket;   :e id -> bytes;   :o leased, id -> epoch:ticket
--   q:NAME:n :x :c  id -> hosts lost with it;  id -> how many of those there may be;  capacity, closed
--   q:NAME:d:ID     item of that task -> workers that died at it
--   m:NAME :h :w    semaphore: permits, abandoned;  holder -> token;  holders that wait -> ticket
--   v:NAME d:NAME   event;  dict
--   run key epoch ticket token    the engine's run_id, the key's fingerprint, and the counters
local function call(...) return redis.call(...) end  -- not there yet while this is loaded

local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function failure(word, text) return redis.error_reply(word .. ' ' .. text) end

local function alive(P, epoch) return call('ZSCORE', P .. 'live', epoch) end

local function dead(epoch)
  return failure('DEAD', 'the session ' .. epoch .. ' is over: it was not heard of for longer than its lease')
end

local function tell(P, epoch, kind, subject, value)
  if alive(P, epoch) then call('XADD', P .. 'i:' .. epoch, '*', 'k', kind, 's', subject, 'v', value) end
end

local function split(member) return string.match(member, '^(.*)|([^|]*)$') end

-- The session in `E.sequence`, the form of all ids and holders.
local function session_of(id) return string.match(id, '^([^.]*)') end

-- ---- waiting: whoever waits is told to try again ----

local function wait_for(P, what, epoch)
  call('ZADD', P .. 'w:' .. what, 'NX', call('INCR', P .. 'ticket'), epoch)
  call('SADD', P .. 'waits', what)
end

local function wake(P, what, count)
  local waiting = P .. 'w:' .. what
  while count > 0 do
    local first = call('ZPOPMIN', waiting)
    if not first[1] then break end
    if alive(P, first[1]) then
      tell(P, first[1], 'w', what, '')
      count = count - 1
    end
  end
  if call('EXISTS', waiting) == 0 then call('SREM', P .. 'waits', what) end
end

local function wake_all(P, what) wake(P, what, call('ZCARD', P .. 'w:' .. what)) end

-- ---- items ----

local function with_prefix(prefix, names)
  local result = {}
  for i, name in ipairs(names) do result[i] = prefix .. name end
  return result
end

-- The engine keeps a hash of up to 512 short entries as a list, in which each look-up walks: 5 us and not 0.3. A field
-- of more than 64 bytes makes it a table, which it stays until it is empty.
local widening = '-----------------------------------------------------------------'
local function set_many(key, entries)
  local many = #entries / 2 + call('HLEN', key) > 64
  if many then call('HSET', key, widening, '') end
  call('HSET', key, unpack(entries))
  if many then call('HDEL', key, widening) end
end

-- A list of ids is never empty here, nor longer than 1,024: what goes in one command.
local function forget(P, name, ids)
  local Q = P .. 'q:' .. name
  call('HDEL', Q .. ':e', unpack(ids))
  call('HDEL', Q .. ':n', unpack(ids))
  call('HDEL', Q .. ':x', unpack(ids))
  call('DEL', unpack(with_prefix(Q .. ':d:', ids)))
end

local function settled(P, name)
  local Q = P .. 'q:' .. name
  if call('EXISTS', Q .. ':e') == 1 then return end
  wake_all(P, 'j:' .. name)
  if call('HEXISTS', Q .. ':c', 'closed') == 1 then wake_all(P, 'q:' .. name) end
end

-- Takes from `epoch` the leases that it has; gives those ids and their tickets.
local function unlease_all(P, name, ids, epoch)
  local owners, mine, tickets = call('HMGET', P .. 'q:' .. name .. ':o', unpack(ids)), {}, {}
  for i, id in ipairs(ids) do
    local owner, ticket = string.match(owners[i] or '', '^(.*):(.*)$')
    if owner == epoch then mine[#mine + 1], tickets[#tickets + 1] = id, ticket end
  end
  if #mine > 0 then
    call('HDEL', P .. 'q:' .. name .. ':o', unpack(mine))
    call('SREM', P .. 'l:' .. epoch, unpack(with_prefix(name .. '|', mine)))
  end
  return mine, tickets
end

-- The item's ticket, or nothing if it was not its.
local function unlease(P, name, id, epoch)
  local _, tickets = unlease_all(P, name, {id}, epoch)
  return tickets[1]
end

local function make_ready(P, name, ids, tickets)
  local scores = {}
  for i, id in ipairs(ids) do scores[#scores + 1], scores[#scores + 2] = tickets[i], id end
  call('ZADD', P .. 'q:' .. name .. ':r', unpack(scores))
  wake(P, 'q:' .. name, #ids)
end

-- What a session that is over had on lease.
local function adopt(P, name, id, epoch, lost)
  local ticket = unlease(P, name, id, epoch)
  if not ticket then return end
  local Q = P .. 'q:' .. name
  if lost then
    local most = call('HGET', Q .. ':x', id)
    if call('HINCRBY', Q .. ':n', id, 1) > (tonumber(most or '') or math.huge) then
      local client = session_of(id)
      forget(P, name, {id})
      call('SREM', P .. 'c:' .. client, name .. '|' .. id)
      tell(P, client, 'h', id, '')
      return settled(P, name)
    end
  end
  make_ready(P, name, {id}, {ticket})
end

-- A task that nobody waits for any more.
local function cancel_one(P, name, id)
  local Q = P .. 'q:' .. name
  if call('ZREM', Q .. ':r', id) == 0 then
    local owner = string.match(call('HGET', Q .. ':o', id) or '', '^(.*):')
    if not owner then return end
    unlease(P, name, id, owner)
    tell(P, owner, 'c', id, '')
  end
  forget(P, name, {id})
  settled(P, name)
end

-- ---- permits ----

local function grant(P, name, holder)
  local M = P .. 'm:' .. name
  local token = string.format('%.0f', call('INCR', P .. 'token'))
  local abandoned = call('HDEL', M, 'abandoned')
  call('HSET', M .. ':h', holder, token)
  return token, abandoned
end

local function grant_next(P, name)
  local M = P .. 'm:' .. name
  local limit = tonumber(call('HGET', M, 'limit') or 0)
  while call('HLEN', M .. ':h') < limit do
    local first = call('ZPOPMIN', M .. ':w')[1]
    if not first then break end
    local epoch = session_of(first)
    if alive(P, epoch) then
      local token, abandoned = grant(P, name, first)
      tell(P, epoch, 'g', first, token .. ':' .. abandoned)
    end
  end
  if call('EXISTS', M .. ':h', M .. ':w') == 0 and call('HEXISTS', M, 'abandoned') == 0 then call('DEL', M) end
end

local function release_one(P, name, holder, lost)
  local M = P .. 'm:' .. name
  call('SREM', P .. 'h:' .. session_of(holder), name .. '|' .. holder)
  local held = call('HDEL', M .. ':h', holder)
  if held == 0 then call('ZREM', M .. ':w', holder) end
  if held == 1 and lost then call('HSET', M, 'abandoned', '1') end
  grant_next(P, name)
  return held
end

-- ---- sessions ----

-- Hands on what a session had, a thousand things at most; true if that was all.
local function retire(P, epoch, lost)
  call('ZREM', P .. 'live', epoch)
  call('ZADD', P .. 'gone', 'NX', clock(), epoch)
  if not lost then call('HSET', P .. 's:' .. epoch, 'left', '1') end
  lost = call('HEXISTS', P .. 's:' .. epoch, 'left') == 0
  local left = 1000
  local function each(key, act)
    while left > 0 do
      local some = call('SRANDMEMBER', key, math.min(left, 100))
      if #some == 0 then return end
      left = left - #some
      for _, member in ipairs(some) do
        local name, id = split(member)
        act(name, id)
        call('SREM', key, member)
      end
    end
  end
  each(P .. 'l:' .. epoch, function(name, id) adopt(P, name, id, epoch, lost) end)
  each(P .. 'h:' .. epoch, function(name, holder) release_one(P, name, holder, lost) end)
  each(P .. 'c:' .. epoch, function(name, id) cancel_one(P, name, id) end)
  if left <= 0 then return false end
  local origin, patience = unpack(call('HMGET', P .. 's:' .. epoch, 'origin', 'patience'))
  if origin then
    if lost then call('EXPIRE', P .. 'r:' .. origin, patience) else call('DEL', P .. 'r:' .. origin) end
  end
  call('DEL', P .. 's:' .. epoch, P .. 'i:' .. epoch)
  call('ZREM', P .. 'gone', epoch)
  -- It may have been told of something and not have gone for it: the others look again.
  for _, what in ipairs(call('SMEMBERS', P .. 'waits')) do
    call('ZREM', P .. 'w:' .. what, epoch)
    wake_all(P, what)
  end
  if call('EXISTS', P .. 'live', P .. 'gone') == 0 then
    call('DEL', P .. 'run', P .. 'key', P .. 'epoch', P .. 'ticket', P .. 'token')
  end
  return true
end

-- After a restart nobody could beat for a while: all leases begin again. And as the last steps may be missing, the
-- counters go on from the time of day, beyond whatever was given out.
local function attach(keys, a)
  local P, run, highest = keys[1], a[1], a[2]
  if call('GET', P .. 'run') == run then return 0 end
  local t = call('TIME')
  local base = math.max(t[1] * 1000000 + t[2], tonumber(highest), tonumber(call('GET', P .. 'epoch') or 0),
                        tonumber(call('GET', P .. 'token') or 0), tonumber(call('GET', P .. 'ticket') or 0))
  for _, counter in ipairs({'epoch', 'token', 'ticket'}) do call('SET', P .. counter, string.format('%.0f', base)) end
  for _, epoch in ipairs(call('ZRANGE', P .. 'live', 0, -1)) do
    call('ZADD', P .. 'live', clock() + (call('HGET', P .. 's:' .. epoch, 'lease') or 0), epoch)
  end
  call('SET', P .. 'run', run)
  return 1
end

local function join(keys, a)
  local P = keys[1]
  local kind, build, name, workers, lease, origin, patience, key = unpack(a)
  if call('EXISTS', P .. 'run') == 0 then return failure('AGAIN', 'attach first') end
  call('SETNX', P .. 'key', key)
  if call('GET', P .. 'key') ~= key then
    return failure('WRONGKEY', 'the members of this cluster have another key')
  end
  local epoch = string.format('%.0f', call('INCR', P .. 'epoch'))
  if origin == '' then origin = epoch else call('PERSIST', P .. 'r:' .. origin) end
  call('HSET', P .. 's:' .. epoch, 'kind', kind, 'build', build, 'name', name, 'workers', workers, 'lease', lease,
       'origin', origin, 'patience', patience)
  call('ZADD', P .. 'live', clock() + lease, epoch)
  if kind == 'host' then
    wake_all(P, 'hosts')
    for _, what in ipairs(call('SMEMBERS', P .. 'waits')) do
      if what == 'q:t:' .. build then wake_all(P, what) end
    end
  end
  return epoch
end

-- Gives {whether there is more to hand on, ms until the next session is over}.
local function beat(keys, a)
  local P, epoch = keys[1], a[1]
  if not alive(P, epoch) then return dead(epoch) end
  call('ZADD', P .. 'live', 'XX', clock() + call('HGET', P .. 's:' .. epoch, 'lease'), epoch)
  local more = 0
  for _, other in ipairs(call('ZRANGE', P .. 'gone', 0, 1)) do
    if not retire(P, other, true) then more = 1 end
  end
  for _, other in ipairs(call('ZRANGEBYSCORE', P .. 'live', '-inf', clock(), 'LIMIT', 0, 2)) do
    if not retire(P, other, true) then more = 1 end
  end
  -- When the clock was set back, the end of a lease that nobody renews is too far away.
  local last = call('ZREVRANGE', P .. 'live', 0, 0, 'WITHSCORES')
  local furthest = clock() + (call('HGET', P .. 's:' .. last[1], 'lease') or 0)
  if tonumber(last[2]) > furthest then call('ZADD', P .. 'live', 'XX', furthest, last[1]) end
  local first = call('ZRANGE', P .. 'live', 0, 0, 'WITHSCORES')
  return {more, first[2] - clock()}
end

local function leave(keys, a)
  if not alive(keys[1], a[1]) and not call('ZSCORE', keys[1] .. 'gone', a[1]) then return 1 end
  return retire(keys[1], a[1], false) and 1 or 0
end

local function sessions(keys, a)
  local result = {}
  for _, epoch in ipairs(call('ZRANGE', keys[1] .. 'live', 0, -1)) do
    local s = call('HMGET', keys[1] .. 's:' .. epoch, 'kind', 'build', 'name', 'workers')
    if s[1] == a[1] then
      result[#result + 1] = {epoch, s[2], s[3], s[4], call('SCARD', keys[1] .. 'l:' .. epoch)}
    end
  end
  return result
end

-- Registers a wait that needs no answer: for a host to come.
local function await_hosts(P, epoch)
  wait_for(P, 'hosts', epoch)
  return 1
end

-- ---- requests that are carried out once, however often they are sent ----
-- Each begins with epoch, origin, sequence number, and the lowest number whose answer its sender still waits for.

local function once(body, render)
  return function(keys, a)
    local P, epoch, seq, low = keys[1], a[1], a[3], tonumber(a[4])
    local answers = P .. 'r:' .. a[2]
    if not alive(P, epoch) then return dead(epoch) end
    local known, known_from = unpack(call('HMGET', answers, seq, 'low'))
    local result
    if known then
      result = cmsgpack.unpack(known)
    elseif known_from and tonumber(seq) < tonumber(known_from) then
      return failure('STALE', 'this request came after its sender had the answer of another copy')
    else
      result = body(P, epoch, a, a[5])
      if type(result) == 'table' and result.err then return result end
      for old = tonumber(known_from or low), low - 1 do call('HDEL', answers, old) end
      call('HSET', answers, 'low', low, seq, cmsgpack.pack(result))
    end
    if render then return render(P, a, result) end
    return result
  end
end

-- name, capacity (0: unbounded)
local function declare(P, epoch, a, name)
  local C = P .. 'q:' .. name .. ':c'
  call('HSETNX', C, 'capacity', a[6])
  local there = call('HGET', C, 'capacity')
  if there ~= a[6] then return failure('MISMATCH', 'the queue ' .. name .. ' was made with a capacity of ' .. there) end
  return 1
end

-- name, 1 if the session waits for the results and else 0, capacity, 1 to be told when there is room and else 0, then id,
-- bytes, hosts it may lose ('' for any number). Gives how many were put; fewer than there are if it is full. One that is
-- there already is as good as put: after a restart its sender cannot know.
local function put(P, epoch, a, name)
  local Q, owned = P .. 'q:' .. name, a[6] == '1'
  if a[7] ~= '' then call('HSETNX', Q .. ':c', 'capacity', a[7]) end
  local capacity, closed = unpack(call('HMGET', Q .. ':c', 'capacity', 'closed'))
  if closed then return failure('CLOSED', 'the queue ' .. name .. ' is closed') end
  local count = (#a - 8) / 3
  if capacity and capacity ~= '0' then
    local room = math.max(0, capacity - call('ZCARD', Q .. ':r'))
    if count > room then
      count = room
      if a[8] == '1' then wait_for(P, 'p:' .. name, epoch) end
    end
  end
  if count == 0 then return 0 end
  local ids, fresh, entries, limits = {}, {}, {}, {}
  for i = 1, count do ids[i] = a[6 + 3 * i] end
  local there = call('HMGET', Q .. ':e', unpack(ids))
  for i, id in ipairs(ids) do
    if not there[i] then
      fresh[#fresh + 1] = id
      entries[#entries + 1], entries[#entries + 2] = id, a[7 + 3 * i]
      if a[8 + 3 * i] ~= '' then limits[#limits + 1], limits[#limits + 2] = id, a[8 + 3 * i] end
    end
  end
  if #fresh > 0 then
    set_many(Q .. ':e', entries)
    if #limits > 0 then set_many(Q .. ':x', limits) end
    if owned then call('SADD', P .. 'c:' .. epoch, unpack(with_prefix(name .. '|', fresh))) end
    local last, tickets = call('INCRBY', P .. 'ticket', #fresh), {}
    for i = 1, #fresh do tickets[i] = string.format('%.0f', last - #fresh + i) end
    make_ready(P, name, fresh, tickets)
  end
  return count
end

-- name, how many at most, 1 to be told when there are some and else 0
local function take(P, epoch, a, name)
  local Q, ids, owners = P .. 'q:' .. name, {}, {}
  local got = call('ZPOPMIN', Q .. ':r', math.min(a[6], 1000))
  for i = 1, #got, 2 do
    ids[#ids + 1] = got[i]
    owners[i], owners[i + 1] = got[i], epoch .. ':' .. got[i + 1]
  end
  if #ids == 0 then
    if call('HEXISTS', Q .. ':c', 'closed') == 1 and call('EXISTS', Q .. ':o') == 0 then
      return failure('CLOSED', 'the queue ' .. name .. ' is closed')
    end
    if a[7] == '1' then wait_for(P, 'q:' .. name, epoch) end
  else
    set_many(Q .. ':o', owners)
    call('SADD', P .. 'l:' .. epoch, unpack(with_prefix(name .. '|', ids)))
    wake(P, 'p:' .. name, #ids)
  end
  return ids
end

local function with_bytes(P, a, ids)
  local Q, result = P .. 'q:' .. a[5], {}
  if #ids == 0 then return result end
  local bytes, owners = call('HMGET', Q .. ':e', unpack(ids)), call('HMGET', Q .. ':o', unpack(ids))
  local losses = call('HMGET', Q .. ':n', unpack(ids))
  for i, id in ipairs(ids) do
    if bytes[i] and string.match(owners[i] or '', '^(.*):') == a[1] then
      result[#result + 1] = {id, bytes[i], losses[i] or '0'}
    end
  end
  return result
end

-- name, 1 if there are results and else 0, then id, result. Gives how many were the session's.
local function done(P, epoch, a, name)
  local ids, results = {}, {}
  for i = 7, #a, 2 do
    ids[#ids + 1] = a[i]
    results[a[i]] = a[i + 1]
  end
  local mine = unlease_all(P, name, ids, epoch)
  if #mine == 0 then return 0 end
  forget(P, name, mine)
  if a[6] == '1' then
    local of = {}
    for _, id in ipairs(mine) do
      local client = session_of(id)
      of[client] = of[client] or {}
      table.insert(of[client], id)
    end
    for client, theirs in pairs(of) do
      call('SREM', P .. 'c:' .. client, unpack(with_prefix(name .. '|', theirs)))
      for _, id in ipairs(theirs) do tell(P, client, 'r', id, results[id]) end
    end
  end
  settled(P, name)
  return #mine
end

local function give_back(P, epoch, a, name)
  local mine, tickets = unlease_all(P, name, {unpack(a, 6)}, epoch)
  if #mine > 0 then make_ready(P, name, mine, tickets) end
  return 1
end

local function cancel(P, epoch, a, name)
  for i = 6, #a do
    call('SREM', P .. 'c:' .. session_of(a[i]), name .. '|' .. a[i])
    cancel_one(P, name, a[i])
  end
  return 1
end

-- name, id, item: a worker died at this item of the task. Gives how many have. When the task is over by then, nobody would
-- remove its count.
local function died(P, epoch, a, name)
  if string.match(call('HGET', P .. 'q:' .. name .. ':o', a[6]) or '', '^(.*):') ~= epoch then
    return failure('DEAD', 'the task ' .. a[6] .. ' is not on lease to the session ' .. epoch .. ' any more')
  end
  return call('HINCRBY', P .. 'q:' .. name .. ':d:' .. a[6], a[7], 1)
end

-- Somebody was told that there is something, and does not want it any more.
local function pass_on(P, epoch, a, what)
  wake(P, what, 1)
  return 1
end

local function close(P, epoch, a, name)
  call('HSET', P .. 'q:' .. name .. ':c', 'closed', '1')
  wake_all(P, 'q:' .. name)
  wake_all(P, 'p:' .. name)
  return 1
end

local function joined(P, epoch, a, name)
  if call('EXISTS', P .. 'q:' .. name .. ':e') == 0 then return 1 end
  wait_for(P, 'j:' .. name, epoch)
  return 0
end

local function destroy(P, epoch, a, name)
  local Q = P .. 'q:' .. name
  call('DEL', Q .. ':r', Q .. ':e', Q .. ':o', Q .. ':n', Q .. ':x', Q .. ':c')
  for _, what in ipairs({'q:', 'p:', 'j:'}) do wake_all(P, what .. name) end
  return 1
end

local function state_of_queue(keys, a)
  local Q = keys[1] .. 'q:' .. a[1]
  return {call('ZCARD', Q .. ':r'), call('HLEN', Q .. ':o'), call('HEXISTS', Q .. ':c', 'closed')}
end

-- name, permits, holder, 1 to wait and else 0. Gives {token, abandoned}, or nothing. Asked again by one that waits or
-- holds, it changes nothing.
local function acquire(P, epoch, a, name)
  local M, holder = P .. 'm:' .. name, a[7]
  local held = call('HGET', M .. ':h', holder)
  if held then return {held, 0} end
  if call('ZSCORE', M .. ':w', holder) then return {} end
  call('HSETNX', M, 'limit', a[6])
  local limit = call('HGET', M, 'limit')
  if limit ~= a[6] then return failure('MISMATCH', name .. ' was made with ' .. limit .. ' permits') end
  local free = call('HLEN', M .. ':h') < tonumber(limit) and call('EXISTS', M .. ':w') == 0
  if not free and a[8] ~= '1' then return {} end
  call('SADD', P .. 'h:' .. epoch, name .. '|' .. holder)
  if free then return {grant(P, name, holder)} end
  call('ZADD', M .. ':w', call('INCR', P .. 'ticket'), holder)
  return {}
end

local function release(P, epoch, a, name) return release_one(P, name, a[6], false) end

-- After a restart, as the last steps may be missing: what the engine thinks this session has and it has not goes back, and
-- which of its permits the engine knows nothing of is the answer. How many leases (queue|id), they, permits (semaphore|holder).
local function reconcile(P, epoch, a)
  local mine, lost = {}, {}
  local leases = tonumber(a[6])
  for i = 7, #a do mine[a[i]] = true end
  for _, member in ipairs(call('SMEMBERS', P .. 'l:' .. epoch)) do
    local name, id = split(member)
    local ticket = not mine[member] and unlease(P, name, id, epoch)
    if ticket then make_ready(P, name, {id}, {ticket}) end
  end
  for _, member in ipairs(call('SMEMBERS', P .. 'h:' .. epoch)) do
    local name, holder = split(member)
    if not mine[member] then release_one(P, name, holder, false) end
  end
  for i = 7 + leases, #a do
    local name, holder = split(a[i])
    if call('SISMEMBER', P .. 'h:' .. epoch, a[i]) == 0 then lost[#lost + 1] = holder end
  end
  return lost
end

local function event_set(P, epoch, a, name)
  call('SET', P .. 'v:' .. name, '1')
  wake_all(P, 'v:' .. name)
  return 1
end

local function event_clear(P, epoch, a, name) return call('DEL', P .. 'v:' .. name) end

local function event_wait(P, epoch, a, name)
  if call('EXISTS', P .. 'v:' .. name) == 1 then return 1 end
  wait_for(P, 'v:' .. name, epoch)
  return 0
end

-- ---- dict: name, key, ... ----

local function dict_set(P, epoch, a, name) return call('HSET', P .. 'd:' .. name, a[6], a[7]) end
local function dict_erase(P, epoch, a, name) return call('HDEL', P .. 'd:' .. name, a[6]) end
local function dict_clear(P, epoch, a, name) return call('DEL', P .. 'd:' .. name) end

local function dict_pop(P, epoch, a, name)
  local value = call('HGET', P .. 'd:' .. name, a[6])
  call('HDEL', P .. 'd:' .. name, a[6])
  return value and {value} or {}
end

local function dict_get_or_set(P, epoch, a, name)
  call('HSETNX', P .. 'd:' .. name, a[6], a[7])
  return call('HGET', P .. 'd:' .. name, a[6])
end

-- Numbers of Lua are doubles: the sum is read as text.
local function dict_add(P, epoch, a, name)
  call('HINCRBY', P .. 'd:' .. name, a[6], a[7])
  return call('HGET', P .. 'd:' .. name, a[6])
end

-- expected is there, expected, desired is there, desired
local function dict_exchange(P, epoch, a, name)
  local D = P .. 'd:' .. name
  local present = call('HGET', D, a[6])
  if (a[7] == '1') ~= (present and true or false) or (present and present ~= a[8]) then return 0 end
  if a[9] == '1' then call('HSET', D, a[6], a[10]) else call('HDEL', D, a[6]) end
  return 1
end

local function dict_get(keys, a) return call('HGET', keys[1] .. 'd:' .. a[1], a[2]) end
local function dict_size(keys, a) return call('HLEN', keys[1] .. 'd:' .. a[1]) end
local function dict_walk(keys, a) return call('HSCAN', keys[1] .. 'd:' .. a[1], a[2], 'COUNT', 256) end
local function event_is_set(keys, a) return call('EXISTS', keys[1] .. 'v:' .. a[1]) end

-- What only settles, releases or keeps alive may run when memory is short, or it would never get better.
local function offer(name, callback, flags)
  redis.register_function{function_name = '@_' .. name, callback = callback, flags = flags}
end

offer('attach', attach, {'allow-oom'})
offer('join', join, {'allow-oom'})
offer('beat', beat, {'allow-oom'})
offer('leave', leave, {'allow-oom'})
offer('take', once(take, with_bytes), {'allow-oom'})
offer('done', once(done), {'allow-oom'})
offer('give_back', once(give_back), {'allow-oom'})
offer('cancel', once(cancel), {'allow-oom'})
offer('died', once(died), {'allow-oom'})
offer('pass_on', once(pass_on), {'allow-oom'})
offer('close', once(close), {'allow-oom'})
offer('joined', once(joined), {'allow-oom'})
offer('destroy', once(destroy), {'allow-oom'})
offer('release', once(release), {'allow-oom'})
offer('await_hosts', once(await_hosts), {'allow-oom'})
offer('reconcile', once(reconcile), {'allow-oom'})
offer('event_set', once(event_set), {'allow-oom'})
offer('event_clear', once(event_clear), {'allow-oom'})
offer('event_wait', once(event_wait), {'allow-oom'})
offer('dict_erase', once(dict_erase), {'allow-oom'})
offer('dict_clear', once(dict_clear), {'allow-oom'})
offer('dict_pop', once(dict_pop), {'allow-oom'})
offer('declare', once(declare), {})
offer('put', once(put), {})
offer('acquire', once(acquire), {})
offer('dict_set', once(dict_set), {})
offer('dict_get_or_set', once(dict_get_or_set), {})
offer('dict_add', once(dict_add), {})
offer('dict_exchange', once(dict_exchange), {})
offer('sessions', sessions, {'no-writes'})
offer('state_of_queue', state_of_queue, {'no-writes'})
offer('dict_get', dict_get, {'no-writes'})
offer('dict_size', dict_size, {'no-writes'})
offer('dict_walk', dict_walk, {'no-writes'})
offer('event_is_set', event_is_set, {'no-writes'})
