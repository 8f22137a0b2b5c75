/* What a viewer can ask for over WebSocket, and gets. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { atRate, percentile, sleep, until } from '../support/waiting.mjs';

const HEARTBEAT_MS = 400;

let gateway;
let count = 0;
before(async () => {
    gateway = await startGateway({ fanout: { heartbeat_ms: HEARTBEAT_MS } });
});
after(stopAll);

/** A change that no change before made. */
const change = () => gateway.post({ field: 'test.count', value: ++count });
const isAbout = (board) => (message) => message.board === board;

async function withViewer(run, options) {
    const viewer = await WsViewer.open(gateway.port, options);
    await run(viewer);
    viewer.assertSound();
    await viewer.close();
}

for (const wire of ['ws', 'raw']) {
    test(`welcome says who we are, what the limits are, and echoes the clock (${wire})`, () => withViewer(async (viewer) => {
        const welcome = await viewer.next('welcome');
        assert.ok(Math.abs(welcome.now - Date.now()) < 5000, `now ${welcome.now}`);
        assert.deepEqual({ ...welcome, now: 0 }, {
            type: 'welcome', protocol: 'kpi.v1', now: 0, node: 'test-node', build: welcome.build, catalog: welcome.catalog,
            heartbeat_ms: HEARTBEAT_MS, limits: { message_bytes: 16384, subscriptions: 16, messages_per_second: 50 }, clock: 1234567,
        });
        assert.match(welcome.catalog, /^[0-9a-f]{16}$/);
        assert.equal((await gateway.get('/api/v1/dashboards')).json().catalog, welcome.catalog);
    }, { wire, hello: { clock: 1234567 } }));
}

test('subscribe may come right behind hello, and the snapshot equals the one by HTTP', () => withViewer(async (viewer) => {
    await change();
    viewer.subscribe('alpha');
    const snapshot = await viewer.next('snapshot');
    assert.deepEqual(viewer.messages.map(({ message }) => message.type), ['welcome', 'subscribed', 'snapshot']);
    const { now, ...byHttp } = await gateway.snapshot('alpha');
    assert.ok(now > 0);
    assert.deepEqual({ ...snapshot, now: undefined }, { ...byHttp, now: undefined });
}));

test('what one change does to ten boards reaches a viewer of them in two writes', async () => {
    const own = await startGateway({ fanout: { heartbeat_ms: 60000 } }); // a heartbeat would leave with them
    const viewer = await WsViewer.open(own.port);
    const boards = Array.from({ length: 10 }, (_, i) => `board-${String(i + 1).padStart(2, '0')}`);
    for (const board of boards) {
        await viewer.watch(board);
    }
    const merged = () => own.metric('gw_merged_frames_total');
    const together = [];
    for (let value = 1; value <= 9; value++) {
        const before = await merged();
        await own.post({ field: 'test.other', value });
        for (const board of boards) {
            await viewer.next('update', { matching: isAbout(board) });
        }
        together.push(await merged() - before);
    }
    // Eight frames in the first write; their flushes are due in the same turn unless a tick of the clock fell between them.
    const said = `${together} frames left with another`;
    assert.ok(percentile(together, 0.5) >= 7 && Math.max(...together) <= 8, said);
    viewer.assertSound();
    await viewer.close();
    await own.stop();
});

test('changed_at is when the oldest change was accepted', () => withViewer(async (viewer) => {
    await viewer.watch('alpha');
    const earlier = Date.now();
    await change();
    const update = await viewer.next('update');
    assert.ok(update.changed_at >= earlier && update.changed_at <= Date.now(), `${earlier} ${update.changed_at} ${Date.now()}`);
}));

test('max_rate is granted and obeyed, and what it held back comes merged', () => withViewer(async (viewer) => {
    const rate = 4;
    const subscribed = await viewer.watch('alpha', { max_rate: rate });
    assert.deepEqual([subscribed.max_rate, subscribed.hidden], [rate, false]);
    await atRate(50, 100, change);
    const head = (await gateway.snapshot('alpha')).to;
    await viewer.reached('alpha', head);
    const times = viewer.messages.filter(({ message }) => message.type === 'update').map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => at - times[i]);
    assert.ok(times.length >= 4 && times.length <= 11, `${times.length} updates in two seconds at ${rate}/s`);
    /* Here an update may come late, so that the next one follows sooner than its share; changes came every 20 ms. */
    assert.ok(Math.min(...gaps) > 1000 / rate / 4, `gaps ${gaps.map(Math.round)}`);
    const lifted = { type: 'quality', board: 'alpha', max_rate: 0 };
    viewer.say(lifted);
    assert.equal((await viewer.next('subscribed')).max_rate, 0);
    const earlier = viewer.ofType('update').length;
    for (let i = 0; i < 10; i++) {
        await change();
        await until('each change by itself', () => viewer.ofType('update').length === earlier + i + 1, { every: 1 });
    }
}));

test('a hidden viewer gets heartbeats only, and one merged update when it looks again', () => withViewer(async (viewer) => {
    await viewer.watch('alpha');
    viewer.say({ type: 'quality', board: 'alpha', hidden: true });
    assert.equal((await viewer.next('subscribed')).hidden, true);
    const from = viewer.copy('alpha').offset;
    for (let i = 0; i < 30; i++) {
        await change();
    }
    const ahead = await viewer.next('heartbeat', { matching: ({ to }) => to === from + 30 });
    assert.equal(ahead.board, 'alpha');
    assert.equal(viewer.ofType('update').length, 0);
    viewer.say({ type: 'quality', board: 'alpha', hidden: false });
    const shown = await viewer.next('subscribed');
    assert.deepEqual([shown.hidden, shown.resume], [false, 'update']);
    const update = await viewer.next('update');
    assert.deepEqual([update.from <= from, update.to], [true, from + 30]);
    await viewer.next('heartbeat', { matching: ({ to }) => to === from + 30 });
    assert.equal(viewer.ofType('update').length, 1);
}));

test('a board subscribed hidden still gets its first snapshot', () => withViewer(async (viewer) => {
    const subscribed = await viewer.watch('alpha', { hidden: true });
    assert.deepEqual([subscribed.hidden, subscribed.resume], [true, 'snapshot']);
}));

test('unsubscribe ends the updates of that board and of no other', () => withViewer(async (viewer) => {
    await viewer.watch('alpha');
    await viewer.watch('beta');
    viewer.say({ type: 'unsubscribe', board: 'alpha' });
    assert.equal((await viewer.next('unsubscribed')).board, 'alpha');
    await change();
    await viewer.next('update', { matching: isAbout('beta') });
    await viewer.next('heartbeat', { matching: isAbout('beta') });
    assert.equal(viewer.ofType('update').filter(isAbout('alpha')).length, 0);
    viewer.say({ type: 'unsubscribe', board: 'alpha' });
    const error = await viewer.next('error');
    assert.deepEqual([error.code, error.name, error.board, error.retry], [4201, 'not_subscribed', 'alpha', false]);
}));

test('a second subscribe replaces the first, keeping nothing of it', () => withViewer(async (viewer) => {
    await viewer.watch('alpha', { max_rate: 0.01, hidden: true });
    const again = await viewer.watch('alpha');
    assert.deepEqual([again.max_rate, again.hidden, again.resume], [0, false, 'snapshot']);
    await change();
    await viewer.next('update');
    const whole = await viewer.watch('alpha', { position: viewer.copy('alpha').position });
    assert.equal(whole.resume, 'whole');
    await change();
    await viewer.next('update');
    assert.equal(await gateway.metric('gw_subscriptions'), 1);
}));

test('ping is answered with the clock that came, or 0', () => withViewer(async (viewer) => {
    viewer.say({ type: 'ping', clock: 777 });
    const pong = await viewer.next('pong');
    assert.equal(pong.clock, 777);
    assert.ok(Math.abs(pong.now - Date.now()) < 5000);
    viewer.say({ type: 'ping' });
    assert.equal((await viewer.next('pong')).clock, 0);
}));

test('heartbeats come every heartbeat_ms, name the position, and count for viewers of nothing too', () => withViewer(async (viewer) => {
    const idle = await viewer.next('heartbeat');
    assert.equal(idle.board, undefined);
    await viewer.watch('alpha');
    await change();
    await viewer.next('update');
    const heartbeat = await viewer.next('heartbeat', { matching: isAbout('alpha') });
    const { epoch, offset, nonce } = viewer.copy('alpha');
    assert.deepEqual([heartbeat.epoch, heartbeat.to, heartbeat.nonce], [epoch, offset, nonce]);
    assert.equal(heartbeat.sources.http.up, true);
    assert.ok(Math.abs(heartbeat.sources.http.heard - Date.now()) < 60000);
    assert.equal(heartbeat.catalog, viewer.ofType('welcome')[0].catalog);
    for (let i = 0; i < 5; i++) {
        await viewer.next('heartbeat');
    }
    const times = viewer.messages.filter(({ message }) => message.type === 'heartbeat').map(({ message }) => message.now).slice(-5);
    const gaps = times.slice(1).map((now, i) => now - times[i]);
    const median = percentile(gaps, 0.5);
    assert.ok(median > HEARTBEAT_MS * 0.75 && median < HEARTBEAT_MS * 1.5, `gaps ${gaps}`);
}));

test('demo data is marked in every frame', async () => {
    const demo = await startGateway({ demo: { enabled: true }, definitions: { dir: `${root}/deploy/definitions` },
        fanout: { heartbeat_ms: 300 } });
    const viewer = await WsViewer.open(demo.port, { rules: {} });
    await viewer.watch('executive');
    await viewer.next('heartbeat');
    await viewer.next('update', { within: 30000 });
    for (const { message } of viewer.messages.filter(({ message }) => ['welcome', 'snapshot', 'update', 'heartbeat'].includes(message.type))) {
        assert.equal(message.demo, true, `${message.type} is not marked`);
        Object.entries(message.set ?? {}).forEach(([name, value]) => assert.equal(value.demo, true, `${name} is not marked`));
    }
    assert.equal((await demo.get('/api/v1/dashboards')).json().demo, true);
    await viewer.close();
    await demo.stop();
});

test('a peer that answers no ping is gone, one that answers stays', async () => {
    const own = await startGateway({ listen: { ping_after_s: 1, hang_up_after_s: 3 } });
    const deaf = await WsViewer.open(own.port, { wire: 'raw' });
    deaf.socket.answersPings = false;
    const polite = await WsViewer.open(own.port, { wire: 'raw' });
    await deaf.closed({ within: 8000 });
    assert.ok(deaf.socket.pings > 0, 'it was not pinged');
    await sleep(1500);
    assert.ok(!polite.isClosed, 'the one that answers was cut');
    assert.ok(polite.socket.pings >= 2, `${polite.socket.pings} pings`);
    await polite.close();
    await own.stop();
});

test('with a viewer key, only its bearer may watch', async () => {
    const key = 'a-long-enough-viewer-key';
    const own = await startGateway({ viewer: { key } });
    assert.equal(await (await WsViewer.open(own.port)).closed(), 4100);
    assert.equal(await (await WsViewer.open(own.port, { hello: { token: 'wrong' } })).closed(), 4101);
    const good = await WsViewer.open(own.port, { hello: { token: key } });
    await good.watch('alpha');
    good.say({ type: 'refresh', token: key });
    await good.next('refreshed');
    good.say({ type: 'refresh', token: 'wrong' });
    assert.equal(await good.closed(), 4101);
    for (const path of ['/api/v1/dashboards', '/api/v1/dashboards/alpha', '/api/v1/dashboards/alpha/definition',
        '/api/v1/dashboards/alpha/events', '/api/v1/kpis/test.count/history', '/api/v1/data-flow/health',
        '/api/v1/data-flow/metrics', '/health?level=detailed']) {
        const answer = await own.get(path);
        assert.deepEqual([answer.status, answer.json().code], [401, 'unauthenticated'], path);
        assert.equal((await own.get(path, { headers: { authorization: 'Bearer wrong' } })).status, 401, path);
    }
    assert.equal((await own.get('/api/v1/dashboards/alpha', { headers: { authorization: `Bearer ${key}` } })).status, 200);
    assert.equal((await own.get('/health')).status, 200);
    assert.equal(await own.metric('gw_auth_total', { result: 'ok' }), 2);
    assert.equal(await own.metric('gw_auth_total', { result: 'refused' }), 3);
    assert.doesNotMatch(own.log, new RegExp(key), 'the key is in the log');
    await own.stop();
});

test('what viewers report is the delay of the operations board, and nobody is heard too often', async () => {
    const own = await startGateway({ definitions: { dir: path.join(root, 'deploy/definitions') } });
    const viewer = await WsViewer.open(own.port, { rules: {} });
    const heard = (result) => own.metric('gw_client_reports_total', { result });
    await until('a report counts', async () => {
        viewer.say({ type: 'report', delay_ms: [40, 40, 40, 60000] });
        return await heard('counted') === 1;
    }, { within: 15000, every: 500 });
    assert.equal(await own.metric('gw_client_delay_seconds_count'), 4);
    assert.ok(await heard('too_soon') >= 10, 'those before it did not');
    await until('the tile shows it', async () => (await own.snapshot('operations')).set['ops.client_delay_p95'].v > 40);
    viewer.say({ type: 'report', delay_ms: [1, 2, 3, 4, 5, 6, 7, 8, 9] });
    assert.deepEqual(await viewer.next('error').then(({ code, detail }) => [code, detail]), [4002, 'delay_ms']);
    viewer.assertSound();
    await viewer.close();
    await own.stop();
});

test('one connection too many is turned away, and the others stay', async () => {
    const own = await startGateway({ listen: { max_connections: 6 } });
    const viewers = [];
    for (let i = 0; i < 5; i++) {
        viewers.push(await WsViewer.open(own.port, { wire: 'raw' }));
    }
    const attempts = await Promise.allSettled(Array.from({ length: 5 }, () => WsViewer.open(own.port, { wire: 'raw' })));
    assert.ok(attempts.some(({ status }) => status === 'rejected'));
    assert.ok(viewers.every(({ isClosed }) => !isClosed));
    attempts.forEach(({ value }) => value?.cut());
    viewers[4].cut();
    await until('room again', async () => (await own.metric('gw_refused_total', { reason: 'max_connections' })) >= 4);
    await viewers[0].watch('alpha');
    await Promise.all(viewers.slice(0, 4).map((viewer) => viewer.close()));
    await own.stop();
});

test('the gateway stops cleanly', () => gateway.stop());
