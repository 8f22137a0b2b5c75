-- The order of one board, decided where all nodes meet. Runs atomically in Redis;
-- gateway/journal/redis_journal.h says who calls it, docs/redis.md what the keys hold.
--
-- KEYS  1 meta   hash: epoch, offset, nonce, lineage (may be absent), floor (may be absent)
--       2 state  hash: field -> "version published offset text"; text is "v" and the value, or "d": a tombstone.
--                The field "" holds the epoch: it keeps the hash alive while the board is empty and shows that
--                meta and state belong together.
--       3 tail   stream: one entry per position, id offset-nonce, member p: the publication, or "" where the
--                order was moved without one
--       4 the partition's channel
-- ARGV  1 command   2 an epoch to begin with if there is none   3 a random word, not 0
--
-- Numbers that may pass 2^53 (versions, nonces) stay decimal text: Lua numbers are doubles.

local meta, state, tail, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local command, fresh_epoch, word = ARGV[1], ARGV[2], ARGV[3]
local CHUNK = 1000 -- arguments per call; unpack() allows about 8,000
local OK, UNCHANGED, OLDER, OTHER_LINEAGE, FULL = '0', '1', '2', '3', '4'

local function decimal(number)
    return string.format('%.0f', number)
end

local function is_less(a, b)
    return #a < #b or (#a == #b and a < b)
end

local function successor(version)
    if #version < 16 then
        return decimal(tonumber(version) + 1)
    end
    if version == '18446744073709551615' then
        return version
    end
    local high, low = string.sub(version, 1, -16), tonumber(string.sub(version, -15)) + 1
    if low == 1e15 then
        high, low = decimal(tonumber(high) + 1), 0
    end
    return high .. string.format('%015.0f', low)
end

-- call(name, key, all of list), a chunk at a time; each(reply, first index)
local function chunked(name, key, list, each)
    for first = 1, #list, CHUNK do
        local reply = redis.call(name, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
        if each then
            each(reply, first)
        end
    end
end

local function parse(stored)
    if not stored then
        return nil
    end
    local version, published, offset, text = string.match(stored, '^(%d+) (%d+) (%d+) ([vd].*)$')
    return version and { version = version, published = published, offset = offset, text = text }
end

local function stored_of(version, offset, text)
    return version .. ' ' .. version .. ' ' .. offset .. ' ' .. text
end

-- An entry whose id is not beyond the stream's last, or a key of another type: not ours, so it goes.
local function tail_add(id, payload, least)
    local added = redis.pcall('XADD', tail, 'MINID', '~', decimal(math.max(0, least)), id, 'p', payload)
    if added.err then
        redis.call('UNLINK', tail)
        redis.call('XADD', tail, id, 'p', payload)
    end
end

local function begin(epoch, offset)
    redis.call('UNLINK', tail)
    redis.call('HSET', state, '', epoch)
    redis.call('HSET', meta, 'epoch', epoch, 'offset', offset, 'nonce', word)
    tail_add(offset .. '-' .. word, '', 0)
end

-- Where the board stands. Whatever is missing, or does not fit together, takes the rest with it.
local function open()
    local found = redis.pcall('HMGET', meta, 'epoch', 'offset', 'nonce', 'lineage', 'floor')
    local guard = redis.pcall('HGET', state, '')
    local is_whole = not found.err and type(guard) == 'string' and guard == found[1] and #guard == 16
    if is_whole and string.match(found[2] or '', '^%d+$') and #found[2] < 17
        and string.match(found[3] or '', '^%d+$') then
        return { epoch = found[1], offset = tonumber(found[2]), nonce = found[3], lineage = found[4] or nil,
            floor = found[5] or '0' }
    end
    redis.call('UNLINK', meta, state, tail)
    begin(fresh_epoch, '0')
    return { epoch = fresh_epoch, offset = 0, nonce = word, floor = '0' }
end

local function moved_notice(publish, board, epoch)
    redis.call(publish, channel, '1 M ' .. board .. ' ' .. epoch .. '\n')
end

-- ---- apply ----
-- ARGV 4 lineage ("" = none)  5 PUBLISH or SPUBLISH  6 fields a board may hold  7 positions the tail keeps
-- 8 board
--      then for each item: field, rule (N G K F), version, text
-- Reply: epoch, offset, nonce, one digit per item, fields the board now holds (0: none was new)

local FIRST_ITEM = 9

local function known_fields(count)
    local fields, known = {}, {}
    for i = 1, count do
        fields[i] = ARGV[FIRST_ITEM + (i - 1) * 4]
    end
    chunked('HMGET', state, fields, function(reply, first)
        for i = 1, #reply do
            known[fields[first + i - 1]] = reply[i] or nil
        end
    end)
    return known
end

-- What an item comes to: outcome and, where something is to be stored, the version it is stored with.
local function judge(held, rule, version, text)
    local known = held and held.version or '0'
    local is_same = held and held.text == text
    if rule == 'N' then
        return is_same and UNCHANGED or OK, not is_same and (held and successor(known) or '1') or nil
    elseif rule == 'G' then
        if held and not is_less(known, version) then
            return known == version and UNCHANGED or OLDER
        end
        return is_same and UNCHANGED or OK, version
    elseif rule == 'K' then
        -- Versions recorded since the text was published are the same text: nodes may know any of them.
        local published = held and held.published or '0'
        if is_less(version, published) or is_less(known, version) then
            return OLDER
        end
        return is_same and UNCHANGED or OK, not is_same and known or nil
    end
    if is_same and known == '0' then
        return UNCHANGED
    end
    return OK, '0' -- told even with the same text: every node must forget
end

local function apply()
    local at = open()
    local lineage, publish, max_fields, tail_items, board =
        ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
    local count = (#ARGV - FIRST_ITEM + 1) / 4
    if lineage ~= '' then
        if at.lineage and at.lineage ~= lineage then
            return { at.epoch, decimal(at.offset), at.nonce, string.rep(OTHER_LINEAGE, count), 0 }
        elseif not at.lineage then
            redis.call('HSET', meta, 'lineage', lineage)
        end
    end
    local known = known_fields(count)
    local held_count = 0 -- looked up when a field is new
    local offset, outcomes, writes, entries, entry_of, parsed = at.offset, {}, {}, {}, {}, {}
    for i = 1, count do
        local first = FIRST_ITEM + (i - 1) * 4
        local field, text = ARGV[first], ARGV[first + 3]
        local held = parsed[field]
        if held == nil then
            held = parse(known[field]) or false
        end
        local outcome, version = judge(held, ARGV[first + 1], ARGV[first + 2], text)
        if version and not known[field] then
            held_count = held_count == 0 and redis.call('HLEN', state) - 1 or held_count
            if held_count >= max_fields then
                outcome, version = FULL, nil
            end
        end
        if version and outcome == OK then
            offset = offset + 1
            held = { version = version, published = version, offset = decimal(offset), text = text }
            if entry_of[field] then
                entries[entry_of[field]] = false -- a field that changes twice leaves once
            end
            entries[#entries + 1] = field
            entry_of[field] = #entries
        elseif version then
            held.version = version -- recorded, not told
        end
        if version then
            if not known[field] then
                held_count = held_count + 1
                known[field] = ''
            end
            parsed[field] = held
            writes[#writes + 1] = field
        end
        outcomes[i] = outcome
    end
    local pairs_to_write = {}
    for _, field in ipairs(writes) do
        local held = parsed[field]
        pairs_to_write[#pairs_to_write + 1] = field
        pairs_to_write[#pairs_to_write + 1] =
            held.version .. ' ' .. held.published .. ' ' .. held.offset .. ' ' .. held.text
    end
    chunked('HSET', state, pairs_to_write)
    if offset > at.offset then
        local to, lines, told = decimal(offset), { '' }, 0
        for _, field in ipairs(entries) do
            if field then
                local held = parsed[field]
                local is_value = string.byte(held.text) == 118 -- v
                lines[#lines + 1] = held.offset .. ' ' .. held.version .. ' ' .. #field .. ' '
                    .. (is_value and #held.text - 1 or '-') .. '\n'
                lines[#lines + 1] = field
                lines[#lines + 1] = is_value and string.sub(held.text, 2) or ''
                told = told + 1
            end
        end
        lines[1] = table.concat({ '1 P', board, at.epoch, decimal(at.offset), to, word, told }, ' ') .. '\n'
        local publication = table.concat(lines)
        redis.call('HSET', meta, 'offset', to, 'nonce', word)
        tail_add(to .. '-' .. word, publication, offset - tail_items)
        redis.call(publish, channel, publication)
        at.offset, at.nonce = offset, word
    end
    return { at.epoch, decimal(at.offset), at.nonce, table.concat(outcomes), held_count }
end

-- ---- sync: what a node lacks, from its own position; or the whole board ----
-- ARGV 4 epoch ("" = the node has nothing)  5 offset  6 nonce  7 "1": the nonce must be ours too  8 PUBLISH
-- or SPUBLISH
--      9 board  10 fields a board may hold
-- Reply: "entries", epoch, offset, nonce, publications...
--    or  "read": the node is to read the board, which it does without a script: Lua takes 8 times as long
--    or  "too_big", fields: somebody else writes here, or is configured for more

local function sync()
    local at = open()
    local epoch, offset, nonce = ARGV[4], ARGV[5], ARGV[6]
    local held = redis.call('HLEN', state) - 1
    if held > tonumber(ARGV[10]) then
        return { 'too_big', decimal(held) }
    end
    if epoch ~= at.epoch then
        return { 'read' }
    end
    local is_checked = ARGV[7] == '1'
    local from = is_checked and offset .. '-' .. nonce or decimal(offset + 1) .. '-0'
    local entries = redis.pcall('XRANGE', tail, from, '+')
    local first = 1
    if is_checked then
        if not entries[1] or entries[1][1] ~= from then
            if tonumber(offset) >= at.offset then
                -- This store lost what the node has seen. It moves beyond, so that within the epoch offsets
                -- only rise.
                at.offset, at.nonce = tonumber(offset) + 1, word
                redis.call('HSET', meta, 'offset', decimal(at.offset), 'nonce', word)
                tail_add(decimal(at.offset) .. '-' .. word, '', 0)
                moved_notice(ARGV[8], ARGV[9], at.epoch)
            end
            return { 'read' }
        end
        first = 2
    end
    local reply = { 'entries', at.epoch, decimal(at.offset), at.nonce }
    for i = first, #entries do
        local payload = entries[i][2][2]
        if payload == '' then
            return { 'read' }
        end
        reply[#reply + 1] = payload
    end
    return reply
end

-- ---- restart ----
-- ARGV 4 lineage  5 PUBLISH or SPUBLISH  6 board  7 how many removed  8 how many unknown  9 offset up to
-- which unknown
--      ones go, then the fields: removed, unknown, forgotten
-- Reply: epoch, offset, nonce, "0" or "1" (it had this lineage)

local function restart()
    local at = open()
    local lineage, board = ARGV[4], ARGV[6]
    if at.lineage == lineage then
        return { at.epoch, decimal(at.offset), at.nonce, UNCHANGED }
    end
    local removed_end = 9 + tonumber(ARGV[7])
    local unknown_end = removed_end + tonumber(ARGV[8])
    local unknown_up_to = tonumber(ARGV[9])
    local leaving, writes = {}, {}
    for i = 10, removed_end do
        leaving[#leaving + 1] = ARGV[i]
    end
    for i = removed_end + 1, unknown_end do
        local held = parse(redis.call('HGET', state, ARGV[i]))
        if not held or tonumber(held.offset) <= unknown_up_to then
            leaving[#leaving + 1] = ARGV[i]
        end
    end
    for i = unknown_end + 1, #ARGV do
        local held = parse(redis.call('HGET', state, ARGV[i]))
        if held then
            writes[#writes + 1] = ARGV[i]
            writes[#writes + 1] = stored_of('0', held.offset, held.text)
        end
    end
    chunked('HDEL', state, leaving)
    chunked('HSET', state, writes)
    begin(fresh_epoch, decimal(at.offset))
    redis.call('HSET', meta, 'lineage', lineage)
    moved_notice(ARGV[5], board, fresh_epoch)
    return { fresh_epoch, decimal(at.offset), word, OK }
end

-- ---- sweep: fields that no board remembers leave the store, unless they changed meanwhile ----
-- ARGV 4 epoch, then pairs: field, the stored offset ("" = not readable). Reply: how many went

local function sweep()
    if redis.call('HGET', meta, 'epoch') ~= ARGV[4] then
        return 0
    end
    local leaving, floor = {}, tonumber(redis.call('HGET', meta, 'floor') or '0')
    local floor_before = floor
    for i = 5, #ARGV, 2 do
        local field = ARGV[i]
        local held = parse(redis.call('HGET', state, field))
        if field ~= '' and (held and held.offset or '') == ARGV[i + 1] then
            leaving[#leaving + 1] = field
            if held and held.text == 'd' then
                floor = math.max(floor, tonumber(held.offset))
            end
        end
    end
    chunked('HDEL', state, leaving)
    if floor > floor_before then
        redis.call('HSET', meta, 'floor', decimal(floor))
    end
    return #leaving
end

local commands = { apply = apply, sync = sync, restart = restart, sweep = sweep }
return commands[command]()
