/* Exports say what the screen says: value, revision, state, as-of, age, and whether it is invented. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boardCsv, COLUMNS, csvCell, csvText, pointsCsv } from '../../web/exporting.js';
import { Store } from '../../web/client/store.js';

const NOW = 1795255391000;
const definition = {
    id: 'executive', title: 'Executive', catalog: 'c', layout: [], classes: { kpis: { fresh_s: 60, stale_s: 120, expired_s: 600 } },
    kpis: {
        'exec.money': { id: 'exec.money', title: 'Money, all', type: 'gauge', unit: 'money', currency: 'USD', class: 'kpis', source: {} },
        'exec.none': { id: 'exec.none', title: 'None', type: 'gauge', unit: 'integer', class: 'kpis', source: {} },
        'exec.deals': { id: 'exec.deals', title: 'Deals', type: 'table', class: 'kpis', source: {}, columns: [{ key: 'name', title: 'Deal', unit: 'text' }, { key: 'amount', title: 'Amount', unit: 'money' }] },
    },
};

function storeOf(demo) {
    const store = new Store({ now: () => NOW });
    store.setDefinition(definition);
    store.receive({
        type: 'snapshot', board: 'executive', epoch: '6f1c0d9e2b7a4455', to: 9, nonce: '9f3a2b1c', now: NOW, history: {}, ...(demo ? { demo: true } : {}),
        set: {
            'exec.money': { v: '1284300.50', as_of: NOW - 200000, rev: 7 },
            'exec.deals#D1': { v: { name: '=cmd|"x"', amount: '-5.00' }, as_of: NOW - 1000, rev: 8 },
        },
    });
    return store;
}

const linesOf = (text) => text.trimEnd().split('\r\n');

test('a board as CSV: every field with its value, revision, state, age and the demo mark', () => {
    const store = storeOf(true);
    const [head, ...lines] = linesOf(boardCsv(store, store.board('executive')));
    assert.equal(head, COLUMNS.join(','));
    assert.deepEqual(lines, [
        `${new Date(NOW).toISOString()},executive,exec.money,"Money, all",,1284300.50,USD,7,ok,Stale,${new Date(NOW - 200000).toISOString()},200,demo`,
        `${new Date(NOW).toISOString()},executive,exec.none,None,,,integer,,nodata,No data,,,demo`,
        `${new Date(NOW).toISOString()},executive,exec.deals#D1,Deals,name,"'=cmd|""x""",text,8,ok,Current,${new Date(NOW - 1000).toISOString()},1,demo`,
        `${new Date(NOW).toISOString()},executive,exec.deals#D1,Deals,amount,-5.00,money,8,ok,Current,${new Date(NOW - 1000).toISOString()},1,demo`,
    ]);
});

test('without demo data nothing says so', () => {
    const store = storeOf(false);
    assert.ok(linesOf(boardCsv(store, store.board('executive'))).slice(1).every((line) => line.endsWith(',')));
});

test('cells: numbers as they are, formulas disarmed, commas and quotes quoted', () => {
    const cells = { '-12.5': '-12.5', '1e-7': '1e-7', '=1+1': "'=1+1", '+1': "'+1", '@x': "'@x", 'a,b': '"a,b"', 'a"b': '"a""b"', 'a\nb': '"a\nb"', '': '' };
    for (const [value, cell] of Object.entries(cells)) {
        assert.equal(csvCell(value), cell);
    }
    assert.equal(csvCell(undefined), '');
    assert.equal(csvText([[1, null, 'x']]), '1,,x\r\n');
});

test('a history as CSV: the newest point has the revision and state of the value', () => {
    const points = [[NOW - 86400000, '1.00'], [NOW - 1000, '2.00']];
    const [head, first, last] = linesOf(pointsCsv({ id: 'x' }, points, { v: '2.00', as_of: NOW - 1000, rev: 4, state: 'partial' }, false, NOW));
    assert.equal(head, 'time,value,revision,state,as_of,age_s,demo');
    assert.equal(first, `${new Date(NOW - 86400000).toISOString()},1.00,,,${new Date(NOW - 86400000).toISOString()},86400,`);
    assert.equal(last, `${new Date(NOW - 1000).toISOString()},2.00,4,partial,${new Date(NOW - 1000).toISOString()},1,`);
});
