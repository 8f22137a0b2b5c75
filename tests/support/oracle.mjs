/*
 * What the boards must hold, worked out from the changes that were posted and nothing the gateway sends to viewers. It
 * counts offsets as well: with the memory journal and no other producer, `rev` is known exactly.
 */
import assert from 'node:assert/strict';
import { boards as testBoards, kpis as testKpis } from './definitions.mjs';

const kpiOf = (field) => field.split('#')[0];
const money = (value) => (typeof value === 'string' && /^-?\d+$/.test(value) ? `${value}.00` : value);

/** The members of a value that the producer and the order decide; levels and reasons have tests of their own. */
function essence({ rev, v, as_of: asOf, state, num, den, ver }) {
    const all = { rev, v, as_of: asOf, state: state ?? 'ok', num, den, ver };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

export class Oracle {
    constructor({ boards = testBoards, kpis = testKpis } = {}) {
        this.kpis = new Map(kpis.map((kpi) => [kpi.id, kpi]));
        this.boards = new Map(Object.entries(boards).map(([id, shown]) => [id, { shown: new Set(shown), offset: 0, fields: new Map() }]));
    }

    offset(board) {
        return this.boards.get(board).offset;
    }

    /** Takes over what one request changed; `items` is the gateway's answer, of which only "accepted" changes anything. */
    apply(changes, { items }) {
        changes.forEach((change, i) => {
            assert.equal(items[i].field, change.field);
            if (items[i].result === 'accepted') {
                this.applyOne(change);
            }
        });
    }

    applyOne(change) {
        for (const board of this.boards.values()) {
            if (board.shown.has(kpiOf(change.field))) {
                board.offset++;
                this.store(board, change);
            }
        }
    }

    store(board, change) {
        if (change.delete) {
            board.fields.delete(change.field);
            return;
        }
        const kpi = this.kpis.get(kpiOf(change.field));
        const value = { rev: board.offset, as_of: change.as_of, state: change.state, ver: change.version };
        if (change.num !== undefined) {
            Object.assign(value, { num: change.num, den: change.den });
            if (change.den !== 0) {
                value.v = Number((change.num / change.den).toPrecision(15));
            } else {
                value.state = 'nodata';
            }
        } else if (change.value === null) {
            value.state = 'nodata';
        } else {
            value.v = kpi.unit === 'money' ? money(change.value) : change.value;
        }
        board.fields.delete(change.field);
        board.fields.set(change.field, value);
        this.trim(board, kpi);
    }

    trim(board, { id, type, cap }) {
        const rows = [...board.fields.keys()].filter((field) => field.startsWith(`${id}#`));
        if (type === 'feed') {
            rows.slice(0, -cap).forEach((field) => board.fields.delete(field)); // insertion order is rev order
        } else if (type === 'series') {
            rows.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).slice(0, -cap).forEach((field) => board.fields.delete(field));
        }
    }

    /** The differences between this board and what a viewer (or a snapshot's `set`) holds, as texts. */
    differences(board, fields) {
        const mine = this.boards.get(board).fields;
        const theirs = fields instanceof Map ? fields : new Map(Object.entries(fields));
        const names = new Set([...mine.keys(), ...theirs.keys()]);
        return [...names].flatMap((name) => {
            const wanted = mine.has(name) ? JSON.stringify(essence(mine.get(name))) : 'nothing';
            const found = theirs.has(name) ? sorted(essence(theirs.get(name)), essence(mine.get(name) ?? {})) : 'nothing';
            return wanted === found ? [] : [`${name}: expected ${wanted}, found ${found}`];
        });
    }

    assertEqual(board, fields, who = 'board') {
        assert.deepEqual(this.differences(board, fields).slice(0, 5), [], `${who} differs from the changes that were posted`);
    }
}

/** Rows come in the order of their columns: compare them in the order of what was posted. */
function sorted(found, wanted) {
    if (found.v !== null && typeof found.v === 'object' && typeof wanted.v === 'object') {
        const order = [...new Set([...Object.keys(wanted.v), ...Object.keys(found.v)])];
        found.v = Object.fromEntries(order.filter((key) => key in found.v).map((key) => [key, found.v[key]]));
    }
    return JSON.stringify(found);
}
