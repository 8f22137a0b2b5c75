/* The address names the whole view, and whatever an address says is either understood or as usual. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, parseRotation, viewOf } from '../../web/view_state.js';

const usual = {
    boardId: 'executive', kpiId: '', days: 0, filter: '', rateS: 0, theme: 'auto', density: 'comfortable', isTv: false, rotation: [],
};

test('what is as usual is not in the address', () => {
    assert.equal(addressOf(usual), '?board=executive');
});

test('every part of a view comes back from its address', () => {
    const views = [
        { kpiId: 'exec.revenue_mtd', days: 90 }, { filter: 'stale & "old"/ü' }, { rateS: 5 }, { theme: 'contrast' }, { density: 'compact' },
        { isTv: true, rotation: [{ id: 'executive', seconds: 60 }, { id: 'operations', seconds: 45 }] },
    ];
    for (const members of views) {
        const view = { ...usual, ...members };
        const read = viewOf(addressOf(view));
        assert.deepEqual({ ...read, theme: read.theme ?? 'auto', density: read.density ?? 'comfortable' }, view, addressOf(view));
    }
});

test('a rotation is readable in the address', () => {
    const rotation = parseRotation('executive:60,competitive:45');
    assert.deepEqual(rotation, [{ id: 'executive', seconds: 60 }, { id: 'competitive', seconds: 45 }]);
    assert.equal(addressOf({ ...usual, isTv: true, rotation }), '?board=executive&tv=1&rotate=executive:60,competitive:45');
});

test('nonsense in an address is as usual', () => {
    const read = viewOf(`?board=<b>&kpi=../x&days=-1&rate=7&theme=pink&density=dense&tv=yes&filter=${'x'.repeat(101)}&rotate=,:9,<i>:3`);
    assert.deepEqual(read, { ...usual, boardId: '', theme: undefined, density: undefined });
});

test('a rotation is held within seconds that can be lived with', () => {
    assert.deepEqual(parseRotation('a:0,b:1,c:999999,d'), [
        { id: 'a', seconds: 60 }, { id: 'b', seconds: 5 }, { id: 'c', seconds: 86400 }, { id: 'd', seconds: 60 },
    ]);
    assert.equal(parseRotation(Array(100).fill('a').join()).length, 64);
    assert.deepEqual(parseRotation(null), []);
});
