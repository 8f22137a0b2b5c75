/* A change is encoded once per wire form, however many watch. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { SseViewer } from '../support/viewer.mjs';

after(async () => {
    endCrowds();
    await stopAll();
});

test('1,000 viewers, one change: the encoder runs once; with event streams beside them too', { timeout: 60000 }, async () => {
    const gateway = await startGateway();
    const crowd = new Crowd();
    const encodes = () => gateway.metric('gw_encodes_total', { message: 'update' });
    await gateway.post([{ field: 'test.count', value: 0 }, { field: 'test.level', value: 1 }]);
    await crowd.call('open', { port: gateway.port, count: 1000, board: 'alpha' });
    /* A snapshot says what time it is, and is used for a second: one is enough, unless the viewers took longer to come. */
    const times = [...new Set((await crowd.call('reports')).map(({ snapshotNow }) => snapshotNow))].sort();
    assert.equal(await gateway.metric('gw_encodes_total', { message: 'snapshot' }), times.length, 'snapshots of one position');
    assert.ok(times.every((time, i) => i === 0 || time - times[i - 1] > 1000), `snapshots of one position at ${times}`);

    let before = await encodes();
    await gateway.post({ field: 'test.count', value: 1 });
    await crowd.call('reached', { board: 'alpha', offset: 3 });
    assert.equal(await encodes(), before + 1);
    assert.equal(await gateway.metric('gw_frames_total', { kind: 'update' }), 1000);

    const streams = await Promise.all(Array.from({ length: 20 }, () => SseViewer.open(gateway.port, 'alpha')));
    await Promise.all(streams.map((stream) => stream.next('snapshot')));
    before = await encodes();
    const row = { field: 'test.rows#1', value: { text: 'x' } };
    await gateway.post([{ field: 'test.count', value: 2 }, { field: 'test.level', value: 2 }, row]);
    await crowd.call('reached', { board: 'alpha', offset: 6 });
    await Promise.all(streams.map((stream) => stream.reached('alpha', 6)));
    assert.equal(await encodes(), before + 1);

    const reports = await crowd.call('reports');
    reports.forEach(({ violations, counts }) => assert.deepEqual([violations, counts.update], [[], 2]));
    streams.forEach((stream) => { stream.assertSound(); stream.cut(); });
    assert.equal((await crowd.call('fields', { board: 'alpha' })).differing, 0);
    await crowd.call('close');
    crowd.end();
    await gateway.stop();
});
