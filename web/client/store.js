/*
 * What the page knows: boards, their definitions and values, recent points, sources, the gateway's clock.
 *
 * It knows no socket and no DOM. Messages go in by `receive`; views read `entries`, one per KPI, each with a version
 * that rises when it changes. While paused, messages are still applied, so positions stay right; only the entries stand still.
 */
import { apply, compareHeartbeat, splitField, trim } from './protocol.js';

/** @typedef {import('./protocol.js').Value} Value */
/** @typedef {import('./protocol.js').GatewayMessage} GatewayMessage */
/** @typedef {import('./connection.js').LinkState} LinkState */

/**
 * What is shown of a KPI. Rows are those of tables, feeds and series.
 * @typedef {{value: Value | undefined, rows: Map<string, Value>, asOf: number | undefined, version: number, changes: number}} Entry
 */

/**
 * What `GET /api/v1/dashboards/{id}/definition` answers.
 * @typedef {{id: string, title: string, question?: string, catalog: string, view?: string, layout: any[], kpis: Record<string, any>,
 *     classes: Record<string, {fresh_s: number, stale_s: number, expired_s: number} | null>, demo?: boolean}} Definition
 */

const POINTS_DEFAULT = 30;
const SAMPLES_KEPT = 8;
/** Clocks tell whole milliseconds, and drift a little between two answers. */
const CLOCK_SLACK_MS = 5;
const FORBIDDEN = 4103;

/** asOf: when the content was observed, the value's own time or that of the newest row. changes: what a view may flash. */
const emptyEntry = () => ({ value: undefined, rows: new Map(), asOf: undefined, version: 0, changes: 0 });

function newestAsOf(entry) {
    let newest = entry.value?.as_of;
    for (const { as_of: asOf } of entry.rows.values()) {
        if (asOf !== undefined && (newest === undefined || asOf > newest)) {
            newest = asOf;
        }
    }
    return newest;
}

function rulesOf(definition) {
    /** @type {import('./protocol.js').Rules} */
    const rules = {};
    for (const [id, kpi] of Object.entries(definition?.kpis ?? {})) {
        rules[id] = { type: kpi.type, cap: kpi.cap };
    }
    return rules;
}

/**
 * How far the gateway's clock is ahead of ours. An answer to a ping bounds that from both sides, and the quickest answer
 * bounds it best; what the gateway says by itself was not said after it was heard, which bounds it from below.
 */
class GatewayClock {
    constructor() {
        this.reset();
    }

    /** Another gateway may have another clock. */
    reset() {
        this.answers = []; // [{trip, offset}], newest last
        this.floors = []; // what the offset is at least, newest last
        this.offsetMs = undefined;
    }

    heard(now, received) {
        this.floors = [...this.floors, now - received].slice(-SAMPLES_KEPT);
        this.#judge();
    }

    answered(sent, now, received) {
        const trip = received - sent;
        if (!(trip >= 0)) {
            return; // our clock was set meanwhile
        }
        if (this.offsetMs < now - received - CLOCK_SLACK_MS || this.offsetMs > now - sent + CLOCK_SLACK_MS) {
            this.reset(); // a clock was set: what was known does not hold any more
        }
        this.answers = [...this.answers, { trip, offset: Math.round(now - (sent + received) / 2) }].slice(-SAMPLES_KEPT);
        this.#judge();
    }

    #judge() {
        const quickest = this.answers.reduce((best, answer) => (answer.trip <= best.trip ? answer : best), { trip: Infinity, offset: -Infinity });
        this.offsetMs = Math.max(quickest.offset, ...this.floors);
    }
}

class Board {
    /** @param {string} id */
    constructor(id) {
        this.id = id;
        /** @type {Definition | null} */
        this.definition = null;
        /** @type {import('./protocol.js').Rules} */
        this.rules = {};
        /** @type {import('./protocol.js').HeldBoard} */
        this.held = { position: null, fields: new Map() }; // as the gateway has it
        /** @type {Map<string, Entry>} by KPI */
        this.entries = new Map();
        /** @type {Map<string, [number, any][]>} by KPI, [[as_of, v], ...] */
        this.history = new Map();
        this.frozenHistory = null; // what it was when the page was paused
        this.withheld = new Set(); // fields that changed while paused
        /** @type {any} */
        this.error = null;
        /** @type {string | undefined} names what the gateway lets this viewer see of the board */
        this.view = undefined;
        this.knownUntil = 0; // gateway's time up to which the values are known to be right
    }

    /**
     * @param {string} kpi
     * @returns {Entry}
     */
    entry(kpi) {
        return this.entries.get(kpi) ?? emptyEntry();
    }

    /** Recent points of a KPI, as shown. Never changed in place, so a view may compare them by identity. */
    points(kpi) {
        return (this.frozenHistory ?? this.history).get(kpi);
    }

    /** What was known must not be shown any more. */
    forget() {
        this.definition = null;
        this.rules = {};
        this.held = { position: null, fields: new Map() };
        this.entries = new Map();
        this.history = new Map();
        this.frozenHistory = null;
        this.withheld = new Set();
        this.view = undefined;
    }

    /** Take these fields over into what is shown. */
    show(fields, isChange) {
        const touched = new Set();
        for (const field of fields) {
            const { kpi, row } = splitField(field);
            const entry = this.entries.get(kpi) ?? emptyEntry();
            this.entries.set(kpi, entry);
            const value = this.held.fields.get(field);
            if (row === undefined) {
                entry.value = value;
            } else if (value) {
                entry.rows.set(row, value);
            } else {
                entry.rows.delete(row);
            }
            touched.add(entry);
        }
        for (const entry of touched) {
            entry.asOf = newestAsOf(entry);
            entry.version++;
            entry.changes += isChange ? 1 : 0;
        }
    }
}

export class Store {
    /**
     * @param {object} [options]
     * @param {() => number} [options.now] own clock, ms
     * @param {() => void} [options.onChange] after everything that may look different now
     * @param {(board: string, fields: Set<string>, message: GatewayMessage) => void} [options.onFields] after a message changed these
     */
    constructor({ now = () => Date.now(), onChange = () => {}, onFields = () => {} } = {}) {
        this.localNow = now;
        this.onChange = onChange;
        this.onFields = onFields;
        /** @type {Map<string, Board>} */
        this.boards = new Map();
        this.list = []; // [{id, title, question}]
        /** @type {Record<string, import('./protocol.js').SourceHealth>} */
        this.sources = {};
        this.clock = new GatewayClock();
        this.catalog = null; // hash of the definitions in force at the gateway
        this.isDemo = false;
        this.isPaused = false;
        this.withheldCount = 0;
        this.delayMs = undefined; // change accepted -> received, of the newest update
        /** @type {LinkState} */
        this.link = { name: 'connecting', since: now(), attempt: 0 };
    }

    /** The gateway's clock minus ours. */
    get offsetMs() {
        return this.clock.offsetMs ?? 0;
    }

    /** The gateway's clock, as well as we know it. */
    now() {
        return this.localNow() + this.offsetMs;
    }

    /**
     * @param {string} id
     * @returns {Board}
     */
    board(id) {
        if (!this.boards.has(id)) {
            this.boards.set(id, new Board(id));
        }
        return this.boards.get(id);
    }

    /** @param {string} id */
    positionOf(id) {
        return this.boards.get(id)?.held.position ?? null;
    }

    /** @param {LinkState} link */
    setLink(link) {
        this.link = link;
        this.onChange();
    }

    setList({ catalog, dashboards, demo }) {
        this.list = dashboards;
        this.catalog = catalog;
        this.isDemo = this.isDemo || demo === true;
        this.onChange();
    }

    /**
     * The answer: do rows of a KPI have another type or cap than those that are held? Then the board is to be asked for
     * anew. PROTOCOL.md, "Heartbeat".
     * @param {Definition} definition
     * @returns {boolean}
     */
    setDefinition(definition) {
        const board = this.board(definition.id);
        const rules = rulesOf(definition);
        const isOther = board.definition !== null && Object.keys(board.rules).some((kpi) =>
            rules[kpi] && (rules[kpi].type !== board.rules[kpi].type || rules[kpi].cap !== board.rules[kpi].cap));
        board.definition = definition;
        board.rules = rules;
        board.error = null;
        this.isDemo = this.isDemo || definition.demo === true;
        this.#publish(board, new Set(trim(board.held.fields, board.rules)), false);
        this.onChange();
        return isOther;
    }

    setBoardError(id, error) {
        const board = this.board(id);
        if (error.code === FORBIDDEN) {
            board.forget();
        }
        board.error = error;
        this.onChange();
    }

    /**
     * A message of the gateway. The answer tells the connection what it did: see connection.js.
     * @param {GatewayMessage} message
     * @returns {'applied' | 'dropped' | 'gap' | 'same' | 'held' | 'differs' | undefined}
     */
    receive(message) {
        this.#noteDemo(message);
        const answer = this.#take(message);
        this.onChange();
        return answer;
    }

    #noteDemo(message) {
        if (['welcome', 'snapshot', 'update', 'heartbeat'].includes(message.type)) {
            this.isDemo = message.demo === true;
        }
    }

    #take(message) {
        switch (message.type) {
        case 'welcome':
            this.catalog = message.catalog;
            this.build = message.build;
            this.node = message.node;
            this.clock.reset();
            this.#takeTime(message);
            return undefined;
        case 'pong':
            this.#takeTime(message);
            return undefined;
        case 'snapshot':
        case 'update':
            return this.#takeContent(message);
        case 'heartbeat':
            return this.#takeHeartbeat(message);
        default:
            return undefined;
        }
    }

    #takeTime({ clock, now }) {
        if (clock) {
            this.clock.answered(clock, now, this.localNow());
        } else {
            this.clock.heard(now, this.localNow());
        }
    }

    #takeContent(message) {
        const board = this.board(message.board);
        const before = message.type === 'snapshot' ? [...board.held.fields.keys()] : [];
        const { action, changed } = apply(board.held, message, board.rules);
        if (action !== 'applied') {
            return action;
        }
        before.forEach((field) => changed.add(field));
        const hasOtherRights = message.type === 'snapshot' && board.view !== undefined && message.view !== board.view;
        if (message.type === 'snapshot') {
            board.history = new Map(Object.entries(message.history ?? {}));
            board.error = null;
            board.view = message.view;
        } else {
            this.#addPoints(board, message.set);
        }
        board.knownUntil = Math.max(board.knownUntil, message.now ?? message.changed_at ?? this.now());
        this.delayMs = message.changed_at ? Math.max(0, this.now() - message.changed_at) : this.delayMs;
        if (hasOtherRights && this.isPaused) { // what may not be seen any more does not wait for the page to go on
            board.show(new Set([...changed, ...board.withheld]), false);
            board.withheld.clear();
            board.frozenHistory = new Map(board.history);
        } else {
            this.#publish(board, changed, message.type === 'update');
        }
        this.onFields(board.id, changed, message);
        return action;
    }

    #publish(board, changed, isChange) {
        if (!this.isPaused) {
            board.show(changed, isChange);
            return;
        }
        this.withheldCount += changed.size;
        changed.forEach((field) => board.withheld.add(field));
    }

    #takeHeartbeat(message) {
        this.sources = message.sources ?? {};
        this.catalog = message.catalog;
        this.clock.heard(message.now, this.localNow());
        if (message.board === undefined) {
            return 'same';
        }
        const board = this.board(message.board);
        const verdict = compareHeartbeat(board.held.position, message);
        if (verdict === 'same') {
            board.knownUntil = Math.max(board.knownUntil, message.now);
        }
        return verdict;
    }

    /** A point per step of the definition: within a step the newest value stands for it. */
    #addPoints(board, set) {
        for (const [kpi, value] of Object.entries(set)) {
            const rule = board.definition?.kpis[kpi]?.history;
            if (rule && value.v !== undefined && value.as_of && (value.state ?? 'ok') === 'ok') {
                const points = [...(board.history.get(kpi) ?? [])];
                const step = (rule.step_s || 1) * 1000;
                const last = points.at(-1);
                if (last && Math.floor(last[0] / step) >= Math.floor(value.as_of / step)) {
                    points.pop();
                }
                points.push([value.as_of, value.v]);
                board.history.set(kpi, points.slice(-(rule.points || POINTS_DEFAULT)));
            }
        }
    }

    // ---- pause ----

    pause() {
        if (!this.isPaused) {
            this.isPaused = true;
            this.withheldCount = 0;
            for (const board of this.boards.values()) {
                board.frozenHistory = new Map(board.history);
            }
            this.onChange();
        }
    }

    /** Show at once everything that was withheld. */
    resume() {
        if (!this.isPaused) {
            return;
        }
        this.isPaused = false;
        this.withheldCount = 0;
        for (const board of this.boards.values()) {
            board.show(board.withheld, true);
            board.withheld.clear();
            board.frozenHistory = null;
        }
        this.onChange();
    }

    /**
     * Is the source of this KPI up, as far as the last heartbeat knows?
     * @param {{source?: {name?: string, kind?: string}}} kpi
     * @returns {boolean}
     */
    isSourceUp(kpi) {
        const { name, kind } = kpi.source ?? {};
        const source = this.sources[name] ?? this.sources[kind] ?? this.sources[sourceNames[kind]];
        return source?.up !== false;
    }
}

/** The definition names the kind of a source; the heartbeat names the link. */
const sourceNames = { pg: 'postgres', postgres: 'pg' };
