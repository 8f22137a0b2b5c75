/* What viewers cost that only look on: memory and processor time of the gateway with 2,000 of them. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { sleep } from '../support/waiting.mjs';

const VIEWERS = 2000;
const BYTES_EACH = 2.5 * 1024;
const MEASURED_MS = 10000;

after(async () => {
    endCrowds();
    await stopAll();
});

test('2,000 idle viewers: at most 2.5 KiB of memory each, under 1 % of a core', { timeout: 120000 }, async (context) => {
    if (isSanitized(plainBinary)) {
        context.skip('the only binary at hand is sanitized: its memory and time are not the product\'s');
        return;
    }
    const gateway = await startGateway({ fanout: { heartbeat_ms: 10000 } }, { binary: plainBinary });
    const crowd = new Crowd();
    /* What is loaded and allocated once should not count as somebody's: two viewers come and are measured with. */
    await gateway.post({ field: 'test.count', value: 1 });
    await crowd.call('open', { port: gateway.port, count: 2, board: 'alpha' });
    const before = gateway.rss();
    await crowd.call('open', { port: gateway.port, count: VIEWERS, board: 'alpha' });
    assert.equal(await gateway.metric('gw_viewers', { form: 'ws' }), VIEWERS + 2);
    const each = (gateway.rss() - before) / VIEWERS;

    const cpu = gateway.cpuMs();
    const began = performance.now();
    await sleep(MEASURED_MS);
    const share = (gateway.cpuMs() - cpu) / (performance.now() - began);
    context.diagnostic(`${(each / 1024).toFixed(2)} KiB per viewer, ${(share * 100).toFixed(2)} % of a core`);
    assert.ok(each <= BYTES_EACH, `${(each / 1024).toFixed(2)} KiB per viewer`);
    assert.ok(share < 0.01, `${(share * 100).toFixed(2)} % of a core`);
    const reports = await crowd.call('reports');
    assert.ok(reports.every(({ violations, isClosed, counts }) => violations.length === 0 && !isClosed && counts.heartbeat > 0));

    crowd.end();
    await gateway.stop();
});
