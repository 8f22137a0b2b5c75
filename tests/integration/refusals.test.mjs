/*
 * What a viewer gets for what it must not send: the documented code for each kind, a counter that rises by one, and the
 * other viewers untouched.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { boards } from '../support/definitions.mjs';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { sendRaw } from '../support/http_client.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';
import { frameOf, handshakeOf } from '../support/websockets.mjs';

let gateway;
let bystander;
before(async () => {
    gateway = await startGateway();
    bystander = await WsViewer.open(gateway.port);
    await bystander.watch('alpha');
});
after(stopAll);

let count = 0;
/** The viewer beside is still served, and was told nothing but values. */
async function assertBystanderIsServed() {
    await gateway.post({ field: 'test.count', value: ++count });
    await until('the bystander to be served', () => bystander.copy('alpha').fields.get('test.count')?.v === count, { within: 3000 });
    bystander.assertSound();
    assert.equal(bystander.counts.error, undefined);
}

const refusedCount = (reason) => gateway.metric('gw_viewer_refused_total', { reason });
const closedCount = (reason) => gateway.metric('gw_viewer_closes_total', { reason });

async function withRaw(run, options) {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw', ...options });
    if (options?.hello !== false) {
        await viewer.next('welcome');
    }
    try {
        await run(viewer);
    } finally {
        viewer.cut();
    }
}

/** `send` ends the connection with this code; metric 'refused' or 'closed' rises by one. */
function assertCloses(name, code, reason, send, options) {
    test(`${name}: close ${code}`, async () => {
        const earlier = await closedCount(reason) + await refusedCount(reason);
        await withRaw(async (viewer) => {
            send(viewer);
            assert.equal(await viewer.closed({ within: 13000 }), code);
        }, options);
        assert.ok(await closedCount(reason) + await refusedCount(reason) > earlier, `${reason} was not counted`);
        await assertBystanderIsServed();
    });
}

/** `send` is answered with this error and the connection goes on. */
function assertErrors(name, code, reason, send, { detail, board } = {}) {
    test(`${name}: error ${code}`, async () => {
        const earlier = await refusedCount(reason);
        await withRaw(async (viewer) => {
            send(viewer);
            const error = await viewer.next('error');
            assert.deepEqual([error.code, error.name, error.retry], [code, reason, false]);
            assert.ok(error.message.length > 0);
            assert.equal(error.board, board);
            if (detail) {
                assert.match(error.detail ?? '', detail);
            }
            viewer.say({ type: 'ping', clock: 1 });
            assert.equal((await viewer.next('pong')).clock, 1);
            viewer.assertSound();
        });
        assert.equal(await refusedCount(reason), earlier + 1);
        await assertBystanderIsServed();
    });
}

const nested = (depth) => `{"type":"ping","x":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
const padded = (length) => `{"type":"ping","x":"${'x'.repeat(length - '{"type":"ping","x":""}'.length)}"}`;

assertCloses('not JSON', 4000, 'malformed', (viewer) => viewer.say('{"type":'));
assertCloses('not an object', 4000, 'malformed', (viewer) => viewer.say('[1]'));
assertCloses('an empty message', 4000, 'malformed', (viewer) => viewer.say(''));
assertCloses('duplicate members', 4000, 'malformed', (viewer) => viewer.say('{"type":"ping","clock":1,"clock":2}'));
assertCloses('nested too deep', 4003, 'too_deep', (viewer) => viewer.say(nested(9)));
assertCloses('nested absurdly deep', 4003, 'too_deep', (viewer) => viewer.say(`{"x":${'['.repeat(16000)}`));
assertCloses('a message too big', 1009, 'too_big', (viewer) => viewer.say(padded(16385)));
assertCloses('a message far too big', 1009, 'too_big', (viewer) => viewer.say(padded(2000000)));
assertCloses('a length beyond all reason', 1009, 'too_big', (viewer) => {
    const head = Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]);
    viewer.socket.bytes(Buffer.concat([head, Buffer.alloc(20000)]));
});
assertCloses('65 fragments', 1009, 'too_big', (viewer) => {
    for (let i = 0; i < 65; i++) {
        viewer.socket.frame(i === 0 ? '{"type":"ping"' : ' ', { opcode: i === 0 ? 1 : 0, fin: false });
    }
});
assertCloses('a binary frame', 1003, 'unsupported_data', (viewer) =>
    viewer.socket.frame('{"type":"ping"}', { opcode: 2 }));
assertCloses('text that is not UTF-8', 1007, 'invalid_text', (viewer) =>
    viewer.socket.frame(Buffer.from('7b2274797065223a22ff227d', 'hex')));
assertCloses('UTF-8 cut by the end of the message', 1007, 'invalid_text', (viewer) =>
    viewer.socket.frame(Buffer.from('{"type":"ping","x":"\u20ac"}').subarray(0, -3)));
assertCloses('no hello for 10 s', 4303, 'hello_timeout', () => {}, { hello: false });
assertCloses('more than 50 messages a second', 4301, 'rate_limited', (viewer) => {
    for (let i = 0; i < 130; i++) {
        viewer.say('{"type":"ping"}');
    }
});
assertCloses('32 refused messages', 4004, 'too_many_errors', (viewer) => {
    for (let i = 0; i < 40; i++) {
        viewer.say({ type: 'quality', board: 'beta' });
    }
});

assertErrors('an unknown type', 4001, 'unknown_type', (viewer) => viewer.say({ type: 'dance' }));
assertErrors('no type', 4002, 'invalid_message', (viewer) => viewer.say({ board: 'alpha' }), { detail: /type/ });
assertErrors('a member of the wrong type', 4002, 'invalid_message', (viewer) =>
    viewer.say({ type: 'subscribe', board: 7 }), { detail: /board/ });
assertErrors('a member out of range', 4002, 'invalid_message', (viewer) =>
    viewer.say({ type: 'subscribe', board: 'alpha', max_rate: 101 }), { detail: /max_rate/ });
assertErrors('a second hello', 4002, 'invalid_message', (viewer) => viewer.say({ type: 'hello' }), { detail: /hello/ });
assertErrors('an unknown board', 4200, 'unknown_board', (viewer) => viewer.subscribe('nobody'), { board: 'nobody' });
assertErrors('quality of a board not watched', 4201, 'not_subscribed', (viewer) =>
    viewer.say({ type: 'quality', board: 'alpha' }), { board: 'alpha' });
assertErrors('a 17th board', 4202, 'too_many_subscriptions', (viewer) => {
    Object.keys(boards).filter((id) => id.startsWith('board-')).forEach((id) => viewer.subscribe(id));
}, { board: 'board-17' });

test('a message before hello: error 4002', () => withRaw(async (viewer) => {
    viewer.subscribe('alpha');
    const error = await viewer.next('error');
    assert.deepEqual([error.code, error.detail], [4002, 'say hello first']);
    viewer.say({ type: 'hello' });
    await viewer.next('welcome');
    await assertBystanderIsServed();
}, { hello: false }));

test('a message before hello where a token is required: close 4100', async () => {
    const own = await startGateway({ viewer: { key: 'a-long-enough-viewer-key' } });
    const viewer = await WsViewer.open(own.port, { wire: 'raw', hello: false });
    viewer.subscribe('alpha');
    assert.equal(await viewer.closed(), 4100);
    await own.stop();
});

test('what is at the limit passes: size, depth, 64 fragments, 16 boards, a burst of 100', () => withRaw(async (viewer) => {
    viewer.say(padded(16384));
    viewer.say(nested(8));
    for (let i = 0; i < 64; i++) {
        viewer.socket.frame(i === 0 ? '{"type":"ping"' : i === 63 ? '}' : ' ', { opcode: i === 0 ? 1 : 0, fin: i === 63 });
    }
    await until('three pongs', () => viewer.counts.pong === 3);
    for (let i = 1; i <= 16; i++) {
        await viewer.watch(`board-${String(i).padStart(2, '0')}`);
    }
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    for (let i = 0; i < 80; i++) {
        viewer.say('{"type":"ping"}');
    }
    await until('every pong', () => viewer.counts.pong === 83);
    assert.equal(viewer.counts.error, undefined);
    viewer.assertSound();
}));

test('control frames between fragments are answered, and the message is whole', () => withRaw(async (viewer) => {
    viewer.socket.frame('{"type":', { fin: false });
    viewer.socket.frame('are you there', { opcode: 9 });
    viewer.socket.frame('"ping","clock":5}', { opcode: 0 });
    assert.equal((await viewer.next('pong')).clock, 5);
}));

test('a viewer that asks and does not read the answers: close 4302, and its memory is given back', { timeout: 120000 }, async () => {
    const own = await startGateway({ fanout: { send_buffer_bytes: 4096 } });
    /* Answers are long and questions short, so that the limit on messages does not end it first. */
    await own.post(Array.from({ length: 300 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'x'.repeat(1000) } })));
    const viewer = await WsViewer.open(own.port, { wire: 'raw', keeps: false });
    await viewer.watch('alpha', {}).catch(() => {});
    viewer.pause();
    for (let i = 0; i < 2000 && await own.metric('gw_viewer_closes_total', { reason: 'too_slow' }) === 0; i++) {
        viewer.say({ type: 'subscribe', board: 'alpha' });
        await new Promise((resolve) => { setTimeout(resolve, 22); });
    }
    assert.equal(await own.metric('gw_viewer_closes_total', { reason: 'too_slow' }), 1);
    viewer.resume();
    assert.equal(await viewer.closed(), 4302);
    viewer.assertSound();
    await own.stop();
});

const vectors = path.join(root, 'protocol/vectors/viewer');
const codeOf = {
    malformed: 4000, invalid_text: 1007, too_big: 1009, too_deep: 4003, unknown_type: 4001, missing_field: 4002, wrong_type: 4002,
    out_of_range: 4002,
};

test('every bad vector gets the code of its result', async () => {
    const files = fs.readdirSync(vectors).filter((name) => name.startsWith('bad_'));
    assert.ok(files.length > 30);
    for (const file of files) {
        const { text, hex, expect } = JSON.parse(fs.readFileSync(path.join(vectors, file), 'utf8'));
        await withRaw(async (viewer) => {
            viewer.socket.frame(hex === undefined ? Buffer.from(text) : Buffer.from(hex, 'hex'));
            await until(`an answer to ${file}`, () => viewer.isClosed || viewer.counts.error > 0);
            const found = viewer.isClosed ? viewer.code : viewer.ofType('error')[0].code;
            assert.equal(found, codeOf[expect.result], file);
        });
    }
    await assertBystanderIsServed();
});

test('bad handshakes are refused by status, counted, and closed', async () => {
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    const cases = [
        ['no subprotocol', { headers: { 'Sec-WebSocket-Protocol': null } }, 400],
        ['another subprotocol', { protocol: 'kpi.v2' }, 400],
        ['a subprotocol that only begins like ours', { protocol: 'kpi.v1x' }, 400],
        ['no version', { headers: { 'Sec-WebSocket-Version': null } }, 426],
        ['version 8', { headers: { 'Sec-WebSocket-Version': '8' } }, 426],
        ['no key', { headers: { 'Sec-WebSocket-Key': null } }, 400],
        ['a short key', { headers: { 'Sec-WebSocket-Key': 'dGhl' } }, 400],
        ['no Connection', { headers: { Connection: 'keep-alive' } }, 400],
        ['no Upgrade', { headers: { Upgrade: null } }, 426],
        ['another path', { path: '/wss' }, 404],
        ['a foreign origin', { headers: { Origin: 'https://evil.example' } }, 403],
    ];
    for (const [name, options, status] of cases) {
        const earlier = await gateway.metrics();
        const answer = await sendRaw(gateway.port, handshakeOf(key, options));
        assert.deepEqual([answer.status, answer.closed], [status, true], `${name}: ${answer.text}`);
        const later = await gateway.metrics();
        const sum = (all) => [...all].filter(([sample]) => sample.startsWith('gw_refused_total'))
            .reduce((total, [, value]) => total + value, 0);
        assert.equal(sum(later), sum(earlier) + 1, `${name} was not counted`);
    }
    const posted = await sendRaw(gateway.port,
        handshakeOf(key).replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n'));
    assert.equal(posted.status, 405);
    const old = await sendRaw(gateway.port, handshakeOf(key).replace('HTTP/1.1', 'HTTP/1.0'));
    assert.equal(old.status, 400);
    const offers = { 'Sec-WebSocket-Protocol': 'other, kpi.v1', 'Sec-WebSocket-Extensions': 'permessage-deflate' };
    const several = await WsViewer.open(gateway.port, { wire: 'raw', headers: offers });
    await several.next('welcome');
    several.cut();
    const host = `127.0.0.1:${gateway.port}`;
    const own = await WsViewer.open(gateway.port, { wire: 'raw', headers: { Origin: `http://${host}`, Host: host } });
    await own.next('welcome');
    own.cut();
    await assertBystanderIsServed();
});

test('broken frames end their connection only', async () => {
    const hello = frameOf('{"type":"hello"}');
    const cases = {
        'an unknown opcode': frameOf('x', { opcode: 3 }),
        'a reserved bit': frameOf('{"type":"ping"}', { rsv: 4 }),
        'a control frame too long': frameOf('x'.repeat(126), { opcode: 9 }),
        'a control frame in fragments': frameOf('x', { opcode: 9, fin: false }),
        'a continuation of nothing': frameOf('x', { opcode: 0 }),
        'a message inside a message': Buffer.concat([frameOf('{', { fin: false }), frameOf('{"type":"ping"}')]),
    };
    for (const [name, bytes] of Object.entries(cases)) {
        const viewer = await WsViewer.open(gateway.port, { wire: 'raw', hello: false });
        viewer.socket.bytes(Buffer.concat([hello, bytes]));
        await viewer.closed({ within: 5000 }).catch((error) => assert.fail(`${name}: ${error.message}`));
        assert.ok([1002, 1003, 1005, 1006, 1007, 1009, 4000].includes(viewer.code), `${name}: ${viewer.code}`);
    }
    await assertBystanderIsServed();
});

test('the gateway stops cleanly', async () => {
    await bystander.close();
    await gateway.stop();
});
