/* Both servers away: for half a minute, and already at the start. And a disk that is full. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { request } from '../support/http_client.mjs';
import { startRedis } from '../support/redis.mjs';
import { sleep, until } from '../support/waiting.mjs';
import { startBed } from './bed.mjs';
import { gauges, streamed } from './definitions.mjs';
import { Scene, startScene } from './scene.mjs';

const AWAY_MS = 30000; // bar B7
const BACK_MS = 5000;

let scene;
let mounted;
afterEach(async () => {
    await scene?.end();
    await scene?.bed.destroy();
    scene = undefined;
    if (mounted) {
        execFileSync('umount', [mounted]);
        fs.rmdirSync(mounted);
        mounted = undefined;
    }
});

const statusOf = async (node, target) => (await request(node.port, target, { agent: false })).status;
const health = async (node) => (await request(node.port, '/health?level=detailed', { agent: false })).json();
const isDown = ({ sources }) => Object.values(sources).some(({ up }) => !up);

/** One change on each way; resolves with the ms until every viewer has both. */
async function bothWays() {
    const began = performance.now();
    const n = ++scene.postgres.n;
    const change = scene.redis.change(streamed[0]);
    await scene.bed.postgres.sql(`update sophia.kpi_state set value = '${n}', as_of = date_trunc('milliseconds', now()) where field = '${gauges[0]}'`);
    await scene.redis.send(change);
    await until('both values at every viewer', () => scene.followers.every(({ copy: { fields } }) =>
        fields.get(gauges[0])?.v === n && fields.get(streamed[0])?.v === change.value), { within: 20000, every: 5 });
    return performance.now() - began;
}

test('both servers down for 30 s: connections stay, everybody is told why, and values are back within 5 s', async () => {
    scene = await startScene({ seed: 51, redis: { settings: { appendonly: 'yes' } } });
    const { bed: { postgres, redis, nodes } } = scene;
    const connects = scene.followers.map(({ counts }) => counts.connects);
    await Promise.all([postgres.stop('immediate'), redis.kill()]);
    const began = performance.now();
    await until('every viewer to be told', () => scene.followers.every(isDown), { within: 8000 });
    for (const { sources } of scene.followers) {
        for (const [name, { reason }] of Object.entries(sources).filter(([, { up }]) => !up)) {
            assert.ok(reason?.length > 5, `${name} is down without a reason: ${reason}`);
        }
    }
    console.log(`told after ${Math.round(performance.now() - began)} ms: ${JSON.stringify(scene.followers[0].sources)}`);
    while (performance.now() - began < AWAY_MS) {
        for (const node of nodes) {
            assert.equal(await statusOf(node, '/health/live'), 200);
            const said = await health(node);
            assert.notEqual(said.status, 'healthy', JSON.stringify(said));
        }
        await sleep(1000);
    }
    console.log(`health after ${AWAY_MS / 1000} s: ${JSON.stringify(await health(nodes[0])).slice(0, 400)}`);
    await Promise.all([postgres.start(), redis.start()]);
    const took = await bothWays();
    console.log(`back after ${Math.round(took)} ms`);
    assert.ok(took < BACK_MS, `${took} ms`);
    assert.deepEqual(scene.followers.map(({ counts }) => counts.connects), connects, 'somebody was disconnected');
    await until('everybody to be told that they are back', () => scene.followers.every((follower) => !isDown(follower)), { within: 5000 });
    await until('health to say so', async () => (await health(nodes[0])).status === 'healthy', { within: 10000 });
    for (const node of nodes) {
        assert.equal(await statusOf(node, '/health/ready'), 200);
    }
    await scene.judge.settled();
    scene.judge.assertSound();
});

test('a start with both servers down comes up degraded, serves, and heals by itself', async () => {
    const bed = await startBed({ isStarted: false });
    scene = new Scene(bed, { seed: 52 });
    await scene.postgres.fill();
    await Promise.all([bed.postgres.stop(), bed.redis.stop()]);
    const began = performance.now();
    await Promise.all(bed.nodes.map((node) => node.start({ ready: '/health/live' })));
    assert.ok(performance.now() - began < 5000, 'the start waited for a server');
    for (const node of bed.nodes) {
        const said = await health(node);
        assert.notEqual(said.status, 'healthy', JSON.stringify(said));
    }
    await Promise.all(scene.followers.map((follower) => follower.start()));
    await until('every viewer to be told', () => scene.followers.every(isDown), { within: 5000 });
    await Promise.all([bed.postgres.start(), bed.redis.start()]);
    await scene.redis.fill();
    const took = await scene.judge.settled({ within: BACK_MS });
    console.log(`healed after ${Math.round(took)} ms`);
    scene.judge.assertSound();
    await until('health to say so', async () => (await health(bed.nodes[0])).status === 'healthy', { within: 10000 });
});

/** A file system of a few megabytes, or undefined where that is not allowed. */
function smallDisk(megabytes) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-small-disk-'));
    try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory], { stdio: 'pipe' });
        mounted = directory;
        return directory;
    } catch (error) {
        fs.rmdirSync(directory);
        return undefined;
    }
}

test('the disk of Redis is full: nothing is ordered, everybody is told, and it goes on when there is room', async (t) => {
    const disk = smallDisk(8);
    if (!disk) {
        console.log('SKIPPED: this user may not mount a file system');
        t.skip('this user may not mount a file system');
        return;
    }
    scene = await startScene({ seed: 53 });
    const { bed } = scene;
    const redis = await startRedis({ directory: fs.mkdtempSync(path.join(disk, 'redis-')), settings: { appendonly: 'yes', appendfsync: 'everysec' } });
    scene.registry.mayBeRebased = true; // another, empty server
    bed.pointAt({ redis });
    await scene.judge.settled();
    scene.registry.mayBeRebased = false;
    const ballast = path.join(disk, 'ballast');
    assert.throws(() => fs.writeFileSync(ballast, Buffer.alloc(16 << 20)), /ENOSPC/);
    await scene.during(async () => {
        await until('Redis to refuse writes', () => redis.command('SET', 'probe', 'x'.repeat(10000)).then(() => false, ({ message }) => /MISCONF/.test(message)),
            { within: 10000, every: 100 });
        await until('every viewer to be told', () => scene.followers.every(isDown), { within: 10000 });
        console.log(`disk full: ${JSON.stringify(scene.followers[0].sources)}`);
        fs.rmSync(ballast);
        await until('Redis to take writes', () => redis.command('SET', 'probe', 'x'), { within: 10000, every: 100 });
        await until('every viewer to be told that it is back', () => scene.followers.every((follower) => !isDown(follower)), { within: 10000 });
    });
    await redis.destroy();
});
