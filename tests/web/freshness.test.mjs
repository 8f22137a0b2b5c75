import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { freshnessOf, freshnessWord, troubleText } from '../../web/client/freshness.js';

const { cases } = JSON.parse(await readFile(new URL('../../protocol/vectors/freshness.json', import.meta.url), 'utf8'));

for (const { name, state, as_of: asOf, now, fresh_s, stale_s, expired_s, source_up: isUp, expect } of cases) {
    test(`freshness: ${name}`, () => {
        const value = { as_of: asOf ?? undefined, state: state === 'ok' ? undefined : state };
        const limits = fresh_s === null || fresh_s === undefined ? null : { fresh_s, stale_s, expired_s };
        assert.equal(freshnessOf(value, limits, isUp, now), expect);
    });
}

test('a field that never arrived has no data', () => {
    assert.equal(freshnessOf(undefined, { fresh_s: 1, stale_s: 2, expired_s: 3 }, true, 0), 'nodata');
});

test('every freshness has a word, and the reason of the producer wins over ours', () => {
    for (const freshness of ['fresh', 'ageing', 'stale', 'expired', 'nodata', 'invalid', 'unreachable']) {
        assert.notEqual(freshnessWord(freshness), freshness);
    }
    assert.equal(troubleText('invalid', 'value 132 is above 100'), 'value 132 is above 100');
    assert.match(troubleText('stale', undefined), /\w/);
    assert.equal(troubleText('fresh', undefined), '');
});
