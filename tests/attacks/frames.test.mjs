/*
 * WebSockets that break the rules, or keep to them a million times a second. Every refusal has its close code and its counter; what
 * a flood costs is one connection's share of each turn.
 */
import assert from 'node:assert/strict';
import { constants, deflateRawSync } from 'node:zlib';
import { sleep, until } from '../support/waiting.mjs';
import { deflated, frameOf, RawWebSocket } from '../support/websockets.mjs';
import { refusedMessage, testAttacks } from './scene.mjs';
import { forSome, openWires, Tally, upgrade, cutAll, PATIENCE } from './wire.mjs';

const SOME_MS = 300;
const AT_ONCE = 4;
const MIB = 1 << 20;
const hello = frameOf('{"type":"hello","client":"attack"}');
const deflate = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } };

/** Says hello and `bytes`; resolves with the code that it was closed with. */
async function closeCode(port, bytes, options) {
    const socket = await RawWebSocket.open(port, options);
    socket.bytes(Buffer.concat([hello, bytes]));
    await until('the close', () => socket.isClosed, { ...PATIENCE, every: 2 });
    return socket.code;
}

/** [name, bytes, code, reason, options] -> an attack that sends them by turns. */
function attackWith(cases) {
    return async ({ port, isSecure }) => {
        const chosen = cases.filter(({ on }) => on === undefined || (on === 'tls') === isSecure);
        const tally = new Tally(...chosen.map(({ reason }) => refusedMessage(reason)));
        let next = 0;
        const one = async () => {
            const { name, bytes, code, reason, options } = chosen[next++ % chosen.length];
            const got = await closeCode(port, bytes, options);
            assert.ok([code].flat().includes(got), `${name}: closed with ${got}`);
            tally.add(refusedMessage(reason));
        };
        for (let i = 0; i < chosen.length; i++) {
            await one();
        }
        await forSome(SOME_MS, AT_ONCE, one);
        return tally.counts;
    };
}

const breach = (name, bytes, more = {}) => ({ name, bytes, code: 1002, reason: 'protocol_error', ...more });
const parts = (count, text) => Buffer.concat(Array.from({ length: count }, (_, i) => frameOf(text, { opcode: i === 0 ? 1 : 0, fin: false })));
const bomb = (bytes) => deflated(Buffer.alloc(bytes, '['), { level: constants.Z_BEST_COMPRESSION });

const tooLong = [
    ['a ping that is too long', frameOf('p'.repeat(126), { opcode: 9 })],
    ['a pong that is too long', frameOf('p'.repeat(70000), { opcode: 10 })],
    ['a close that is too long', frameOf(Buffer.alloc(1000, 3), { opcode: 8 })],
];

const breaches = [
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => breach(`opcode ${opcode}`, frameOf('{}', { opcode }))),
    ...[1, 2, 3, 4, 5, 6, 7].map((rsv) => breach(`reserved bits ${rsv}`, frameOf('{}', { rsv }))),
    ...[1, 2, 3, 6].map((rsv) => breach(`reserved bits ${rsv} beside compression`, frameOf('{}', { rsv }), { options: deflate })),
    breach('RSV1 on a later frame', Buffer.concat([frameOf('{', { fin: false }), frameOf('}', { opcode: 0, rsv: 4 })]), { options: deflate }),
    breach('a continuation of nothing', frameOf('{}', { opcode: 0 })),
    breach('a message inside a message', Buffer.concat([frameOf('{', { fin: false }), frameOf('{}')])),
    breach('a ping in parts', frameOf('', { opcode: 9, fin: false })),
    breach('a close in parts', frameOf('', { opcode: 8, fin: false })),
    ...tooLong.map(([name, bytes]) => breach(name, bytes, { on: 'tls' })),
    breach('an unmasked frame', frameOf('{}', { masked: false }), { on: 'tls' }), // libwebsockets takes it
];

const large = [
    { name: 'a message', bytes: frameOf('x'.repeat(16385)) },
    { name: 'a megabyte', bytes: frameOf('x'.repeat(MIB)) },
    { name: 'a length beyond all reason', bytes: Buffer.concat([Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]), Buffer.alloc(20000)]) },
    { name: '65 parts', bytes: parts(66, '') },
    { name: 'large parts', bytes: parts(64, 'x'.repeat(1000)) },
    { name: 'a bomb of one megabyte', bytes: frameOf(bomb(MIB), { rsv: 4 }), options: deflate },
    { name: 'a bomb of ten', bytes: frameOf(bomb(10 * MIB), { rsv: 4 }), options: deflate },
    { name: 'a bomb in parts', bytes: Buffer.concat([frameOf(bomb(MIB), { rsv: 4, fin: false }), frameOf('', { opcode: 0 })]), options: deflate },
    { name: 'a bomb just over the limit', bytes: frameOf(bomb(16385), { rsv: 4 }), options: deflate },
].map((each) => ({ code: 1009, reason: 'too_big', ...each }));

const notText = [
    { name: 'bytes that are not UTF-8', bytes: frameOf(Buffer.from('7b2274797065223a22ff227d', 'hex')) },
    { name: 'half a letter', bytes: frameOf(Buffer.from('{"a":"\u20ac"}').subarray(0, -3)) },
    { name: 'what does not inflate', bytes: frameOf(Buffer.from('ffffffffffff', 'hex'), { rsv: 4 }), options: deflate },
    { name: 'a window that is not there', bytes: frameOf(deflateRawSync(Buffer.from('abcabcabc'), { dictionary: Buffer.from('abcabcabc') }).subarray(0, -1), { rsv: 4 }), options: deflate },
    { name: 'a zip bomb of another kind', bytes: frameOf(Buffer.from('1f8b0800000000000003', 'hex'), { rsv: 4 }), options: deflate },
].map((each) => ({ code: 1007, reason: 'invalid_text', ...each }));

const notJson = [
    { name: 'nothing', bytes: frameOf(''), code: 4000, reason: 'malformed' },
    { name: 'half an object', bytes: frameOf('{"type":'), code: 4000, reason: 'malformed' },
    { name: 'the same member twice', bytes: frameOf('{"type":"ping","type":"ping"}'), code: 4000, reason: 'malformed' },
    { name: 'a thousand brackets', bytes: frameOf(`{"x":${'['.repeat(16000)}`), code: 4003, reason: 'too_deep' },
    { name: 'binary', bytes: frameOf('{"type":"ping"}', { opcode: 2 }), code: 1003, reason: 'unsupported_data' },
];

/** As much of `bytes` as the socket takes, for `ms`; resolves with how often. */
async function pour(sockets, bytes, ms) {
    const end = performance.now() + ms;
    let count = 0;
    while (performance.now() < end) {
        for (const { socket } of sockets) {
            for (let i = 0; i < 8 && socket.writable && socket.writableLength < 4 * bytes.length; i++) {
                socket.write(bytes);
                count++;
            }
        }
        await sleep(1);
    }
    return count;
}

const greeted = (port, count, options) => Promise.all(Array.from({ length: count }, async () => {
    const socket = await RawWebSocket.open(port, options);
    socket.bytes(hello);
    return socket;
}));

testAttacks({
    'frames that break the rules': { run: attackWith(breaches) },
    'control frames that are too long': { // libwebsockets hangs up without a word, to them or to us
        on: 'plain',
        async run({ port }) {
            let next = 0;
            await forSome(SOME_MS, AT_ONCE, async () => {
                const [name, bytes] = tooLong[next++ % tooLong.length];
                assert.equal(await closeCode(port, bytes), 1006, name);
            });
            return {};
        },
    },
    'messages that are too large, in parts, or when inflated': { growth: 8 * MIB, run: attackWith(large) },
    'messages that are no text': { run: attackWith(notText) },
    'messages that are no message': { run: attackWith(notJson) },

    'a flood of pings, as fast as they are taken': {
        growth: 8 * MIB,
        async run({ port }) {
            const sockets = await greeted(port, 8);
            const record = Buffer.concat(Array.from({ length: 1000 }, () => frameOf('', { opcode: 9 })));
            assert.ok(await pour(sockets, record, 1000) > 10);
            sockets.forEach((socket) => socket.destroy());
            return {};
        },
    },

    'a flood of pings, and the answers are not read': {
        growth: 8 * MIB,
        async run({ port }) {
            const sockets = await greeted(port, 8);
            sockets.forEach((socket) => socket.pause());
            const record = Buffer.concat(Array.from({ length: 100 }, () => frameOf('p'.repeat(125), { opcode: 9 })));
            await pour(sockets, record, 1000);
            sockets.forEach((socket) => socket.destroy());
            return {};
        },
    },

    'a flood of subscriptions and their ends': {
        growth: 8 * MIB,
        async run({ port }) {
            const tally = new Tally(refusedMessage('rate_limited'));
            const both = Buffer.concat([frameOf('{"type":"subscribe","board":"alpha"}'), frameOf('{"type":"unsubscribe","board":"alpha"}')]);
            const many = Buffer.concat(Array.from({ length: 100 }, () => both));
            await forSome(1000, 8, async () => {
                assert.equal(await closeCode(port, many), 4301);
                tally.add(refusedMessage('rate_limited'));
            });
            return tally.counts;
        },
    },

    'refused messages, and more of them': {
        async run({ port }) {
            const tally = new Tally('gw_viewer_closes_total{reason="too_many_errors"}');
            const wrong = Buffer.concat(Array.from({ length: 40 }, () => frameOf('{"type":"quality","board":"beta"}')));
            await forSome(SOME_MS, AT_ONCE, async () => {
                assert.equal(await closeCode(port, wrong), 4004);
                tally.add('gw_viewer_closes_total{reason="too_many_errors"}');
            });
            return tally.counts;
        },
    },

    'many messages that are never finished': {
        growth: 12 * MIB, // 16 KiB each, and what a connection costs
        async run({ port }) {
            const sockets = await greeted(port, 200);
            sockets.forEach((socket) => socket.bytes(parts(60, 'x'.repeat(256)))); // just below both limits
            await sleep(500);
            assert.ok(sockets.every(({ isClosed }) => !isClosed));
            sockets.forEach((socket) => socket.destroy());
            return {};
        },
    },

    'frames in single bytes': {
        async run({ port }) {
            const sockets = await greeted(port, 20);
            const said = frameOf('{"type":"subscribe","board":"nobody"}');
            const heard = sockets.map(() => '');
            sockets.forEach((socket, i) => { socket.onText = (text) => { heard[i] += text; }; });
            for (const byte of said) {
                sockets.forEach((socket) => socket.bytes(Buffer.from([byte])));
                await sleep(1);
            }
            await until('all answers', () => heard.every((text) => text.includes('unknown_board')));
            sockets.forEach((socket) => socket.destroy());
            return { [refusedMessage('unknown_board')]: 20 };
        },
    },

    'half-closed, and cut in the middle of a frame': {
        async run({ port }) {
            const wires = await openWires(port, 60, { mayReset: true });
            await Promise.all(wires.map((wire) => upgrade(wire)));
            wires.forEach((wire, i) => {
                wire.say(hello);
                wire.say(frameOf('x'.repeat(1000)).subarray(0, 5 + i * 10));
                [() => wire.socket.end(), () => wire.cut(), () => wire.reset()][i % 3]();
            });
            await until('those who are half-closed to be closed', () => wires.every(({ isOver }) => isOver), PATIENCE);
            cutAll(wires);
            return {};
        },
    },
});
