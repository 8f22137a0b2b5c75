/* A gateway that is told to stop moves its viewers elsewhere, one by one, and ends in time. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { keptAlive, post } from '../support/http_client.mjs';
import { Oracle } from '../support/oracle.mjs';
import { isSecure } from '../support/tls.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { atRate, until } from '../support/waiting.mjs';

const VIEWERS = 500;
const WINDOW_MS = 5000;
const GRACE_MS = 10000;
const BUCKET_MS = 100;

after(async () => {
    endCrowds();
    await stopAll();
});

/** Posts a counter and rows to `to` and, as long as it takes them, to `from`; `to` first, so that it is never behind. */
class Producer {
    constructor(from, to) {
        Object.assign(this, { from, to, oracle: new Oracle(), count: 0, isOver: false });
    }

    async step() {
        const i = ++this.count;
        const asOf = Date.now();
        const row = { field: `test.rows#${i % 50}`, value: { text: `row ${i}` }, as_of: asOf };
        const changes = [{ field: 'test.count', value: i, as_of: asOf }, row];
        this.oracle.apply(changes, await this.to.post(changes));
        await post(this.from.port, changes).catch(() => {}); // it takes no new connections while it drains
    }

    start() {
        this.done = atRate(20, Infinity, () => this.step(), () => this.isOver);
    }

    async stop() {
        this.isOver = true;
        await this.done;
    }
}

function bucketsOf(moments) {
    const buckets = new Map();
    for (const moment of moments) {
        const bucket = Math.floor(moment / BUCKET_MS);
        buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    }
    return { count: buckets.size, fullest: Math.max(...buckets.values()), latest: Math.max(...moments) };
}

test('500 viewers move within the window, spread over it, and none misses a change', { timeout: 90000 }, async (context) => {
    const to = await startGateway();
    const from = await startGateway({ drain: { window_ms: WINDOW_MS, grace_ms: GRACE_MS, moved_url: `${isSecure(to.port) ? 'wss' : 'ws'}://127.0.0.1:${to.port}/ws` } });
    const producer = new Producer(from, to);
    const crowd = new Crowd();
    await producer.step();
    await crowd.call('open', { port: from.port, count: VIEWERS, board: 'alpha', counter: 'test.count', follows: true });
    producer.start();
    await until('some changes', () => producer.count > 20);
    const ready = keptAlive(from.port, { maxSockets: 1 }); // a connection from before the stop
    assert.equal((await from.get('/health/ready', { agent: ready })).status, 200);

    const began = Date.now();
    from.signal('SIGTERM');
    await until('the drain to begin', () => from.logged('draining').length === 1, { every: 1 });
    assert.equal((await from.get('/health/ready', { agent: ready })).status, 503);
    await assert.rejects(from.get('/health/live', { agent: false }), /ECONNREFUSED|ECONNRESET/);
    ready.destroy();
    const { at } = await from.ended({ within: GRACE_MS + 2000 });
    assert.ok(at - began <= GRACE_MS, `it took ${at - began} ms`);
    await crowd.call('arrived');
    await producer.stop();
    await crowd.call('reached', { board: 'alpha', offset: producer.oracle.offset('alpha'), epoch: (await to.snapshot('alpha')).epoch });

    const reports = await crowd.call('reports');
    reports.forEach((report, i) => {
        assert.deepEqual([report.violations, report.isClosed, report.moves.length], [[], false, 1], `viewer ${i}`);
        assert.equal(report.newest, producer.count, `viewer ${i} did not come to the last change`);
    });
    const { first, differing } = await crowd.call('fields', { board: 'alpha' });
    assert.equal(differing, 0);
    producer.oracle.assertEqual('alpha', first);

    const asked = bucketsOf(reports.map(({ moved }) => moved.delay));
    const done = bucketsOf(reports.map(({ moves: [moment] }) => moment - began));
    context.diagnostic(`of ${VIEWERS}, the fullest ${BUCKET_MS} ms: ${asked.fullest} asked, ${done.fullest} done; ` +
        `${done.count} buckets; the end after ${at - began} ms`);
    assert.ok(asked.fullest <= VIEWERS * 0.05, `${asked.fullest} asked to reconnect within ${BUCKET_MS} ms`);
    assert.ok(done.fullest <= VIEWERS * 0.05, `${done.fullest} reconnects within ${BUCKET_MS} ms`);
    assert.ok(asked.count >= (WINDOW_MS / BUCKET_MS) * 0.9, `only ${asked.count} buckets of the window are used`);
    assert.ok(asked.latest <= WINDOW_MS, `asked to wait ${asked.latest} ms`);
    await crowd.call('close');
    crowd.end();
    await to.stop();
});

test('viewers that stay are served to the end of the window and closed with 4400', async () => {
    const gateway = await startGateway({ drain: { window_ms: 700, grace_ms: 5000 } });
    const agent = keptAlive(gateway.port, { maxSockets: 1 });
    const ws = await WsViewer.open(gateway.port);
    await ws.watch('alpha');
    const idle = await WsViewer.open(gateway.port);
    const sse = await SseViewer.open(gateway.port, 'alpha');
    await sse.next('snapshot');
    await post(gateway.port, { field: 'test.count', value: 1 }, { agent });
    await ws.reached('alpha', 1);
    const began = Date.now();
    gateway.signal('SIGTERM');
    for (const viewer of [ws, idle, sse]) {
        const moved = await viewer.next('moved');
        assert.ok(moved.reconnect_in_ms >= 0 && moved.reconnect_in_ms <= 700, `${moved.reconnect_in_ms}`);
        assert.equal(moved.url, undefined);
    }
    await post(gateway.port, { field: 'test.count', value: 2 }, { agent });
    await until('changes while it drains', () => ws.copy('alpha').offset === 2 && sse.copy('alpha').offset === 2);
    assert.deepEqual([await ws.closed(), await idle.closed()], [4400, 4400]);
    assert.ok(Date.now() - began >= 700, `closed after ${Date.now() - began} ms`);
    await until('the stream to end', () => sse.isClosed);
    assert.equal(sse.ofType('error').at(-1)?.code, 4400);
    [ws, sse].forEach((viewer) => viewer.assertSound());
    agent.destroy();
    await gateway.ended();
    assert.ok(Date.now() - began < 5000);
});

test('viewers that do not read either cannot hold it longer than the grace', async () => {
    const gateway = await startGateway({ drain: { window_ms: 100, grace_ms: 1500 }, fanout: { flush_ms: 0 } });
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
    await viewer.watch('alpha');
    viewer.pause();
    for (let i = 0; await gateway.metric('gw_slow_total') === 0; i++) {
        assert.ok(i < 1000, 'the buffers do not fill');
        const text = `${i}`.padEnd(1000, 'x');
        await gateway.post(Array.from({ length: 100 }, (_, row) => ({ field: `test.rows#${row}`, value: { text } })));
    }
    const began = Date.now();
    gateway.signal('SIGTERM');
    const { at } = await gateway.ended();
    assert.ok(at - began < 1500 + 1500, `${at - began} ms`);
    viewer.cut();
});

test('without viewers it ends at once', async () => {
    const gateway = await startGateway({ drain: { window_ms: 5000, grace_ms: 10000 } });
    const began = Date.now();
    await gateway.stop();
    assert.ok(Date.now() - began < 2000, `${Date.now() - began} ms`);
});

for (const name of ['SIGTERM', 'SIGINT']) {
    test(`a second ${name} ends it at once`, async () => {
        const gateway = await startGateway({ drain: { window_ms: 20000, grace_ms: 30000 } });
        const viewer = await WsViewer.open(gateway.port);
        await viewer.watch('alpha');
        gateway.signal(name);
        await viewer.next('moved');
        const began = Date.now();
        gateway.signal(name);
        await viewer.closed();
        assert.ok([1001, 1006].includes(viewer.code), `${viewer.code}`);
        await gateway.ended();
        assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
    });
}
