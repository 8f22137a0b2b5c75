/*
 * The two measurements of loadtest/page_cost.mjs, short: that they see what they should. How many milliseconds it takes is judged by the
 * program itself, on a quiet machine: here others may have most of the machine.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageCost, pageSoak } from '../../../loadtest/page_cost.mjs';
import { hasBrowser } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const SECONDS = 10;
const RATE = 200;

test(`${RATE} changes a second are painted, each or a later one`, { skip }, async (t) => {
    const cost = await pageCost({ seconds: SECONDS, rate: RATE });
    t.diagnostic(JSON.stringify(cost));
    assert.deepEqual(cost.troubles, []);
    assert.equal(cost.refused, 0);
    assert.equal(cost.counts, (SECONDS * RATE) / 10);
    assert.ok(Number.isFinite(cost.paint_ms.max), 'every count was painted, or a later one');
    assert.ok(cost.frames > SECONDS, `${cost.frames} frames`);
    assert.ok(cost.busy_ms.p50 > 0 && cost.busy_ms.p50 <= cost.frame_ms.max, `${cost.busy_ms.p50} ms per frame`);
});

test('the page does not grow under changes', { skip }, async (t) => {
    const soak = await pageSoak({ minutes: 3, minuteMs: 3000, rate: 100 });
    t.diagnostic(JSON.stringify(soak));
    assert.deepEqual(soak.troubles, []);
    assert.equal(soak.samples.length, 4);
    assert.equal(soak.samples[1].nodes, soak.samples[3].nodes); // the first is for warming up
    assert.ok(soak.growth_bytes < 5e6, `${soak.growth_bytes} bytes`);
});
