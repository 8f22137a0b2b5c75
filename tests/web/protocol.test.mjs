/* The web's reading of kpi.v1 against the vectors that the C codecs run as well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    apply, closeAction, compareHeartbeat, compareKeys, decode, formatPosition, parsePosition, splitField,
} from '../../web/client/protocol.js';
import { freshnessOf } from '../../web/client/freshness.js';
import { vectorCases } from './support/client_vectors.mjs';
import { position } from './support/fakes.mjs';
import { readVectors } from './support/read_vectors.mjs';

const cases = vectorCases({ apply, decode, formatPosition, freshnessOf, parsePosition }, await readVectors());
for (const { name, failure } of cases) {
    test(name, () => assert.equal(failure, null));
}

test('the check of the vectors finds what is wrong', async () => {
    const wrong = { apply: () => ({ action: 'applied' }), decode: () => ({ result: 'ok', message: {} }), formatPosition, freshnessOf: () => 'fresh', parsePosition: () => null };
    const failed = vectorCases(wrong, await readVectors()).filter(({ failure }) => failure !== null);
    for (const kind of ['gateway message', 'overlay', 'position', 'freshness']) {
        assert.ok(failed.some(({ name }) => name.startsWith(`${kind}: `)), kind);
    }
});

test('a field splits at the first separator', () => {
    assert.deepEqual(splitField('exec.top_deals#D#1'), { kpi: 'exec.top_deals', row: 'D#1' });
    assert.deepEqual(splitField('exec.revenue_mtd'), { kpi: 'exec.revenue_mtd', row: undefined });
});

test('row keys are ordered by their UTF-8 bytes', () => {
    const keys = ['b', 'a', '\u{1f600}', '\uffee', 'ab', '', '\ud7ff', '10', '9'];
    const expected = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual([...keys].sort(compareKeys), expected);
});

test('apply names exactly the fields that changed', () => {
    const board = { position: position(5), fields: new Map([['a.t#1', { rev: 1, v: 1 }], ['a.x', { rev: 2, v: 1 }]]) };
    const message = { type: 'update', epoch: position(5).epoch, from: 5, to: 7, nonce: '00000007', set: { 'a.x': { rev: 6, v: 2 } }, del: ['a.t#1'] };
    assert.deepEqual([...apply(board, message, {}).changed].sort(), ['a.t#1', 'a.x']);
});

test('a heartbeat tells same, held and different apart', () => {
    const at = position(10);
    assert.equal(compareHeartbeat(at, { ...at, to: 10 }), 'same');
    assert.equal(compareHeartbeat(at, { ...at, to: 12, nonce: '00000000' }), 'held');
    assert.equal(compareHeartbeat(at, { ...at, to: 10, nonce: '00000000' }), 'differs');
    assert.equal(compareHeartbeat(at, { ...at, to: 9 }), 'differs');
    assert.equal(compareHeartbeat(at, { epoch: '00000000000000aa', to: 12, nonce: at.nonce }), 'differs');
});

test('close codes say what to do by their range', () => {
    const expected = {
        stop: [1003, 1007, 1008, 1009, 4000, 4003, 4004], token: [4100, 4101, 4102], move: [4400],
        retry: [1000, 1001, 1002, 1005, 1006, 1011, 1012, 1013, 4300, 4301, 4302, 4303, 4304],
    };
    for (const [action, codes] of Object.entries(expected)) {
        codes.forEach((code) => assert.equal(closeAction(code), action, String(code)));
    }
});
