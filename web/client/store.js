/*
 * What the page knows: boards, their definitions and values, recent points, sources, the gateway's clock.
 *
 * It knows no socket and no DOM. Messages go in by `receive`; views read `entries`, one per KPI, each with a version
 * that rises when it changes. While paused, messages are still applied, so positions stay right; only the entries stand still.
 */
import { apply, compareHeartbeat, splitField, trim } from './protocol.js';

const POINTS_DEFAULT = 30;

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
    const rules = {};
    for (const [id, kpi] of Object.entries(definition?.kpis ?? {})) {
        rules[id] = { type: kpi.type, cap: kpi.cap };
    }
    return rules;
}

class Board {
    constructor(id) {
        this.id = id;
        this.definition = null;
        this.rules = {};
        this.held = { position: null, fields: new Map() }; // as the gateway has it
        this.entries = new Map(); // KPI -> what the page shows
        this.history = new Map(); // KPI -> [[as_of, v], ...]
        this.frozenHistory = null; // what it was when the page was paused
        this.withheld = new Set(); // fields that changed while paused
        this.error = null;
        this.knownUntil = 0; // gateway's time up to which the values are known to be right
    }

    entry(kpi) {
        return this.entries.get(kpi) ?? emptyEntry();
    }

    /** Recent points of a KPI, as shown. Never changed in place, so a view may compare them by identity. */
    points(kpi) {
        return (this.frozenHistory ?? this.history).get(kpi);
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
    constructor({ now = () => Date.now(), onChange = () => {} } = {}) {
        this.localNow = now;
        this.onChange = onChange;
        this.boards = new Map();
        this.list = []; // [{id, title, question}]
        this.sources = {};
        this.offsetMs = 0; // gateway's clock minus ours
        this.bestTripMs = Infinity;
        this.catalog = null; // hash of the definitions in force at the gateway
        this.isDemo = false;
        this.isPaused = false;
        this.withheldCount = 0;
        this.delayMs = undefined; // change accepted -> received, of the newest update
        this.link = { name: 'connecting', since: now(), attempt: 0 };
    }

    /** The gateway's clock, as well as we know it. */
    now() {
        return this.localNow() + this.offsetMs;
    }

    board(id) {
        if (!this.boards.has(id)) {
            this.boards.set(id, new Board(id));
        }
        return this.boards.get(id);
    }

    positionOf(id) {
        return this.boards.get(id)?.held.position ?? null;
    }

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

    setDefinition(definition) {
        const board = this.board(definition.id);
        board.definition = definition;
        board.rules = rulesOf(definition);
        board.error = null;
        this.isDemo = this.isDemo || definition.demo === true;
        this.#publish(board, new Set(trim(board.held.fields, board.rules)), false);
        this.onChange();
    }

    setBoardError(id, error) {
        this.board(id).error = error;
        this.onChange();
    }

    /** A message of the gateway. The answer tells the connection what it did: see connection.js. */
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
            this.bestTripMs = Infinity; // another gateway may have another clock
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

    /** The clock's offset is best known from the shortest round trip; a far worse one teaches nothing. */
    #takeTime({ clock, now }) {
        const received = this.localNow();
        const trip = clock ? received - clock : Infinity;
        if (Number.isFinite(trip) && trip >= 0 && trip <= Math.max(this.bestTripMs * 1.5, 20)) {
            this.offsetMs = Math.round(now - (clock + received) / 2);
            this.bestTripMs = Math.min(this.bestTripMs, trip);
        } else if (this.bestTripMs === Infinity) {
            this.offsetMs = now - received;
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
        if (message.type === 'snapshot') {
            board.history = new Map(Object.entries(message.history ?? {}));
            board.error = null;
        } else {
            this.#addPoints(board, message.set);
        }
        board.knownUntil = Math.max(board.knownUntil, message.now ?? message.changed_at ?? this.now());
        this.delayMs = message.changed_at ? Math.max(0, this.now() - message.changed_at) : this.delayMs;
        this.#publish(board, changed, message.type === 'update');
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

    /** Is the source of this KPI up, as far as the last heartbeat knows? */
    isSourceUp(kpi) {
        const { name, kind } = kpi.source ?? {};
        const source = this.sources[name] ?? this.sources[kind] ?? this.sources[sourceNames[kind]];
        return source?.up !== false;
    }
}

/** The definition names the kind of a source; the heartbeat names the link. */
const sourceNames = { pg: 'postgres', postgres: 'pg' };
