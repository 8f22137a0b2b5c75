/*
 * Everybody at once. Those who are in are served; who comes in does so a few at a time, and who finds no room is told, and
 * counted.
 */
import assert from 'node:assert/strict';
import { sleep, until } from '../support/waiting.mjs';
import { connectTo } from '../support/tls.mjs';
import { refused, testAttacks } from './scene.mjs';
import { cutAll, forSome, get, upgrade, Wire, PATIENCE } from './wire.mjs';

const MOST = 300; // connections that are let in
const MIB = 1 << 20;
const ROUND = 200;

const dial = (port, count, options) => Array.from({ length: count }, () => new Wire(port, options));
const settled = (wires) => Promise.allSettled(wires.map(({ usable }) => usable));

testAttacks({
    'connections that come and go': {
        growth: 24 * MIB, // with TLS 60 KiB for each that is in
        async run({ port }) {
            await forSome(1000, 1, async () => {
                const wires = dial(port, ROUND, { mayReset: true });
                await settled(wires);
                wires.forEach((wire, i) => [() => wire.cut(), () => wire.reset(), () => wire.socket.end()][i % 3]());
                await until('their end', () => wires.every(({ isClosed }) => isClosed), PATIENCE);
            });
            return {};
        },
    },

    'resets at every moment': {
        growth: 24 * MIB, // with TLS 60 KiB for each that is in
        async run({ port }) {
            const said = ['', 'GET / HT', get('/'), get('/api/v1/dashboards/alpha').repeat(20), get('/api/v1/dashboards/alpha/events')];
            await forSome(1000, 1, async () => {
                const wires = dial(port, ROUND, { mayReset: true });
                await settled(wires);
                wires.forEach((wire, i) => wire.say(said[i % said.length]));
                await sleep(Math.random() * 5);
                wires.forEach((wire) => wire.reset());
                await until('their end', () => wires.every(({ isClosed }) => isClosed), PATIENCE);
            });
            return {};
        },
    },

    'more than are let in': {
        growth: 32 * MIB,
        async run(scene) {
            const { port, isSecure, gateway } = scene;
            const before = await gateway.metric('gw_refused_total', { reason: 'max_connections' });
            const wires = dial(port, MOST + 200);
            await settled(wires);
            await until('some to be turned away', () => wires.filter(({ isOver }) => isOver).length >= 200, PATIENCE);
            const away = wires.filter(({ isOver }) => isOver);
            if (!isSecure) {
                away.forEach((wire) => assert.deepEqual(wire.statuses, [503], wire.text));
            }
            assert.equal(await gateway.metric('gw_refused_total', { reason: 'max_connections' }) - before, away.length);
            cutAll(wires);
            return { [refused('max_connections')]: [200, 210] };
        },
    },

    'handshakes of WebSockets, and nothing behind them': {
        growth: 16 * MIB,
        async run({ port }) {
            await forSome(1000, 1, async () => {
                const wires = dial(port, 100);
                await settled(wires);
                await Promise.all(wires.map((wire) => upgrade(wire)));
                wires.forEach(({ text }) => assert.match(text, /^HTTP\/1\.1 101 /));
                cutAll(wires);
                await until('their end', () => wires.every(({ isClosed }) => isClosed), PATIENCE);
            });
            return {};
        },
    },

    'requests for the largest answer there is': {
        growth: 16 * MIB,
        async run({ port }) {
            await forSome(1000, 16, () => new Promise((resolve) => {
                const socket = connectTo(port);
                socket.on('usable', () => socket.write(get('/api/v1/dashboards/alpha', 'Connection: close\r\n')));
                socket.on('error', resolve);
                socket.on('close', resolve);
                socket.resume();
            }));
            return {};
        },
    },
}, { config: { listen: { max_connections: MOST } } });
