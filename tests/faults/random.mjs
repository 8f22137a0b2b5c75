/*
 * Faults at random against two gateways that share PostgreSQL and Redis: storms of a few seconds with writers running, then
 * quiet, then the judge. The seed decides the whole schedule; both are printed, so a run can be repeated.
 *
 *     node tests/faults/random.mjs [--seconds 600] [--seed N] [--followers 6]
 *
 * Exit code 0: no promise was broken. Also run, short, by random.test.mjs.
 */
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { chance, sleep } from '../support/waiting.mjs';
import { startScene } from './scene.mjs';

const STORM_MS = 6000;
const CONVERGE_MS = 20000;

/**
 * What can happen. Each gets the scene, a node, and a length in ms that it uses up; it undoes what it did, except that dead
 * servers come back. weight: how often. isLossy: Redis may lose the newest part of the order, so viewers may be set back.
 */
const faults = {
    'gateway killed': { weight: 3, act: async ({ node }, ms) => {
        await node.kill();
        await sleep(ms / 2);
        await node.start({ ready: '/health/live' });
    } },
    'gateway restarted': { weight: 2, act: async ({ node }, ms) => {
        await node.stop();
        await sleep(ms / 4);
        await node.start({ ready: '/health/live' });
    } },
    'gateway frozen': { weight: 3, act: async ({ node }, ms) => {
        node.pause();
        await sleep(ms);
        node.resume();
    } },
    'postgres restarted': { weight: 2, act: async ({ scene }) => scene.bed.postgres.restart() },
    'postgres crashed': { weight: 2, act: async ({ scene }, ms) => {
        await scene.bed.postgres.kill();
        await sleep(ms / 2);
        await scene.bed.postgres.start();
    } },
    'postgres frozen': { weight: 2, act: async ({ scene }, ms) => {
        scene.bed.postgres.pause();
        await sleep(ms);
        scene.bed.postgres.resume();
    } },
    'postgres promoted, commits lost': { weight: 1, isAlone: true, act: ({ scene }, ms) => promote(scene, ms) },
    'long transaction': { weight: 2, act: ({ scene }, ms) => scene.postgres.holdOpen(ms) },
    'postgres connections killed': { weight: 1, act: ({ scene }) =>
        scene.bed.postgres.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name <> 'psql' and pid <> pg_backend_pid()") },
    'redis restarted': { weight: 2, act: ({ scene }) => scene.bed.redis.restart() },
    'redis crashed': { weight: 2, act: async ({ scene }, ms) => {
        await scene.bed.redis.kill();
        await sleep(ms / 2);
        await scene.bed.redis.start();
    } },
    'redis frozen': { weight: 2, act: async ({ scene }, ms) => {
        scene.bed.redis.pause();
        await sleep(ms);
        scene.bed.redis.resume();
    } },
    'redis flushed': { weight: 1, isLossy: true, act: ({ scene }) => scene.bed.redis.command('FLUSHALL') },
    'redis failed over, tail lost': { weight: 2, isLossy: true, isAlone: true, act: ({ scene }, ms) => failOver(scene, ms) },
    'subscribers cut': { weight: 2, act: ({ scene }) => scene.bed.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub') },
    'redis connections killed': { weight: 1, act: ({ scene }) => scene.bed.redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes') },
    'line stalled': { weight: 3, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.stall(), ms) },
    'line half-open': { weight: 3, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.halfOpen(), ms) },
    'line half-open, new ones too': { weight: 1, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.halfOpen({ fresh: true }), ms) },
    'line reset': { weight: 2, act: async ({ proxy }) => proxy.reset() },
    'line cut': { weight: 2, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.cut(), ms) },
    'line slow': { weight: 2, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.delay(150), ms) },
    'line thin': { weight: 1, act: ({ proxy }, ms) => whileOn(proxy, () => proxy.trickle(30000), ms) },
};

async function whileOn(proxy, begin, ms) {
    begin();
    await sleep(ms);
    await proxy.heal();
}

/** A standby that stops following, then takes over: what was committed in between is lost. */
export async function promote(scene, ms) {
    const { bed } = scene;
    const old = bed.postgres;
    scene.registry.mayLoseCommits = true;
    const standby = await old.standby();
    await standby.cutReplication();
    await sleep(ms / 2);
    await old.kill();
    scene.postgres.forget();
    await standby.promote();
    bed.pointAt({ postgres: standby });
    await old.destroy();
    scene.postgres.forget(); // what the old one acknowledged in its last moment
}

/** A replica that stops following, then takes over: what was published in between is lost. */
async function failOver(scene, ms) {
    const { bed } = scene;
    const old = bed.redis;
    const replica = await old.replica();
    await replica.command('REPLICAOF', '127.0.0.1', '1');
    await sleep(ms / 2);
    await old.kill();
    await replica.promote();
    bed.pointAt({ redis: replica });
    await old.destroy();
}

/** The schedule of one storm: [{name, at, ms, node, line}]. */
function plan(random) {
    const bag = Object.entries(faults).flatMap(([name, { weight }]) => Array(weight).fill(name));
    const first = random.pick(bag);
    const count = faults[first].isAlone ? 1 : 1 + random.below(3);
    const names = [first, ...Array.from({ length: count - 1 }, () => random.pick(bag.filter((name) => !faults[name].isAlone)))];
    return names.map((name) => ({
        name, at: random.below(STORM_MS / 2), ms: 500 + random.below(STORM_MS - 1000), node: random.below(2), line: random.pick(['postgres', 'redis']),
    }));
}

const isLine = (name) => name.startsWith('line');
const describe = ({ name, at, ms, node, line }) => {
    const where = isLine(name) ? ` (node ${node + 1} to ${line})` : name.startsWith('gateway') ? ` (node ${node + 1})` : '';
    return `${name}${where} at ${at} for ${ms}`;
};

/** One fault; the same server or gateway is not broken twice at a time. */
async function happen(scene, { name, at, ms, node: index, line }, busy) {
    await sleep(at);
    const node = scene.bed.nodes[index];
    const proxy = node[`${line}Proxy`];
    const object = isLine(name) ? proxy : name.startsWith('gateway') ? node : name.split(' ')[0];
    if (busy.has(object)) {
        return;
    }
    busy.add(object);
    try {
        await faults[name].act({ scene, node, proxy }, ms);
    } finally {
        busy.delete(object);
    }
}

/** Everything back: what should live lives. */
async function repair(scene) {
    const { bed } = scene;
    await bed.heal();
    for (const server of [bed.postgres, bed.redis]) {
        if (!server.isRunning()) {
            await server.start();
        }
        server.resume();
    }
    await Promise.all(bed.nodes.map((node) => (node.isAlive() ? node.resume() : node.start({ ready: '/health/live' }))));
}

async function storm(scene, schedule) {
    scene.registry.mayBeRebased ||= schedule.some(({ name }) => faults[name].isLossy);
    const busy = new Set();
    scene.startWriting();
    const ends = await Promise.allSettled([sleep(STORM_MS), ...schedule.map((fault) => happen(scene, fault, busy))]);
    await repair(scene);
    await scene.stopWriting();
    return ends.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.message);
}

/** Runs storms for `seconds`; resolves with {storms, slowest, failure}. */
export async function run({ seconds, seed, followers = 6, say = console.log }) {
    say(`seed ${seed}, ${seconds} s`);
    const random = chance(seed);
    const scene = await startScene({ seed, followers, redis: { settings: { appendonly: 'yes' } } });
    const deadline = performance.now() + seconds * 1000;
    const result = { storms: 0, slowest: 0, failure: undefined };
    try {
        while (performance.now() < deadline && !result.failure) {
            const schedule = plan(random);
            say(`storm ${++result.storms}: ${schedule.map(describe).join('; ')}`);
            const problems = await storm(scene, schedule);
            problems.forEach((text) => say(`  (${text.split('\n')[0]})`));
            try {
                const took = await scene.judge.settled({ within: CONVERGE_MS });
                scene.judge.assertSound();
                result.slowest = Math.max(result.slowest, took);
                say(`  quiet: everybody has the truth after ${Math.round(took)} ms; ${scene.postgres.commits} commits, ${scene.redis.sent} messages`);
                Object.assign(scene.registry, { mayBeRebased: false, mayLoseCommits: false });
            } catch (error) {
                result.failure = error;
                say(`  NOT SOUND: ${error.message}`);
                scene.bed.nodes.forEach(({ name, gateway }) => say(`${name}, end of its log:\n${gateway.log.split('\n').slice(-40).join('\n')}`));
            }
        }
    } finally {
        await scene.end();
        await scene.bed.destroy();
    }
    return result;
}

async function main() {
    const { values } = parseArgs({ options: {
        seconds: { type: 'string', default: '600' }, seed: { type: 'string' }, followers: { type: 'string', default: '6' },
    } });
    const seed = Number(values.seed ?? Date.now() & 0x7fffffff);
    const { storms, slowest, failure } = await run({ seconds: Number(values.seconds), seed, followers: Number(values.followers) });
    console.log(failure
        ? `FAILED in storm ${storms}; again: ./dev faults ${values.seconds} ${seed}`
        : `${storms} storms, no promise broken, slowest return to the truth ${Math.round(slowest)} ms (seed ${seed})`);
    process.exit(failure ? 1 : 0);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    main().catch((error) => {
        console.error(error);
        process.exit(1);
    });
}
