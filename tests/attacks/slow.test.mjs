/*
 * Peers that take their time: to ask, to send a body, to say anything at all. Their time is one for the whole request, however
 * many bytes they spread over it, and their memory is what they have sent.
 */
import assert from 'node:assert/strict';
import { atRate, sleep, until } from '../support/waiting.mjs';
import { failedTls, hungUp, refused, testAttacks } from './scene.mjs';
import { cutAll, dialMany, get, ingestHead, openWires, PATIENCE, recordHello, Wire } from './wire.mjs';

const EACH = 25;
const MIB = 1 << 20;
const DRIP_MS = 100;
const REQUEST_TIMEOUT_S = 2;

/** `count` connections that begin with `head`, and then one more byte of `drop` each DRIP_MS; until all are over. */
async function drip(port, count, head, drop) {
    const wires = await Promise.all(Array.from({ length: count }, async () => {
        const wire = await Wire.open(port);
        wire.say(head); // at once: the time of its handshake must not run out meanwhile
        return wire;
    }));
    const began = performance.now();
    while (!wires.every(({ isOver }) => isOver)) {
        assert.ok(performance.now() - began < PATIENCE.within, `${wires.filter(({ isOver }) => !isOver).length} are still there`);
        wires.forEach((wire) => wire.say(drop));
        await sleep(DRIP_MS);
    }
    cutAll(wires);
    return wires;
}

const assertStatus = (wires, status) => wires.forEach((wire) => assert.deepEqual(wire.statuses, [status], wire.text.slice(0, 200)));

testAttacks({
    'slow heads, slow bodies, empty lines, and nothing at all': {
        growth: 8 * MIB,
        async run({ port }) {
            const [heads, bodies, lines, nothing] = await Promise.all([
                drip(port, EACH, 'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', 'x'),
                drip(port, EACH, ingestHead('Content-Length: 1000000\r\n'), '1'),
                drip(port, EACH, '\r\n', '\r\n'),
                drip(port, EACH, '', ''),
            ]);
            assertStatus([...heads, ...bodies, ...lines], 408);
            nothing.forEach(({ text }) => assert.equal(text, ''));
            return { [refused('timeout')]: 3 * EACH, [hungUp('idle')]: EACH };
        },
    },

    'handshakes that are begun and not finished': {
        on: 'tls',
        growth: 24 * MIB,
        async run({ port }) {
            const hello = await recordHello();
            const sockets = await dialMany(port, 150);
            sockets.forEach((socket, i) => socket.write(hello.subarray(0, [1, 5, 100, hello.length][i % 4])));
            await until('the gateway to give them up', () => sockets.every(({ isOver }) => isOver), PATIENCE);
            cutAll(sockets);
            return { [failedTls('timeout')]: 150, [refused('timeout')]: 150 };
        },
    },

    'bodies announced and never sent: others are taken': {
        growth: 8 * MIB,
        async run({ port }) {
            const wires = await openWires(port, 80); // of a mebibyte each: more than is kept for bodies in all
            wires.forEach((wire) => wire.say(ingestHead(`Content-Length: ${MIB}\r\n`)));
            await until('all answers', () => wires.every(({ isOver }) => isOver), PATIENCE);
            const late = wires.filter(({ statuses }) => statuses[0] === 408).length;
            const full = wires.filter(({ statuses }) => statuses[0] === 503).length;
            assert.equal(late + full, wires.length);
            assert.ok(late >= 60 && late <= 64, `${late} had room`); // a producer's body may have had the last of it
            cutAll(wires);
            return { [refused('timeout')]: late, [refused('overloaded')]: full };
        },
    },

    'requests in single bytes are served': {
        async run({ port }) {
            const asked = get('/health/live', 'Connection: close\r\n');
            const wires = await openWires(port, EACH);
            await atRate(200, asked.length, (i) => wires.forEach((wire) => wire.say(asked[i])));
            await until('all answers', () => wires.every(({ isOver }) => isOver), PATIENCE);
            assertStatus(wires, 200);
            cutAll(wires);
            return {};
        },
    },

    'half-closed in every state': {
        async run({ port }) {
            const cases = ['', 'GET / HT', get('/health/live'), get('/api/v1/dashboards/alpha'), `${ingestHead('Content-Length: 10\r\n')}{"f`];
            const wires = await openWires(port, EACH);
            wires.forEach((wire, i) => wire.socket.end(cases[i % cases.length]));
            await until('all ends', () => wires.every(({ isOver }) => isOver), PATIENCE);
            wires.forEach((wire, i) => assert.deepEqual(wire.statuses, [2, 3].includes(i % cases.length) ? [200] : [], `${cases[i % cases.length]}`));
            cutAll(wires);
            return {};
        },
    },

    'thousands of requests in one go, and nobody reads the answers': {
        growth: 16 * MIB,
        async run({ port }) {
            const wires = await openWires(port, 8);
            wires.forEach(({ socket }) => socket.pause());
            wires.forEach((wire) => wire.say(get('/health/live').repeat(5000)));
            await sleep(1000); // what it costs meanwhile is the probe's to say
            cutAll(wires);
            return {};
        },
    },

    'pipelines that are read': {
        growth: 16 * MIB,
        async run({ port }) {
            const wires = await openWires(port, 4);
            wires.forEach((wire) => wire.say(`${get('/health/live').repeat(999)}${get('/health/live', 'Connection: close\r\n')}`));
            await until('all answers', () => wires.every(({ isOver }) => isOver), PATIENCE);
            assertStatus(wires.map(({ statuses }) => ({ statuses: [...new Set(statuses)], text: '' })), 200);
            wires.forEach(({ statuses }) => assert.equal(statuses.length, 1000));
            cutAll(wires);
            return {};
        },
    },
}, { config: { listen: { request_timeout_s: REQUEST_TIMEOUT_S } }, areSideBySide: true });
