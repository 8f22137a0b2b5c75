/* Many connections at once: how fast they are let in, how many from one address, and how many there can be. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { limited, sleep, until } from '../support/waiting.mjs';

after(stopAll);

const handshake = 'GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kpi.v1\r\n\r\n';

test('viewers of a storm come in at the configured rate, and every one gets its snapshot', async () => {
    const RATE = 100;
    const VIEWERS = 120;
    const gateway = await startGateway({ listen: { accepts_per_s: RATE } });
    await gateway.post({ field: 'test.count', value: 1 });
    const before = await gateway.metric('gw_accepted_total');
    const since = performance.now();
    let isOver = false;
    const opening = Promise.all(Array.from({ length: VIEWERS }, async () => {
        const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
        await viewer.watch('alpha');
        return viewer;
    })).finally(() => { isOver = true; });
    let most = 0;
    while (!isOver) { // over the connection that metric() keeps open: it does not wait for its turn
        const elapsedMs = performance.now() - since;
        const accepted = (await gateway.metric('gw_accepted_total')) - before;
        const due = RATE / 10 + (RATE * (performance.now() - since)) / 1000 + 2;
        assert.ok(accepted <= due, `${accepted} accepted after ${elapsedMs} ms`);
        most = Math.max(most, await gateway.metric('gw_accept_waiting'));
        await sleep(20);
    }
    const viewers = await opening;
    const tookMs = performance.now() - since;
    assert.ok(tookMs >= ((VIEWERS - RATE / 10 - 2) / RATE) * 1000, `all were in after ${tookMs} ms`);
    assert.ok(most > 0, 'nobody was seen waiting');
    assert.equal(await gateway.metric('gw_refused_total', { reason: 'max_connections' }), 0);
    assert.ok(await gateway.metric('gw_accept_pause_seconds_count') > 0);
    viewers.forEach((viewer) => viewer.assertSound());
    await Promise.all(viewers.map((viewer) => viewer.close()));
    await gateway.stop();
});

/** A handshake from this loopback address: {status, text, socket} once its answer is there. */
function knock(port, localAddress) {
    const answered = new Promise((resolve, reject) => {
        const socket = net.connect({ port, host: '127.0.0.1', localAddress });
        let text = '';
        socket.setEncoding('latin1');
        socket.on('connect', () => socket.write(handshake));
        socket.on('error', reject);
        socket.on('data', (piece) => {
            text += piece;
            if (text.includes('\r\n\r\n')) {
                resolve({ status: Number(text.split(' ')[1]), text, socket });
            }
        });
    });
    return limited('a handshake', answered, 5000);
}

test('one address may have so many connections, and another one when one of them ends', async () => {
    const LIMIT = 12; // our own look-ups from 127.0.0.1 take fewer
    const gateway = await startGateway({ listen: { max_connections_per_address: LIMIT } });
    const inside = [];
    for (let i = 0; i < LIMIT; i++) {
        inside.push(await knock(gateway.port, '127.0.0.2'));
        assert.equal(inside[i].status, 101, inside[i].text);
    }
    const refused = await knock(gateway.port, '127.0.0.2');
    assert.equal(refused.status, 429, refused.text);
    assert.match(refused.text, /\r\nRetry-After: \d+\r\n/);
    assert.match(refused.text, /\r\nContent-Security-Policy: /);
    assert.equal(JSON.parse(refused.text.split('\r\n\r\n')[1]).code, 'too_many_connections');
    assert.equal(await gateway.metric('gw_refused_total', { reason: 'max_per_address' }), 1);
    const elsewhere = await knock(gateway.port, '127.0.0.3');
    assert.equal(elsewhere.status, 101, elsewhere.text);
    assert.equal(await gateway.metric('gw_addresses'), 3);
    inside.pop().socket.destroy();
    await until('room for one more', async () => {
        const next = await knock(gateway.port, '127.0.0.2');
        next.socket.destroy();
        return next.status === 101;
    });
    [...inside, elsewhere].forEach(({ socket }) => socket.destroy());
    await until('the addresses to be forgotten', async () => (await gateway.metric('gw_addresses')) === 1);
    await gateway.stop();
});

test('too few descriptors: the log says so, fewer are let in, and those who are keep what they have', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-storms-'));
    const binary = path.join(directory, 'with-few-descriptors');
    fs.writeFileSync(binary, `#!/bin/sh\nulimit -n 600\nexec '${strictBinary}' "$@"\n`, { mode: 0o755 });
    const gateway = await startGateway({ listen: { max_connections: 1000 } }, { binary });
    fs.rmSync(directory, { recursive: true });
    const [warning] = gateway.records().filter(({ message }) => message.includes('RLIMIT_NOFILE'));
    assert.deepEqual([warning?.limit, warning?.needed, warning?.max_connections], [600, 1512, 300]);
    assert.equal((await gateway.get('/health?level=diagnostic')).json().limits.connections, 300);
    const inside = [];
    let refused;
    while (!refused && inside.length <= 300) {
        const next = await knock(gateway.port, '127.0.0.2');
        if (next.status === 101) {
            inside.push(next);
        } else {
            refused = next;
        }
    }
    assert.equal(refused?.status, 503, `${inside.length} were let in`);
    assert.ok(inside.length > 280, `only ${inside.length} were let in`);
    assert.equal(JSON.parse(refused.text.split('\r\n\r\n')[1]).code, 'unavailable');
    await gateway.post({ field: 'test.count', value: 2 });
    assert.ok(inside.every(({ socket }) => !socket.destroyed));
    inside.forEach(({ socket }) => socket.destroy());
    await gateway.stop();
});
