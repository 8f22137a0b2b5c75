/* A short run of random.mjs; `./dev faults` is the long one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seedOfRun } from '../support/waiting.mjs';
import { run } from './random.mjs';

test('30 seconds of random faults break no promise', async () => {
    const seed = seedOfRun();
    const { storms, failure } = await run({ seconds: 30, seed });
    assert.equal(failure, undefined, `seed ${seed}: ${failure?.message}`);
    assert.ok(storms >= 3, `${storms} storms`);
});
