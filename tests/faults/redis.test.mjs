/* What happens to Redis and to the line to it: the order moves on, is repaired, or begins afresh; values are never wrong. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep, until } from '../support/waiting.mjs';
import { streamed } from './definitions.mjs';
import { lineFaults, startScene } from './scene.mjs';

const HALF_OPEN_MS = 8000; // bar B8
const BACK_MS = 5000;      // bar B7

let scene;
before(async () => { scene = await startScene({ seed: 31, redis: { settings: { appendonly: 'yes' } } }); });
after(async () => {
    await scene?.end();
    await scene?.bed.destroy();
});

/** Sends one message by the stream; resolves with the ms until every viewer has it. */
async function delayOf(field = streamed[0]) {
    const change = scene.redis.change(field);
    const began = performance.now();
    await scene.redis.send(change);
    await until(`${field} = ${change.value}`, () => scene.followers.every(({ copy }) => copy.fields.get(field)?.v === change.value),
        { within: 20000, every: 1 });
    return performance.now() - began;
}

for (const [name, act] of [
    ['restart', ({ redis }) => redis.restart()],
    ['crash', async ({ redis }) => {
        await redis.kill();
        await sleep(500);
        await redis.start();
    }],
]) {
    test(`after a ${name} with its file, positions go on`, async () => {
        const earlier = scene.snapshots;
        const epochs = scene.followers.map(({ copy }) => copy.epoch);
        await scene.during(async () => {
            await sleep(300);
            await act(scene.bed);
        });
        assert.deepEqual(scene.followers.map(({ copy }) => copy.epoch), epochs);
        assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
    });
}

test('subscribers that are cut off repair the gap', async () => {
    const earlier = scene.snapshots;
    await scene.during(async () => {
        for (let i = 0; i < 5; i++) {
            await sleep(200);
            await scene.bed.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
        }
    });
    assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
});

test('a subscriber that Redis cuts for being slow repairs the gap', async () => {
    const { redis, nodes: [node] } = scene.bed;
    const earlier = scene.snapshots;
    await redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 256kb 1');
    const subscribers = async () => (await redis.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).match(/^id=\d+/gm);
    const there = await subscribers();
    const noise = 'x'.repeat(1 << 18);
    await scene.during(async () => {
        node.redisProxy.stall();
        const channels = await redis.command('PUBSUB', 'CHANNELS', 'sophia:*');
        assert.ok(channels.length > 0, 'nobody listens to a channel of the journal');
        await until('Redis to cut the subscriber', async () => {
            for (const channel of channels) {
                await redis.command('PUBLISH', channel, noise);
            }
            const left = await subscribers();
            return !there.every((id) => left.includes(id));
        }, { within: 10000 }).finally(() => node.redisProxy.heal());
    });
    await redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 32mb 8mb 60');
    assert.equal(scene.snapshots, earlier, 'somebody needed a snapshot');
});

test('half-open lines are found and replaced within eight seconds', async () => {
    scene.bed.nodes.forEach(({ redisProxy }) => redisProxy.halfOpen());
    const took = await delayOf();
    console.log(`half-open: a message of a stream arrived after ${Math.round(took)} ms`);
    assert.ok(took < HALF_OPEN_MS, `${took} ms`);
    await scene.judge.settled();
    scene.judge.assertSound();
});

test('a frozen Redis is reported, and values are back within five seconds', async () => {
    const { redis } = scene.bed;
    redis.pause();
    const down = () => scene.followers.map(({ sources }) => Object.entries(sources).find(([, { up }]) => !up));
    const began = performance.now();
    await until('every viewer to be told', () => down().every(Boolean), { within: 10000 });
    console.log(`frozen: told after ${Math.round(performance.now() - began)} ms: ${JSON.stringify(down()[0])}`);
    down().forEach(([, { reason }]) => assert.ok(reason?.length > 10, `no reason: ${reason}`));
    redis.resume();
    const took = await delayOf();
    assert.ok(took < BACK_MS, `${took} ms`);
    await until('every viewer to be told that it is back', () => down().every((source) => source === undefined), { within: 5000 });
    await scene.judge.settled();
    scene.judge.assertSound();
});

for (const [name, act] of Object.entries(lineFaults)) {
    test(`a line that is ${name} delays values and loses none`, async () => {
        const { nodes: [node] } = scene.bed;
        const took = await scene.during(() => act(node.redisProxy), { ms: 300 });
        assert.ok(took < BACK_MS, `${took} ms`);
    });
}

test('everything flushed: a new epoch, and the values are back from where they are true', async () => {
    scene.registry.mayBeRebased = true;
    const epochs = scene.followers.map(({ copy }) => copy.epoch);
    const took = await scene.during(async () => {
        await sleep(300);
        await scene.bed.redis.command('FLUSHALL');
    });
    console.log(`flushed: the truth was back ${Math.round(took)} ms after the last write`);
    scene.followers.forEach(({ copy }, i) => assert.notEqual(copy.epoch, epochs[i]));
    scene.registry.mayBeRebased = false;
});

test('a restart without a file is the same as a flush', async () => {
    scene.registry.mayBeRebased = true;
    const { redis } = scene.bed;
    redis.settings = { ...redis.settings, appendonly: 'no' };
    await redis.command('CONFIG', 'SET', 'appendonly', 'no');
    await scene.during(() => redis.restart());
    scene.registry.mayBeRebased = false;
});
