/*
 * The two measurements of loadtest/page_cost.mjs, short: that they see what they should, and limits with room for a machine
 * that does other things too. The numbers that count come from the program itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageCost, pageSoak } from '../../../loadtest/page_cost.mjs';
import { hasBrowser } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const SECONDS = 10;
const RATE = 200;

test(`${RATE} changes a second are painted, each or a later one, and cost few milliseconds a frame`, { skip }, async (t) => {
    const cost = await pageCost({ seconds: SECONDS, rate: RATE });
    t.diagnostic(JSON.stringify(cost));
    assert.deepEqual(cost.troubles, []);
    assert.equal(cost.refused, 0);
    assert.equal(cost.counts, (SECONDS * RATE) / 10);
    assert.ok(cost.paint_ms.p95 < 250, `painted after ${cost.paint_ms.p95} ms`);
    assert.ok(cost.frames > SECONDS * 10, `${cost.frames} frames`);
    assert.ok(cost.busy_ms.p50 > 0 && cost.busy_ms.p95 < 25, `${cost.busy_ms.p95} ms per frame`);
});

test('the page does not grow under changes', { skip }, async (t) => {
    const soak = await pageSoak({ minutes: 3, minuteMs: 3000, rate: 100 });
    t.diagnostic(JSON.stringify(soak));
    assert.deepEqual(soak.troubles, []);
    assert.equal(soak.samples.length, 4);
    assert.equal(soak.nodes[0], soak.nodes[1]);
    assert.ok(soak.growth_bytes < 5e6, `${soak.growth_bytes} bytes`);
});
