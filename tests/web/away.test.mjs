/* What changed while nobody looked: told once, worst first, and standing still while one walks through it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Away } from '../../web/away.js';

const ORDER = ['a', 'b', 'c', 'd'];

/** A board whose cards can be changed. */
function boardOf(id = 'executive') {
    const board = { id, entries: new Map(ORDER.map((kpi) => [kpi, { value: { v: 1 }, rows: new Map() }])) };
    const set = (kpi, v, members = {}) => {
        const entry = board.entries.get(kpi);
        entry.value = { ...entry.value, v, ...members };
    };
    return { board, set };
}

test('changes are walked through worst first, then as the board is laid out', () => {
    const { board, set } = boardOf();
    const away = new Away();
    away.leave(board, 1000);
    set('d', 5);
    set('b', 7);
    set('c', 9, { level: 'crit' });
    assert.equal(away.settle(board, ORDER, 2000), null, 'nobody is back yet');
    away.back();
    const walk = away.settle(board, ORDER, 61000);
    assert.equal(walk.awayMs, 60000);
    assert.deepEqual(walk.changed.map(({ kpi, was }) => [kpi, was]), [['c', 1], ['b', 1], ['d', 1]]);
    assert.deepEqual([away.next()?.kpi, away.next()?.kpi, away.next()?.kpi, away.next()], ['c', 'b', 'd', null]);
    assert.equal(away.walk, null);
    assert.equal(away.next(), null);
});

test('a value that came back to what it was has not changed, a new level has', () => {
    const { board, set } = boardOf();
    const away = new Away();
    away.leave(board, 0);
    set('a', 2);
    set('a', 1);
    set('b', 1, { level: 'warn' });
    away.back();
    assert.deepEqual(away.settle(board, ORDER, 9000).changed.map(({ kpi }) => kpi), ['b']);
});

test('nothing changed: no walk, and what changes later is not part of it', () => {
    const { board, set } = boardOf();
    const away = new Away();
    away.leave(board, 0);
    away.back();
    assert.equal(away.settle(board, ORDER, 9000), null);
    set('a', 2);
    assert.equal(away.settle(board, ORDER, 9000), null);
});

test('the first of two departures counts, and another board is another matter', () => {
    const { board, set } = boardOf();
    const away = new Away();
    away.leave(board, 0);
    set('a', 2);
    away.leave(board, 5000);
    away.back();
    assert.equal(away.settle(boardOf('operations').board, ORDER, 8000), null);
    assert.deepEqual(away.settle(board, ORDER, 9000), { boardId: 'executive', awayMs: 9000, changed: [{ kpi: 'a', was: 1, level: undefined }], at: -1 });
});

test('a table without a value of its own has changed when a row has', () => {
    const { board } = boardOf();
    const entry = { value: undefined, rows: new Map([['x', { v: {}, rev: 3 }]]) };
    board.entries.set('b', entry);
    for (const change of [() => entry.rows.set('x', { v: {}, rev: 4 }), () => entry.rows.set('y', { v: {}, rev: 2 }), () => entry.rows.delete('x')]) {
        const away = new Away();
        away.leave(board, 0);
        change();
        away.back();
        assert.deepEqual(away.settle(board, ORDER, 1).changed.map(({ kpi }) => kpi), ['b']);
    }
    const away = new Away();
    away.leave(board, 0);
    entry.rows = new Map(entry.rows);
    away.back();
    assert.equal(away.settle(board, ORDER, 1), null, 'the same rows again, as a snapshot brings them');
});
