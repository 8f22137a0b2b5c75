/*
 * TLS that is none, is old, is never finished, or costs us more than the peer. A ClientHello that was heard once can be said
 * again by anybody at no cost; the answer costs a signature each time.
 */
import assert from 'node:assert/strict';
import tls from 'node:tls';
import { caOf } from '../support/tls.mjs';
import { limited, sleep, until } from '../support/waiting.mjs';
import { failedTls, refused, testAttacks } from './scene.mjs';
import { cutAll, dial, dialMany, forSome, get, PATIENCE, recordHello, Tally } from './wire.mjs';

const SOME_MS = 300;
const AT_ONCE = 4;
const MIB = 1 << 20;

/** Says `bytes`, and resolves with what the gateway said until it hung up. */
async function heardOf(port, bytes) {
    const socket = await dial(port);
    const pieces = [];
    socket.on('data', (piece) => pieces.push(piece));
    socket.write(bytes);
    await until('the gateway to hang up', () => socket.isOver, { ...PATIENCE, every: 2 });
    socket.destroy();
    return Buffer.concat(pieces).toString('latin1');
}

/** A TLS client that must fail. */
function failure(port, options) {
    return limited('a refused handshake', new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: caOf(), ...options },
            () => reject(new Error(`the handshake succeeded: ${socket.getProtocol()}`)));
        socket.on('error', resolve);
    }));
}

const weak = [
    [{ minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'version'],
    [{ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'version'],
    [{ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, 'no_shared_cipher'],
    [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA256' }, 'no_shared_cipher'],
    [{ ALPNProtocols: ['h2'] }, 'no_shared_protocol'],
];

const notTls = [
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), Buffer.alloc(64), Buffer.concat([Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]), Buffer.alloc(60)]),
    Buffer.from([0x17, 3, 3, 0, 4, 1, 2, 3, 4]), Buffer.concat([Buffer.from([0x16, 3, 1, 0xff, 0xff]), Buffer.alloc(70000, 1)]),
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
];

testAttacks({
    'plain HTTP on the TLS port': {
        on: 'tls',
        async run({ port }) {
            const tally = new Tally();
            await forSome(SOME_MS, AT_ONCE, async () => {
                assert.match(await heardOf(port, get('/')), /^HTTP\/1\.1 400 [^]*"code":"tls_required"/);
                tally.add(failedTls('http_request'));
                tally.add(refused('malformed'));
            });
            return tally.counts;
        },
    },

    'old versions, weak ciphers, other protocols': {
        on: 'tls',
        async run({ port }) {
            const tally = new Tally();
            let next = 0;
            await forSome(SOME_MS, AT_ONCE, async () => {
                const [options, reason] = weak[next++ % weak.length];
                await failure(port, options);
                tally.add(failedTls(reason));
            });
            return tally.counts;
        },
    },

    'what is no TLS at all': {
        on: 'tls',
        async run({ port }) {
            let count = 0;
            await forSome(SOME_MS, AT_ONCE, async () => {
                await heardOf(port, notTls[count++ % notTls.length]);
            });
            return { 'gw_tls_failures_total*': count };
        },
    },

    'the same ClientHello from many at the same moment': {
        on: 'tls',
        growth: 48 * MIB,
        async run({ port }) {
            const hello = await recordHello();
            for (let round = 0; round < 4; round++) {
                const sockets = await dialMany(port, 400);
                await sleep(50); // all are in, so that all of them ask in one turn
                sockets.forEach((socket) => socket.write(hello));
                await until('all to be answered, or given up', () => sockets.every(({ heard, isOver }) => heard > 0 || isOver),
                    { ...PATIENCE, every: 2 });
                cutAll(sockets);
            }
            return { 'gw_tls_failures_total*': 1600, gw_tls_handshakes_put_off_total: [1, Infinity] };
        },
    },

    'a storm of whole handshakes': {
        on: 'tls',
        growth: 24 * MIB,
        async run({ port }) {
            let count = 0;
            await forSome(1000, 16, () => new Promise((resolve, reject) => {
                const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: caOf() }, () => {
                    count++;
                    socket.end(); // behind its last message: else that would not leave
                });
                socket.on('error', reject);
                socket.on('close', resolve);
                socket.resume();
            }));
            return { 'gw_tls_handshakes_total{kind="full"}': [count, count + 2] };
        },
    },

    'TLS 1.2 is not negotiated anew': {
        on: 'tls',
        async run({ port }) {
            const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: caOf(), maxVersion: 'TLSv1.2' });
            await limited('a handshake', new Promise((resolve) => { socket.on('secureConnect', resolve); }));
            const answer = await limited('the refusal', new Promise((resolve) => {
                socket.on('error', resolve);
                socket.renegotiate({}, (error) => resolve(error));
            }));
            assert.ok(answer instanceof Error, 'it was');
            socket.destroy();
            return {};
        },
    },

    'TLS on the plain port': {
        on: 'plain',
        async run({ port }) {
            const hello = await recordHello();
            const tally = new Tally();
            await forSome(SOME_MS, AT_ONCE, async () => {
                const socket = await dial(port);
                socket.write(Buffer.concat([hello, Buffer.from('\n')])); // a line ends: it need not wait for more
                await until('the gateway to hang up', () => socket.isOver, { ...PATIENCE, every: 2 });
                socket.destroy();
                tally.add(refused('malformed'));
            });
            return tally.counts;
        },
    },
});
