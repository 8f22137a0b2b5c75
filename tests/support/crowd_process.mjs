/* The process behind crowd.mjs: viewers over raw sockets, each with all checks of viewer.mjs, that report in sums. */
import { isDeepStrictEqual } from 'node:util';
import { WsViewer } from './viewer.mjs';
import { percentile, sleep, until } from './waiting.mjs';

const now = () => performance.timeOrigin + performance.now();
const travellers = [];

/**
 * A viewer that follows `moved`: it connects to where it was told, at the time it was told, resumes with its position, and
 * closes the old connection only when the new one has the board.
 */
class Traveller {
    constructor(index, options) {
        this.index = index;
        this.options = options; // board, members, counter, follows
        this.delays = []; // of updates: when what they tell was posted, and how long it took; flat, to spare the collector
        this.counts = {};
        this.violations = [];
        this.moves = [];
    }

    async open(port, copy) {
        const { board, members, counter, wire = 'raw' } = this.options;
        const viewer = await WsViewer.open(port, { wire, keeps: false, copy });
        viewer.newest = viewer.copies.get(board)?.fields.get(counter)?.v ?? -Infinity; // value of the counter field
        viewer.onMessage = (message) => this.take(viewer, message);
        viewer.onClosed = () => this.closed(viewer);
        const isThere = new Promise((resolve) => { viewer.isThere = resolve; });
        if (board) {
            viewer.subscribe(board, { ...members, ...(copy ? { position: viewer.copy(board).position } : {}) }); // `copy` may have moved on since
            await isThere;
        }
        return viewer;
    }

    async start(port) {
        this.viewer = await this.open(port);
    }

    take(viewer, message) {
        if (viewer === this.left) {
            return; // what the old connection still says after the new one has the board
        }
        this.counts[message.type] = (this.counts[message.type] ?? 0) + 1;
        if (message.type === 'update' || message.type === 'snapshot') {
            this.takeState(viewer, message);
        } else if (message.type === 'subscribed' && message.resume !== 'snapshot') {
            viewer.isThere();
        } else if (message.type === 'moved') {
            this.move(message);
        } else if (message.type === 'error') {
            this.violations.push(JSON.stringify(message));
        }
    }

    takeState(viewer, message) {
        const { counter, stamp } = this.options;
        const value = counter && message.set[counter]?.v;
        if (value !== undefined) {
            if (value < viewer.newest) {
                this.violations.push(`${counter} goes back from ${viewer.newest} to ${value}`);
            }
            viewer.newest = value;
        }
        if (stamp && message.type === 'update') {
            const sent = Object.entries(message.set).filter(([name]) => name.startsWith(stamp)).map(([, { v }]) => v.sent);
            if (sent.length > 0) {
                const first = Math.min(...sent);
                this.delays.push(first, now() - first);
            }
        }
        if (message.type === 'snapshot') {
            this.snapshotNow = message.now;
        }
        viewer.isThere();
    }

    move({ reconnect_in_ms: delay, url }) {
        this.moved = { delay, url };
        if (this.options.follows) {
            this.moving = this.travel(delay, url).catch((error) => this.violations.push(`move: ${error.message}`));
        }
    }

    async travel(delay, url) {
        await sleep(delay);
        this.moves.push(Date.now());
        const old = this.viewer;
        const fresh = await this.open(Number(new URL(url).port), old.copy(this.options.board));
        this.violations.push(...old.everyViolation());
        this.viewer = fresh;
        this.left = old;
        await old.close();
    }

    closed(viewer) {
        if (viewer === this.viewer) {
            this.code = viewer.code;
        }
    }

    /** offset and epoch of the current connection's copy; snapshotNow: what time the last snapshot said it was */
    report() {
        const copy = this.viewer?.copy(this.options.board);
        return {
            counts: this.counts, snapshotNow: this.snapshotNow, violations: [...this.violations, ...(this.viewer?.everyViolation() ?? [])], newest: this.viewer?.newest,
            moved: this.moved, moves: this.moves, code: this.code, isClosed: this.viewer?.isClosed, offset: copy?.offset, epoch: copy?.epoch,
        };
    }
}

function sumUp(seconds) {
    const all = seconds.flat();
    const p99OfSecond = percentile(seconds.map((delays) => percentile(delays, 0.99)), 0.5);
    return { count: all.length, p50: percentile(all, 0.5), p99: percentile(all, 0.99), p99OfSecond };
}

const chosen = ({ from = 0, to = travellers.length } = {}) => travellers.slice(from, to);

const functions = {
    /** Opens `count` viewers, `atOnce` at a time. */
    async open({ port, count, atOnce = 25, ...options }) {
        const first = travellers.length;
        for (let i = 0; i < count; i++) {
            travellers.push(new Traveller(first + i, options));
        }
        const queue = chosen({ from: first });
        const work = async () => {
            for (let next = queue.shift(); next; next = queue.shift()) {
                await next.start(port);
            }
        };
        await Promise.all(Array.from({ length: atOnce }, work));
    },

    /** Everybody was cut off and resumes at `port`, all at once. */
    comeBack: ({ port, ...range }) => Promise.all(chosen(range).map(async (traveller) => {
        const old = traveller.viewer;
        traveller.violations.push(...old.everyViolation().filter((text) => !/ECONNRESET/.test(text)));
        traveller.left = old;
        old.cut();
        traveller.viewer = await traveller.open(port, old.copy(traveller.options.board));
    })),

    pause: (range) => chosen(range).forEach(({ viewer }) => viewer.pause()),
    resume: (range) => chosen(range).forEach(({ viewer }) => viewer.resume()),

    /** Waits until all have this board at `offset`. */
    reached: ({ board, offset, epoch, within = 20000, ...range }) =>
        until(`everybody to be at ${offset}`, () => chosen(range).every(({ viewer }) => {
            const copy = viewer.copy(board);
            return copy.offset >= offset && (!epoch || copy.epoch === epoch);
        }), { within }),

    /**
     * The delays of what was posted within `spans` ([began, ended] in wall-clock ms), as viewers [from, to) saw them: over
     * all, and the median of what each single second gave.
     */
    delays({ spans, ...range }) {
        const seconds = new Map();
        for (const { delays } of chosen(range)) {
            for (let i = 0; i < delays.length; i += 2) {
                const span = spans.findIndex(([began, ended]) => delays[i] >= began && delays[i] < ended);
                if (span >= 0) {
                    const second = span * 1000 + Math.floor((delays[i] - spans[span][0]) / 1000);
                    seconds.set(second, seconds.get(second) ?? []);
                    seconds.get(second).push(delays[i + 1]);
                }
            }
        }
        return sumUp([...seconds.values()]);
    },

    reports: (range) => chosen(range).map((traveller) => traveller.report()),

    /** The fields of the first, and how many of the others differ from them. */
    fields({ board, ...range }) {
        const all = chosen(range).map(({ viewer }) => viewer.copy(board).fields);
        const first = Object.fromEntries(all[0]);
        return { first, differing: all.filter((fields) => !isDeepStrictEqual(Object.fromEntries(fields), first)).length };
    },

    arrived: () => Promise.all(travellers.map(({ moving }) => moving)),
    allClosed: ({ within = 20000 } = {}) => until('everybody to be closed', () => travellers.every(({ viewer }) => viewer.isClosed), { within }),
    close: () => Promise.all(travellers.map(({ viewer }) => viewer.close())),
};

process.on('message', async ({ id, name, options }) => {
    try {
        const answer = await functions[name](options);
        process.send({ id, answer: answer === true ? undefined : answer });
    } catch (error) {
        process.send({ id, error: error.stack });
    }
});
process.on('disconnect', () => process.exit());
