/*
 * What changed while nobody looked: a board as it was when the page was hidden or paused, against what it is when
 * somebody is back. Then it stands still, so that a walk from change to change does not run after new ones.
 *
 * Pure: boards in, a list out.
 */

const TROUBLED = { crit: 0, warn: 1 };

/** What a person would see of it: a value and its level, or how many rows there are and which came last. */
function lookOf({ value, rows }) {
    const newest = Math.max(0, ...[...rows.values()].map(({ rev }) => rev ?? 0));
    return { v: value?.v, text: JSON.stringify([value?.v, value?.level, rows.size, newest]) };
}

export class Away {
    constructor() {
        this.left = null; // {boardId, at, seen: KPI -> how it looked}
        this.isBack = false;
        this.walk = null; // {boardId, awayMs, changed: [{kpi, was, level}], at}
    }

    /** Nobody looks any more. An earlier moment wins: one may pause a page and then hide it. */
    leave(board, now) {
        if (!this.left || this.left.boardId !== board.id) {
            const seen = new Map([...board.entries].map(([kpi, entry]) => [kpi, lookOf(entry)]));
            this.left = { boardId: board.id, at: now, seen };
        }
        this.isBack = false;
    }

    /** Somebody looks again; what the gateway held back may still be on its way. */
    back() {
        this.isBack = this.left !== null;
    }

    /**
     * The board is whole again. Gives the walk, or null when nothing changed: worst first, then as the board is laid out.
     * `order` lists the KPIs of the board's cards.
     */
    settle(board, order, now) {
        const { left } = this;
        if (!this.isBack || !left || left.boardId !== board.id) {
            return null;
        }
        this.left = null;
        this.isBack = false;
        const isOther = (kpi) => board.entries.has(kpi) && lookOf(board.entries.get(kpi)).text !== left.seen.get(kpi)?.text;
        const changed = order.filter(isOther).map((kpi) => ({ kpi, was: left.seen.get(kpi)?.v, level: board.entries.get(kpi).value?.level }));
        const rank = ({ level }) => TROUBLED[level] ?? 2;
        changed.sort((a, b) => rank(a) - rank(b));
        this.walk = changed.length > 0 ? { boardId: board.id, awayMs: now - left.at, changed, at: -1 } : null;
        return this.walk;
    }

    /** On to the next change; null past the last one, and then the walk is over. */
    next() {
        if (!this.walk) {
            return null;
        }
        this.walk.at++;
        const step = this.walk.changed[this.walk.at] ?? null;
        if (!step) {
            this.walk = null;
        }
        return step;
    }

    forget() {
        this.walk = null;
    }
}
