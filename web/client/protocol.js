/*
 * kpi.v1 as a viewer sees it: text to messages, and what a message does to a board.
 *
 * Pure: no socket, no clock, no DOM. Runs the vectors of protocol/vectors in Node.
 * A board here is {position, fields}: position is {epoch, offset, nonce} or null while nothing is held,
 * fields is a Map from field name to value. Rules are {kpi: {type, cap}}, taken from the definition.
 */

/**
 * A position in a board's history. Opaque but for equality of epochs and order of offsets.
 * @typedef {{epoch: string, offset: number, nonce: string}} Position
 */

/**
 * What a field holds. `v` is absent when there is no value; it is never null. PROTOCOL.md, "Values".
 * @typedef {object} Value
 * @property {number} [rev] offset of the field's last change
 * @property {number | string | Record<string, any>} [v] money is a decimal string
 * @property {number} [as_of] when the source observed it, Unix ms
 * @property {'ok' | 'partial' | 'nodata' | 'invalid' | 'unreachable'} [state] absent: ok
 * @property {string} [reason] why the state is not ok
 * @property {'warn' | 'crit'} [level] absent: within limits
 * @property {number | string} [target]
 * @property {number | string} [base]
 * @property {number} [num]
 * @property {number} [den]
 * @property {number} [ver] the producer's version
 * @property {true} [demo] the value is invented
 */

/** @typedef {{position: Position | null, fields: Map<string, Value>}} HeldBoard */
/** @typedef {Record<string, {type: string, cap?: number}>} Rules */
/** @typedef {{up: boolean, heard: number, reason?: string}} SourceHealth */

/** @typedef {{type: 'welcome', protocol: string, now: number, node: string, build: string, catalog: string, heartbeat_ms: number, clock?: number, demo?: true}} Welcome */
/** @typedef {{type: 'subscribed', board: string, resume: 'snapshot' | 'update' | 'whole', max_rate: number, hidden: boolean}} Subscribed */
/** @typedef {{type: 'unsubscribed', board: string}} Unsubscribed */
/** @typedef {{type: 'refreshed'}} Refreshed */
/** @typedef {{type: 'expiring', expires_in_ms: number, closes_in_ms: number}} Expiring */
/** @typedef {{type: 'pong', clock: number, now: number}} Pong */
/** @typedef {{type: 'snapshot', board: string, epoch: string, to: number, nonce: string, set: Record<string, Value>, history?: Record<string, [number, any][]>, now: number, view?: string, demo?: true}} Snapshot */
/** @typedef {{type: 'update', board: string, epoch: string, from: number, to: number, nonce: string, set: Record<string, Value>, del: string[], changed_at?: number, demo?: true}} Update */
/** @typedef {{type: 'heartbeat', now: number, catalog: string, board?: string, epoch?: string, to?: number, nonce?: string, sources?: Record<string, SourceHealth>, demo?: true}} Heartbeat */
/** @typedef {{type: 'moved', reconnect_in_ms: number, url?: string}} Moved */
/** @typedef {{type: 'error', code: number, name: string, message: string, retry?: boolean, board?: string, detail?: string}} ErrorMessage */
/** @typedef {Welcome | Subscribed | Unsubscribed | Refreshed | Expiring | Pong | Snapshot | Update | Heartbeat | Moved | ErrorMessage} GatewayMessage */

const INTEGER_MAX = Number.MAX_SAFE_INTEGER;

const isText = (value) => typeof value === 'string';
const isCount = (value) => Number.isInteger(value) && value >= 0 && value <= INTEGER_MAX;
const isTime = (value) => Number.isInteger(value);
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isEpoch = (value) => isText(value) && /^[0-9a-f]{16}$/.test(value);
const isNonce = (value) => isText(value) && /^[0-9a-f]{8}$/.test(value);

/** The members without which a message cannot be used. Everything else in it is optional or ignored. */
const required = {
    welcome: { protocol: isText, now: isTime, catalog: isText, heartbeat_ms: isCount },
    subscribed: { board: isText, resume: isText },
    unsubscribed: { board: isText },
    refreshed: {},
    expiring: { expires_in_ms: isCount, closes_in_ms: isCount },
    pong: { clock: isTime, now: isTime },
    snapshot: { board: isText, epoch: isEpoch, to: isCount, nonce: isNonce, set: isObject, now: isTime },
    update: {
        board: isText, epoch: isEpoch, from: isCount, to: isCount, nonce: isNonce, set: isObject, del: Array.isArray,
    },
    heartbeat: { now: isTime, catalog: isText },
    moved: { reconnect_in_ms: isCount },
    error: { code: Number.isInteger, name: isText, message: isText },
};

function parseObject(text) {
    try {
        const value = JSON.parse(text);
        return isObject(value) ? value : null;
    } catch {
        return null;
    }
}

/**
 * One text frame: {result: 'ok', message}, or a result that says why not, with the member in `problem`.
 * 'unknown_type' is to be ignored; everything else that is not 'ok' is a fault of the gateway.
 * @param {string} text
 * @returns {{result: string, message?: GatewayMessage, problem?: string | null}}
 */
export function decode(text) {
    const message = parseObject(text);
    if (!message) {
        return { result: 'malformed', problem: null };
    }
    if (message.type === undefined) {
        return { result: 'missing_field', problem: 'type' };
    }
    if (!isText(message.type)) {
        return { result: 'wrong_type', problem: 'type' };
    }
    if (!Object.hasOwn(required, message.type)) {
        return { result: 'unknown_type', problem: 'type' };
    }
    for (const [member, accepts] of Object.entries(required[message.type])) {
        if (message[member] === undefined) {
            return { result: 'missing_field', problem: member };
        }
        if (!accepts(message[member])) {
            return { result: 'wrong_type', problem: member };
        }
    }
    return { result: 'ok', message };
}

// ---- positions ----

/**
 * @param {string} text `epoch.offset.nonce`
 * @returns {Position | null} null: it is no position
 */
export function parsePosition(text) {
    const match = /^([0-9a-f]{16})\.(0|[1-9][0-9]{0,15})\.([0-9a-f]{8})$/.exec(text);
    if (!match || /^0+$/.test(match[1]) || Number(match[2]) > INTEGER_MAX) {
        return null;
    }
    return { epoch: match[1], offset: Number(match[2]), nonce: match[3] };
}

/**
 * @param {Position | null | undefined} position
 * @returns {string | undefined}
 */
export function formatPosition(position) {
    return position ? `${position.epoch}.${position.offset}.${position.nonce}` : undefined;
}

const positionOf = (message) => ({ epoch: message.epoch, offset: message.to, nonce: message.nonce });

// ---- fields ----

/**
 * `exec.top_deals#D001` -> {kpi: 'exec.top_deals', row: 'D001'}; row is undefined for a plain KPI.
 * @param {string} field
 * @returns {{kpi: string, row: string | undefined}}
 */
export function splitField(field) {
    const at = field.indexOf('#');
    return at < 0 ? { kpi: field, row: undefined } : { kpi: field.slice(0, at), row: field.slice(at + 1) };
}

/**
 * Order of two row keys by their UTF-8 bytes. That is the order of code points, not of UTF-16 units: a
 * surrogate pair sorts after U+FFFF although its first unit is smaller.
 * @param {string} a
 * @param {string} b
 * @returns {number}
 */
export function compareKeys(a, b) {
    const length = Math.min(a.length, b.length);
    for (let i = 0; i < length; i++) {
        const left = a.charCodeAt(i);
        const right = b.charCodeAt(i);
        if (left !== right) {
            const isHighLeft = left >= 0xd800 && left <= 0xdfff;
            const isHighRight = right >= 0xd800 && right <= 0xdfff;
            return isHighLeft === isHighRight ? left - right : Number(isHighLeft) - Number(isHighRight);
        }
    }
    return a.length - b.length;
}

const trimOrder = {
    feed: (a, b) => (b.value.rev ?? 0) - (a.value.rev ?? 0),
    series: (a, b) => compareKeys(b.row, a.row),
};

/** The KPIs among these fields whose rows are trimmed, each with no rows yet. Nearly every update has none. */
function trimmedKpis(names, rules) {
    const byKpi = new Map();
    for (const name of names) {
        const { kpi, row } = splitField(name);
        if (row !== undefined && Object.hasOwn(rules, kpi) && Object.hasOwn(trimOrder, rules[kpi].type) && rules[kpi].cap > 0) {
            byKpi.set(kpi, []);
        }
    }
    return byKpi;
}

/**
 * Drop the rows beyond each feed's and series' cap, as the gateway does. Only KPIs named by `added`, the fields that
 * may have made one too long, are looked at. Returns the dropped field names.
 * @param {Map<string, Value>} fields
 * @param {Rules} rules
 * @param {Iterable<string>} [added]
 * @returns {string[]}
 */
export function trim(fields, rules, added = fields.keys()) {
    const dropped = [];
    const byKpi = trimmedKpis(added, rules);
    if (byKpi.size === 0) {
        return dropped;
    }
    for (const [field, value] of fields) {
        const { kpi, row } = splitField(field);
        if (row !== undefined) {
            byKpi.get(kpi)?.push({ field, row, value });
        }
    }
    for (const [kpi, rows] of byKpi) {
        const { type, cap } = rules[kpi];
        if (rows.length > cap) {
            rows.sort(trimOrder[type]);
            for (const { field } of rows.slice(cap)) {
                fields.delete(field);
                dropped.push(field);
            }
        }
    }
    return dropped;
}

// ---- what a message does to a board ----

/**
 * PROTOCOL.md, "Overlays".
 * @param {Position | null} position
 * @param {Update} update
 * @returns {'applied' | 'dropped' | 'gap'}
 */
export function decide(position, update) {
    if (!position || update.epoch !== position.epoch) {
        return 'gap';
    }
    if (update.to <= position.offset) {
        return 'dropped';
    }
    return update.from > position.offset ? 'gap' : 'applied';
}

/**
 * Bring a board forward by a snapshot or an update. Returns {action, changed}: changed holds the names of the
 * fields that were set or removed, and is empty unless the action is 'applied'.
 * @param {HeldBoard} board
 * @param {Snapshot | Update} message
 * @param {Rules} rules
 * @returns {{action: 'applied' | 'dropped' | 'gap', changed: Set<string>}}
 */
export function apply(board, message, rules) {
    const changed = new Set();
    if (message.type === 'snapshot') {
        board.fields.clear();
    } else {
        const action = decide(board.position, message);
        if (action !== 'applied') {
            return { action, changed };
        }
    }
    for (const [field, value] of Object.entries(message.set)) {
        if (isObject(value)) {
            board.fields.set(field, value);
            changed.add(field);
        }
    }
    for (const field of message.type === 'update' ? message.del : []) {
        board.fields.delete(field);
        changed.add(field);
    }
    for (const field of trim(board.fields, rules, Object.keys(message.set))) {
        changed.add(field);
    }
    board.position = positionOf(message);
    return { action: 'applied', changed };
}

/**
 * What a heartbeat says about a board: 'same', 'held' (changes are being held back for this viewer) or
 * 'differs' (the histories are not the same; subscribe again without a position).
 * @param {Position | null} position
 * @param {Heartbeat} heartbeat
 * @returns {'same' | 'held' | 'differs'}
 */
export function compareHeartbeat(position, heartbeat) {
    if (!position) {
        return 'same';
    }
    if (heartbeat.epoch !== position.epoch || heartbeat.to < position.offset) {
        return 'differs';
    }
    if (heartbeat.to > position.offset) {
        return 'held';
    }
    return heartbeat.nonce === position.nonce ? 'same' : 'differs';
}

// ---- what a close code asks of the viewer ----

/**
 * 'stop' (our software is wrong), 'token' (a new token is needed), 'move' (at once), 'retry' (with back-off).
 * @param {number} code
 * @returns {'stop' | 'token' | 'move' | 'retry'}
 */
export function closeAction(code) {
    if (code === 1003 || (code >= 1007 && code <= 1009) || (code >= 4000 && code < 4100)) {
        return 'stop';
    }
    if (code >= 4100 && code < 4200) {
        return 'token';
    }
    return code >= 4400 && code < 4500 ? 'move' : 'retry';
}

const closeWords = {
    1003: 'This page sent something the gateway does not read.',
    1007: 'This page sent text that is not valid.',
    1008: 'Something between this page and the gateway does not allow the connection.',
    1009: 'This page sent a message that is too big.',
    4000: 'This page sent a message the gateway could not read.',
    4003: 'This page sent a message that is nested too deeply.',
    4004: 'Too many requests of this page were refused.',
    4100: 'You need to sign in to see these boards.',
    4101: 'Your sign-in is not valid here.',
    4102: 'Your sign-in has expired.',
    4103: 'Your sign-in does not cover this board.',
};

/**
 * A close code in words for the person in front of the page.
 * @param {number} code
 * @returns {string}
 */
export function closeText(code) {
    if (Object.hasOwn(closeWords, code)) {
        return closeWords[code];
    }
    return closeAction(code) === 'token' ? 'You are not signed in.' : 'The gateway refused this page.';
}
