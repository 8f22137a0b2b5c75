/* What viewers cost that only look on: memory and processor time of the gateway with 2,000 of them. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { makeCertificate } from '../support/tls.mjs';
import { sleep } from '../support/waiting.mjs';

const VIEWERS = 2000;
const MEASURED_MS = 10000;

after(async () => {
    endCrowds();
    await stopAll();
});

async function measure(context, config, { kibEach, shareOfCore }) {
    if (isSanitized(plainBinary)) {
        context.skip('the only binary at hand is sanitized: its memory and time are not the product\'s');
        return;
    }
    const gateway = await startGateway({ fanout: { heartbeat_ms: 10000 }, ...config }, { binary: plainBinary });
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
    assert.ok(each <= kibEach * 1024, `${(each / 1024).toFixed(2)} KiB per viewer`);
    assert.ok(share < shareOfCore, `${(share * 100).toFixed(2)} % of a core`);
    const reports = await crowd.call('reports');
    assert.ok(reports.every(({ violations, isClosed, counts }) => violations.length === 0 && !isClosed && counts.heartbeat > 0));

    crowd.end();
    await gateway.stop();
}

test('2,000 idle viewers: at most 2.5 KiB of memory each, under 1 % of a core', { timeout: 120000 },
    (context) => measure(context, {}, { kibEach: 2.5, shareOfCore: 0.01 }));

test('2,000 idle viewers over wss: at most 16.5 KiB of memory each, under 2 % of a core', { timeout: 120000 }, (context) => {
    const { certificate, key } = makeCertificate();
    // Most of the memory is OpenSSL's.
    return measure(context, { tls: { certificate_file: certificate, key_file: key } }, { kibEach: 16.5, shareOfCore: 0.02 });
});
