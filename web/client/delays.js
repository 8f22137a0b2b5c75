/*
 * How late changes are on the screen: from the moment the gateway accepted one until it was painted here.
 *
 * Only changes that were accepted while this page was looking count: what was missed while it was hidden, paused, or
 * without a connection is late by nobody's fault. It knows no socket and no DOM; the page says when it has painted.
 * Spec: PROTOCOL.md, "Reporting".
 */

const KEPT = 512;
/** Updates that wait for one paint; a page that does not paint may receive any number. */
const PENDING_MAX = 64;
const REPORTED_MAX = 8;
const LONGEST_MS = 60000;

/** @param {number[]} sorted @param {number} share */
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

export class Delays {
    /**
     * @param {{now: () => number, random?: () => number}} options  now: the gateway's clock, as far as it is known, in ms
     */
    constructor({ now, random = Math.random }) {
        this.now = now;
        this.random = random;
        /** @type {number[]} the newest, in ms */
        this.recent = [];
        /** @type {number[]} accepted at, gateway's clock */
        this.pending = [];
        /** @type {number[]} an even draw from those since the last report */
        this.drawn = [];
        this.drawnFrom = 0;
        this.count = 0;
        /** @type {Set<string>} boards whose updates are held back as this viewer asked */
        this.slowed = new Set();
        this.restart();
    }

    /** From now on this page looks: it is seen again, goes on after a pause, or has another subscription. */
    restart() {
        this.pending = [];
        this.since = this.now();
    }

    /**
     * A message that was taken in.
     * @param {import('./protocol.js').GatewayMessage} message
     */
    note(message) {
        if (message.type === 'welcome' || message.type === 'snapshot') {
            this.restart();
        } else if (message.type === 'subscribed') {
            this.restart(); // what follows makes up for the time before
            this.slowed[message.max_rate > 0 ? 'add' : 'delete'](message.board);
        } else if (message.type === 'update' && message.changed_at >= this.since && !this.slowed.has(message.board) && this.pending.length < PENDING_MAX) {
            this.pending.push(message.changed_at);
        }
    }

    /** Everything noted so far is on the screen. */
    painted() {
        const now = this.now();
        for (const changedAt of this.pending.splice(0)) {
            this.#add(Math.min(LONGEST_MS, Math.max(0, now - changedAt)));
        }
    }

    /** @param {number} delay */
    #add(delay) {
        this.count++;
        this.recent.push(delay);
        if (this.recent.length > KEPT) {
            this.recent.shift();
        }
        this.drawnFrom++;
        const place = this.drawn.length < REPORTED_MAX ? this.drawn.length : Math.floor(this.random() * this.drawnFrom);
        if (place < REPORTED_MAX) {
            this.drawn[place] = delay;
        }
    }

    /**
     * At most 8 delays of those since the last call, each as likely as the others: what a report carries.
     * @returns {number[]}
     */
    take() {
        this.drawnFrom = 0;
        return this.drawn.splice(0);
    }

    /**
     * Of the newest 512; null while there are none.
     * @returns {{count: number, p50: number, p95: number, max: number} | null}
     */
    summary() {
        if (this.recent.length === 0) {
            return null;
        }
        const sorted = [...this.recent].sort((a, b) => a - b);
        return { count: this.count, p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), max: /** @type {number} */ (sorted.at(-1)) };
    }
}
