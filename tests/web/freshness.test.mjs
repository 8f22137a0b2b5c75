/* Words for freshness. The cases of its computation are vectors: protocol.test.mjs runs them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshnessOf, freshnessWord, troubleText } from '../../web/client/freshness.js';

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
