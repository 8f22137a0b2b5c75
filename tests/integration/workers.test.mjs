/*
 * Several processes on one port: viewers are spread over them and all see the same, whichever of them took the
 * change; one that dies comes back; signals reach all; nothing is left behind.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { dropConnections } from '../support/http_client.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { until } from '../support/waiting.mjs';
import { WsViewer } from '../support/viewer.mjs';

const WORKERS = 3;
const VIEWERS_MAX = 60;
const nodes = Array.from({ length: WORKERS }, (_, i) => `test-node-${i + 1}`);

let redis;
let gateway;

const start = (more = {}) => startGateway({
    workers: WORKERS,
    journal: { kind: 'redis' },
    redis: { host: '127.0.0.1', port: redis.port },
    drain: { window_ms: 300, grace_ms: 5000 },
    ...more,
});

before(async () => {
    redis = await startRedis();
    gateway = await start();
});
after(async () => {
    await stopAll();
    await destroyServers();
});

const pidOf = (worker, run = gateway) => run.logged('worker started').filter((line) => line.worker === worker).at(-1).pid;
const pidsOf = (run = gateway) => run.logged('worker started').map(({ pid }) => pid);

/** There, and not only waiting to be buried. */
function isRunning(pid) {
    try {
        process.kill(pid, 0);
        return true;
    } catch {
        return false;
    }
}

const nodeOf = async (viewer) => (viewer.ofType('welcome')[0] ?? await viewer.next('welcome')).node;

/** Viewers of alpha, one at least on each node; the kernel decides who gets whom. */
async function oneOnEach(wanted = nodes) {
    const viewers = new Map();
    for (let i = 0; i < VIEWERS_MAX && wanted.some((node) => !viewers.has(node)); i++) {
        const viewer = await WsViewer.open(gateway.port);
        const node = await nodeOf(viewer);
        if (viewers.has(node)) {
            await viewer.close();
        } else {
            viewers.set(node, viewer);
        }
    }
    assert.deepEqual([...viewers.keys()].filter((node) => wanted.includes(node)).sort(), [...wanted].sort());
    await Promise.all([...viewers.values()].map((viewer) => viewer.watch('alpha')));
    return viewers;
}

const hold = (viewers, field, value) => until(`${field} to be ${value} everywhere`, () =>
    [...viewers.values()].every((viewer) => viewer.copy('alpha').fields.get(field)?.v === value));

async function closeAll(viewers) {
    for (const viewer of viewers.values()) {
        viewer.assertSound();
        await viewer.close();
    }
}

test('viewers are spread over the workers, and a change at any of them reaches all', async () => {
    const viewers = await oneOnEach();
    for (let value = 1; value <= 20; value++) {
        dropConnections(gateway.port); // the next request may meet another worker
        assert.equal((await gateway.post({ field: 'test.count', value })).items[0].result, 'accepted');
    }
    await hold(viewers, 'test.count', 20);
    const positions = new Set([...viewers.values()].map((viewer) => JSON.stringify([viewer.copy('alpha').epoch, viewer.copy('alpha').offset])));
    assert.equal(positions.size, 1, [...positions].join(' '));
    await closeAll(viewers);
});

test('one line says that the gateway listens, each worker has a name, and each series of /metrics carries it', async () => {
    assert.equal(gateway.logged('listening').length, 1);
    assert.equal(gateway.logged('listening')[0].workers, WORKERS);
    assert.deepEqual(gateway.logged('worker listening').map(({ node }) => node).sort(), nodes);
    assert.ok(gateway.logged('worker listening').every(({ port }) => port === gateway.port));
    const seen = new Set();
    await until('every worker to answer', async () => {
        dropConnections(gateway.port);
        const { text } = await gateway.get('/metrics');
        const samples = text.split('\n').filter((line) => line && !line.startsWith('#'));
        const names = new Set(samples.map((line) => line.match(/[{,]node="([^"]*)"/)?.[1]));
        assert.equal(names.size, 1, [...names].join(' '));
        names.forEach((name) => seen.add(name));
        return seen.size === WORKERS;
    }, { every: 1 });
    assert.deepEqual([...seen].sort(), nodes);
});

test('a worker that is killed comes back under its name; the viewers of the others notice nothing', async () => {
    const viewers = await oneOnEach();
    const before = pidOf(2);
    process.kill(before, 'SIGKILL');
    await until('the worker to listen again', () => gateway.logged('worker listening').filter(({ node }) => node === nodes[1]).length === 2);
    assert.notEqual(pidOf(2), before);
    const [ended] = gateway.logged('worker ended');
    assert.deepEqual([ended.worker, ended.signal, ended.level], [2, 9, 'error']);
    assert.ok(ended.restart_in_ms <= 200, `restarted after ${ended.restart_in_ms} ms`);
    await viewers.get(nodes[1]).closed();
    viewers.delete(nodes[1]);
    const others = await oneOnEach();
    await gateway.post({ field: 'test.count', value: 77 });
    await hold(viewers, 'test.count', 77);
    await hold(others, 'test.count', 77);
    for (const viewer of viewers.values()) {
        assert.equal(viewer.isClosed, false);
        assert.equal(viewer.ofType('snapshot').length, 1);
    }
    await closeAll(viewers);
    await closeAll(others);
});

test('SIGTERM to one worker drains it and brings a fresh one', async () => {
    const viewers = await oneOnEach();
    const before = pidOf(3);
    process.kill(before, 'SIGTERM');
    assert.equal((await viewers.get(nodes[2]).next('moved')).type, 'moved');
    await until('the fresh one', () => gateway.logged('worker listening').filter(({ node }) => node === nodes[2]).length === 2);
    const ended = gateway.logged('worker ended').at(-1);
    assert.deepEqual([ended.worker, ended.code, ended.signal, ended.level], [3, 0, 0, 'info']);
    await viewers.get(nodes[2]).closed();
    viewers.delete(nodes[2]);
    await closeAll(viewers);
    await closeAll(await oneOnEach());
});

test('SIGHUP reloads all of them', async () => {
    gateway.signal('SIGHUP');
    await until('three reloads', () => gateway.logged('definitions reloaded').length === WORKERS);
    assert.equal(gateway.logged('option not reloaded').length, 0);
});

test('SIGTERM drains all together and leaves nothing', async () => {
    const viewers = await oneOnEach();
    const pids = pidsOf();
    gateway.signal('SIGTERM');
    await Promise.all([...viewers.values()].map((viewer) => viewer.next('moved')));
    await Promise.all([...viewers.values()].map((viewer) => viewer.closed()));
    viewers.forEach((viewer) => viewer.assertSound());
    await gateway.ended();
    assert.deepEqual(pids.filter(isRunning), []);
    assert.equal(gateway.logged('drained').length >= WORKERS, true);
    await new Promise((resolve, reject) => {
        net.connect(gateway.port, '127.0.0.1').on('connect', () => reject(new Error('the port still answers'))).on('error', resolve);
    });
});

test('a second SIGTERM does not wait for viewers', async () => {
    gateway = await start({ drain: { window_ms: 20000, grace_ms: 30000 } });
    const viewers = await oneOnEach();
    gateway.signal('SIGTERM');
    await until('the drain', () => gateway.logged('draining').length === WORKERS);
    const began = Date.now();
    gateway.signal('SIGTERM');
    await gateway.ended();
    assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
    await Promise.all([...viewers.values()].map((viewer) => viewer.closed()));
});

test('workers do not outlive a supervisor that is killed', async () => {
    gateway = await start();
    const pids = pidsOf();
    assert.equal(pids.filter(isRunning).length, WORKERS);
    await gateway.kill();
    await until('the workers to end', () => pids.filter(isRunning).length === 0);
});

test('a start that cannot succeed ends', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.on('listening', resolve));
    await assert.rejects(start({ listen: { host: '127.0.0.1', port: taken.address().port } }), /listen failed/);
    taken.close();
    await assert.rejects(start({ journal: { kind: 'memory' } }), /workers: 3 processes need one order/);
});
