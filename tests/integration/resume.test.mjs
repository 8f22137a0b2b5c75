/*
 * A viewer that was cut comes back with its position: exactly one update with all it missed, equal to the snapshot; or a
 * snapshot when the position is of another history. Over WebSocket and over event streams, also when the gateway itself
 * was killed meanwhile.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { Oracle } from '../support/oracle.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { atRate, until } from '../support/waiting.mjs';

const CUT_MS = 10000;
const CHANGES = 1000;

let gateway;
const oracle = new Oracle();
before(async () => {
    gateway = await startGateway({ fanout: { heartbeat_ms: 500 } });
});
after(stopAll);

async function submit(changes) {
    oracle.apply(changes, await gateway.post(changes));
}

/** The i-th change of a mixed stream: a counter, rows that come, change and go, feed entries, money, ratios. */
function mixed(i) {
    const asOf = Date.now();
    const row = `test.rows#${i % 40}`;
    return [
        { field: 'test.count', value: i, as_of: asOf },
        { field: row, value: { text: `change ${i}`, sent: i }, as_of: asOf },
        { field: `test.feed#${i}`, value: { text: `entry ${i}` }, as_of: asOf },
        i % 7 === 0 && i >= 40 ? { field: row, delete: true } : { field: row, value: { text: `again ${i}`, sent: i }, as_of: asOf },
        { field: 'test.money', value: `${i}.25`, as_of: asOf },
        { field: 'test.share', num: i % 50, den: 50, as_of: asOf },
        { field: `test.series#${String(i).padStart(6, '0')}`, value: { value: i }, as_of: asOf },
    ][i % 7];
}

const stateOf = (viewer) => viewer.messages.map(({ message }) => message.type).filter((type) => ['snapshot', 'update'].includes(type));

/** Everything the viewer was told after the cut: one update, and the board is the snapshot's. */
async function assertOneUpdate(viewer, board, who) {
    await viewer.reached(board, oracle.offset(board));
    /* A heartbeat at the same position says that nothing is held back. */
    await viewer.next('heartbeat', { matching: ({ to }) => to === oracle.offset(board) });
    assert.deepEqual(stateOf(viewer), ['update'], who);
    oracle.assertEqual(board, viewer.copy(board).fields, who);
    const { set } = await gateway.snapshot(board);
    assert.deepEqual(Object.fromEntries([...viewer.copy(board).fields].sort()), Object.fromEntries(Object.entries(set).sort()), who);
    viewer.assertSound();
}

test('a viewer cut for 10 s during 1,000 changes gets exactly one update, equal to the snapshot', async () => {
    for (let i = 0; i < 60; i++) {
        await submit([mixed(i)]);
    }
    const ws = await WsViewer.open(gateway.port);
    await ws.watch('alpha');
    const sse = await SseViewer.open(gateway.port, 'alpha');
    await sse.next('snapshot');
    await Promise.all([ws.reached('alpha', oracle.offset('alpha')), sse.reached('alpha', oracle.offset('alpha'))]);
    ws.cut();
    sse.cut();
    const began = Date.now();
    const earlier = oracle.offset('alpha');
    await atRate(CHANGES / (CUT_MS / 1000), CHANGES, (i) => submit([mixed(60 + i)]));
    await until('the end of the cut', () => Date.now() - began >= CUT_MS);
    assert.ok(oracle.offset('alpha') - earlier > CHANGES * 0.95, 'hardly any change was made');

    const wsAgain = await WsViewer.open(gateway.port, { copy: ws.copy('alpha') });
    const subscribed = await wsAgain.watch('alpha', { position: ws.copy('alpha').position });
    assert.equal(subscribed.resume, 'update');
    const sseAgain = await SseViewer.open(gateway.port, 'alpha', { lastEventId: sse.lastEventId, copy: sse.copy('alpha') });
    await assertOneUpdate(wsAgain, 'alpha', 'the WebSocket viewer');
    await assertOneUpdate(sseAgain, 'alpha', 'the event stream');
    const byQuery = await SseViewer.open(gateway.port, 'alpha', { query: `?position=${sse.lastEventId}`, copy: sse.copy('alpha') });
    await assertOneUpdate(byQuery, 'alpha', 'the event stream with its position in the query');
    await wsAgain.close();
    sseAgain.cut();
    byQuery.cut();
});

test('whoever missed nothing is told so: whole by WebSocket, a heartbeat by event stream', async () => {
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const { position } = viewer.copy('alpha');
    assert.equal((await viewer.watch('alpha', { position })).resume, 'whole');
    const sse = await SseViewer.open(gateway.port, 'alpha', { lastEventId: position });
    await until('the first event', () => sse.messages.length > 0);
    assert.equal(sse.messages[0].message.type, 'heartbeat');
    assert.deepEqual(stateOf(viewer), ['snapshot']);
    sse.cut();
    await viewer.close();
});

test('a wrong nonce, another epoch, an offset ahead or no position at all: a snapshot', async () => {
    const { epoch, to, nonce } = await gateway.snapshot('alpha');
    const wrong = (text) => text.slice(0, -1) + (text.endsWith('0') ? '1' : '0');
    const unknown = [`${epoch}.${to}.${wrong(nonce)}`, `${wrong(epoch)}.${to}.${nonce}`, `${epoch}.${to + 1}.${nonce}`, `${epoch}.${to}`,
        `${epoch}.${to}.${nonce}x`, '', 'nonsense', `${epoch}.-1.${nonce}`, `${epoch}.99999999999999999999.${nonce}`];
    const earlier = await gateway.metric('gw_resync_total', { reason: 'unknown_position' });
    const viewer = await WsViewer.open(gateway.port);
    for (const position of unknown) {
        const subscribed = await viewer.watch('alpha', { position });
        assert.equal(subscribed.resume, 'snapshot', `position ${position}`);
        const sse = await SseViewer.open(gateway.port, 'alpha', { query: `?position=${encodeURIComponent(position)}` });
        await sse.next('snapshot');
        assert.deepEqual(stateOf(sse), ['snapshot'], `position ${position}`);
        oracle.assertEqual('alpha', sse.copy('alpha').fields);
        sse.cut();
    }
    assert.ok(await gateway.metric('gw_resync_total', { reason: 'unknown_position' }) >= earlier + 6);
    oracle.assertEqual('alpha', viewer.copy('alpha').fields);
    await viewer.close();
});

test('Last-Event-ID wins over the position of the query', async () => {
    const { epoch, to, nonce } = await gateway.snapshot('alpha');
    const sse = await SseViewer.open(gateway.port, 'alpha', { lastEventId: `${epoch}.${to}.${nonce}`, query: '?position=nonsense' });
    await until('the first event', () => sse.messages.length > 0);
    assert.equal(sse.messages[0].message.type, 'heartbeat');
    sse.cut();
});

test('a position further back than the board remembers gets a snapshot', async () => {
    const own = await startGateway({ limits: { positions_per_board: 16 } });
    const viewer = await WsViewer.open(own.port);
    await own.post({ field: 'test.count', value: 0 });
    await viewer.watch('alpha');
    const { position } = viewer.copy('alpha');
    for (let i = 1; i <= 40; i++) {
        await own.post({ field: 'test.count', value: i });
    }
    const again = await WsViewer.open(own.port);
    assert.equal((await again.watch('alpha', { position })).resume, 'snapshot');
    assert.equal(again.copy('alpha').fields.get('test.count').v, 40);
    await Promise.all([viewer.close(), again.close()]);
    await own.stop();
});

test('more removed rows than the board remembers: a snapshot, never a row too many', async () => {
    const own = await startGateway({ limits: { removed_rows_per_board: 4 } });
    await own.post(Array.from({ length: 20 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'x' } })));
    const viewer = await WsViewer.open(own.port);
    await viewer.watch('alpha', { hidden: true });
    const earlier = viewer.copy('alpha').clone();
    for (let i = 0; i < 10; i++) {
        await own.post({ field: `test.rows#${i}`, delete: true });
    }
    const again = await WsViewer.open(own.port, { copy: earlier });
    again.subscribe('alpha', { position: earlier.position });
    viewer.say({ type: 'quality', board: 'alpha', hidden: false });
    for (const one of [again, viewer]) {
        await one.reached('alpha', 30);
        assert.equal([...one.copy('alpha').fields.keys()].filter((name) => name.startsWith('test.rows#')).length, 10);
        one.assertSound();
        await one.close();
    }
    await own.stop();
});

test('after kill -9 and a restart on the same port a viewer gets a snapshot of a new epoch and converges', async () => {
    const first = await startGateway();
    const { port } = first;
    await first.post(Array.from({ length: 50 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'before' } })));
    const ws = await WsViewer.open(port);
    await ws.watch('alpha');
    const sse = await SseViewer.open(port, 'alpha');
    await sse.next('snapshot');
    await first.kill();
    await until('both to notice', () => ws.isClosed && sse.isClosed);
    assert.equal(ws.code, 1006);

    const second = await startGateway({ listen: { port } });
    const changes = Array.from({ length: 5 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'after' }, as_of: Date.now() }));
    const fresh = new Oracle();
    fresh.apply(changes, await second.post(changes));
    const wsAgain = await WsViewer.open(port);
    assert.equal((await wsAgain.watch('alpha', { position: ws.copy('alpha').position })).resume, 'snapshot');
    const sseAgain = await SseViewer.open(port, 'alpha', { lastEventId: sse.lastEventId });
    await sseAgain.next('snapshot');
    for (const viewer of [wsAgain, sseAgain]) {
        assert.notEqual(viewer.copy('alpha').epoch, ws.copy('alpha').epoch);
        fresh.assertEqual('alpha', viewer.copy('alpha').fields);
        viewer.assertSound();
    }
    const more = [{ field: 'test.count', value: 1, as_of: Date.now() }];
    fresh.apply(more, await second.post(more));
    for (const viewer of [wsAgain, sseAgain]) {
        await viewer.reached('alpha', fresh.offset('alpha'));
        fresh.assertEqual('alpha', viewer.copy('alpha').fields);
    }
    await wsAgain.close();
    sseAgain.cut();
    await second.stop();
});

test('the gateway stops cleanly', () => gateway.stop());
