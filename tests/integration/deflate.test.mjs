/* permessage-deflate: one deflated frame for all that negotiated it, none for the others, and no room for bombs. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isSanitized, plainBinary, root, startGateway, stopAll } from '../support/gateway.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';
import { addressFor, deflated } from '../support/websockets.mjs';

const { WebSocket } = createRequire(path.join(root, 'web/package.json'))('ws');
const OFFER = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' };
const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

let gateway;
before(async () => { gateway = await startGateway({ fanout: { deflate_min_bytes: 200 } }); });
after(stopAll);

const deflatedBytes = (at) => gateway.metric('gw_deflate_bytes_total', { at });
const inflateCount = (result) => gateway.metric('gw_inflate_total', { result });
const openRaw = (headers, options) => WsViewer.open(gateway.port, { wire: 'raw', headers, ...options });
const rowsNamed = (name) => Array.from({ length: 20 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: `row ${i} of ${name}` } }));

/** Posts `items` and resolves once every viewer has them. */
async function postTo(viewers, items) {
    const { offset } = viewers[0].copy('alpha');
    await gateway.post(items);
    await Promise.all(viewers.map((viewer) => viewer.reached('alpha', offset + [items].flat().length)));
}

test('all that negotiated it share one deflated frame; the others get the same message plain', async () => {
    const deflating = await Promise.all(Array.from({ length: 50 }, () => openRaw(OFFER)));
    const plain = await Promise.all(Array.from({ length: 3 }, () => openRaw({})));
    const viewers = [...deflating, ...plain];
    await Promise.all(viewers.map((viewer) => viewer.watch('alpha')));
    deflating.forEach(({ socket }) => assert.equal(socket.extensions, ANSWER));
    plain.forEach(({ socket }) => assert.equal(socket.extensions, null));
    assert.equal(await gateway.metric('gw_deflate_viewers'), 50);
    assert.equal(await gateway.metric('gw_viewers', { form: 'ws' }), 53);

    const frames = deflating.map(({ socket }) => socket.deflated);
    const received = viewers.map(({ socket }) => socket.received);
    const encodes = await gateway.metric('gw_encodes_total', { message: 'update' });
    const [earlierBefore, earlierAfter] = [await deflatedBytes('before'), await deflatedBytes('after')];
    await postTo(viewers, rowsNamed('one request, which is one update'));
    const size = Buffer.byteLength(JSON.stringify(plain[0].ofType('update').at(-1)));
    const bytes = viewers.map(({ socket }, i) => socket.received - received[i]);
    assert.equal(await gateway.metric('gw_encodes_total', { message: 'update' }), encodes + 1);
    assert.equal(await deflatedBytes('before') - earlierBefore, size); // once
    assert.equal(await deflatedBytes('after') - earlierAfter, bytes[0]);
    assert.deepEqual(deflating.map(({ socket }, i) => socket.deflated - frames[i]), Array(50).fill(1));
    assert.deepEqual(bytes, [...Array(50).fill(bytes[0]), ...Array(3).fill(size + 4)]);
    assert.ok(bytes[0] < size / 2, `${size} bytes became ${bytes[0]}`);

    await postTo(viewers, { field: 'test.count', value: 1 }); // small: not worth it
    assert.deepEqual(deflating.map(({ socket }, i) => socket.deflated - frames[i]), Array(50).fill(1));
    viewers.forEach((viewer) => { viewer.assertSound(); viewer.cut(); });
    await until('the viewers to be gone', async () => await gateway.metric('gw_deflate_viewers') === 0);
});

test('a client that offers it from a library gets every message, and may compress its own', async () => {
    const earlier = await inflateCount('ok');
    for (const perMessageDeflate of [true, { threshold: 0 }, { threshold: 0, serverMaxWindowBits: 12, clientMaxWindowBits: 9 }]) {
        const [url, options] = addressFor(gateway.port);
        const socket = new WebSocket(url, 'kpi.v1', { perMessageDeflate, ...options });
        const messages = [];
        const say = (message) => socket.send(JSON.stringify(message), { compress: true });
        socket.on('message', (data) => messages.push(JSON.parse(data)));
        await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); });
        assert.match(socket.extensions, /permessage-deflate/);
        for (const message of [{ type: 'hello', client: 'library' }, { type: 'subscribe', board: 'alpha' }, { type: 'ping', clock: 7, more: 'x'.repeat(10000) }]) {
            say(message);
        }
        await until('the answers', () => messages.some(({ type }) => type === 'pong') && messages.some(({ type }) => type === 'snapshot'));
        assert.equal(messages.find(({ type }) => type === 'pong').clock, 7);
        await gateway.post(rowsNamed(`library ${JSON.stringify(perMessageDeflate)}`));
        await until('the update', () => messages.some(({ type, set }) => type === 'update' && Object.keys(set).length === 20));
        socket.terminate();
    }
    assert.ok(await inflateCount('ok') > earlier);
});

const ping = JSON.stringify({ type: 'ping', clock: 5 });

test('messages compressed in any way, whole or in pieces, are understood', async () => {
    const viewer = await openRaw(OFFER);
    await viewer.next('welcome');
    for (const options of [{}, { level: 0 }, { strategy: 4 }, { windowBits: 9 }]) {
        viewer.socket.frame(deflated(ping, options), { rsv: 4 });
        assert.equal((await viewer.next('pong')).clock, 5);
    }
    const payload = deflated(ping);
    viewer.socket.frame(payload.subarray(0, 3), { rsv: 4, fin: false });
    viewer.socket.frame('', { opcode: 9 });
    viewer.socket.frame(payload.subarray(3), { opcode: 0 });
    assert.equal((await viewer.next('pong')).clock, 5);
    viewer.say(ping); // plain
    assert.equal((await viewer.next('pong')).clock, 5);
    viewer.assertSound();
    viewer.cut();
});

const refused = [
    ['a megabyte of zeros in a kilobyte', 1009, 'too_big', deflated(Buffer.alloc(1 << 20))],
    ['a message that is over the cap when inflated', 1009, 'too_big', deflated(JSON.stringify({ type: 'ping', more: 'x'.repeat(16384) }))],
    ['garbage', 1007, 'malformed', Buffer.from([255, 255, 255])],
    ['plain text that says it is compressed', 1007, 'malformed', Buffer.from(ping)],
    ['a message cut short', 1007, 'malformed', deflated(ping).subarray(0, -3)],
];
for (const [name, code, result, payload] of refused) {
    test(`${name}: close ${code}`, async () => {
        const earlier = await inflateCount(result);
        const [viewer, bystander] = [await openRaw(OFFER), await openRaw(OFFER)];
        await bystander.next('welcome');
        viewer.socket.frame(payload, { rsv: 4 });
        assert.equal(await viewer.closed(), code);
        assert.equal(await inflateCount(result), earlier + 1);
        bystander.socket.frame(deflated(ping), { rsv: 4 });
        assert.equal((await bystander.next('pong')).clock, 5);
        bystander.cut();
    });
}

test('RSV1 is refused on a later frame, and where nothing was negotiated', async () => {
    const [deflating, plain] = [await openRaw(OFFER), await openRaw({})];
    deflating.socket.frame('{"type":', { fin: false });
    deflating.socket.frame(deflated('"ping"}'), { opcode: 0, rsv: 4 });
    assert.equal(await deflating.closed(), 1002);
    plain.socket.frame(deflated(ping), { rsv: 4 });
    assert.equal(await plain.closed(), 1002);
});

test('deflate_min_bytes: 0 offers nothing', async () => {
    const silent = await startGateway({ fanout: { deflate_min_bytes: 0 } });
    const viewer = await WsViewer.open(silent.port, { wire: 'raw', headers: OFFER });
    assert.equal(viewer.socket.extensions, null);
    await viewer.watch('alpha');
    assert.equal(viewer.socket.deflated, 0);
    viewer.assertSound();
    viewer.cut();
    await silent.stop();
});

const skip = isSanitized(plainBinary) ? 'a sanitizer has its own idea of memory' : false;

test('a connection that negotiated it needs no more memory', { skip, timeout: 60000 }, async (t) => {
    const COUNT = 1000;
    const perViewer = [];
    for (const headers of [{}, OFFER]) {
        const fresh = await startGateway({}, { binary: plainBinary });
        const open = (count) => Promise.all(Array.from({ length: count }, async () => {
            const viewer = await WsViewer.open(fresh.port, { wire: 'raw', headers, keeps: false });
            await until('the welcome', () => viewer.counts.welcome === 1);
            viewer.socket.frame(headers === OFFER ? deflated(ping) : ping, { rsv: headers === OFFER ? 4 : 0 });
            await until('the answer', () => viewer.counts.pong === 1);
            return viewer;
        }));
        const viewers = await open(50); // what is needed once
        const earlier = fresh.rss();
        viewers.push(...await open(COUNT));
        perViewer.push((fresh.rss() - earlier) / COUNT);
        viewers.forEach((viewer) => viewer.cut());
        await fresh.stop();
    }
    t.diagnostic(`resident bytes per viewer: ${perViewer[0].toFixed(0)} without, ${perViewer[1].toFixed(0)} with`);
    assert.ok(perViewer[1] - perViewer[0] < 4000, `${perViewer[0]} without, ${perViewer[1]} with`); // a window is 32,768
});
