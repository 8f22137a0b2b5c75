/*
 * Two processes with a cache each, and a real Redis between them: what the scripts, the leases and the tracking of invalidations do
 * there. How a single cache behaves is tests/unit/cache.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, test } from 'node:test';
import { strictBinary } from '../support/gateway.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { limited, sleep, until } from '../support/waiting.mjs';

const program = path.join(path.dirname(strictBinary), '../tests/integration/cache_node');
const PREFIX = 'test:';

class Node {
    constructor(port) {
        this.child = spawn(program, [String(port), PREFIX], { stdio: ['pipe', 'pipe', 'pipe'] });
        this.waiting = [];
        this.reads = new Map();
        this.errors = '';
        this.ended = new Promise((resolve) => { this.child.on('exit', (code) => resolve(code)); });
        this.child.stderr.on('data', (text) => { this.errors += text; });
        createInterface({ input: this.child.stdout }).on('line', (line) => this.take(line));
    }

    take(line) {
        const [first, ...rest] = line.split(' ');
        if (line.startsWith('{')) {
            return; // a log line
        }
        const read = this.reads.get(first);
        if (read) {
            this.reads.delete(first);
            const [status, tier, age, result, fresh, ...text] = rest;
            read({ status, tier, age: Number(age), result, fresh: Number(fresh), text: text.join(' ') });
        } else {
            this.waiting.shift()(rest);
        }
    }

    say(...words) {
        this.child.stdin.write(`${words.join(' ')}\n`);
        return limited(words.join(' '), new Promise((resolve) => { this.waiting.push(resolve); }), 8000);
    }

    get(key, count) {
        const id = `r${Node.reads++}`;
        this.child.stdin.write(count ? `burst ${id} ${key} ${count}\n` : `get ${id} ${key}\n`);
        return limited(`get ${key}`, new Promise((resolve) => { this.reads.set(id, resolve); }), 8000);
    }

    async isTracking() {
        return (await this.say('tracking'))[0] === '1';
    }

    async loads() {
        return Number((await this.say('loads'))[0]);
    }

    async end() {
        this.child.stdin.end('quit\n');
        assert.equal(await limited('the end of a node', this.ended, 8000), 0, this.errors);
        assert.doesNotMatch(this.errors, /Sanitizer|runtime error|Assertion/);
    }
}
Node.reads = 0;

let redis;
let nodes = [];
const tracking = () => until('both nodes to hear each other', async () => (await nodes[0].isTracking()) && (await nodes[1].isTracking()));

before(async () => { redis = await startRedis(); });
after(destroyServers);

afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.end()));
    await redis.command('FLUSHALL');
});

async function twoNodes() {
    nodes = [new Node(redis.port), new Node(redis.port)];
    await tracking();
    for (const node of nodes) {
        await node.say('source', 'one', 0, 0);
    }
    return nodes;
}

test('what one process loaded the other finds in Redis, with its age', async () => {
    const [a, b] = await twoNodes();
    const first = await a.get('default:x');
    assert.deepEqual([first.status, first.tier, first.text], ['fresh', 'l3', 'one']);
    await sleep(300);
    const second = await b.get('default:x');
    assert.deepEqual([second.status, second.tier, second.text], ['fresh', 'l2', 'one']);
    assert.ok(second.age >= 290 && second.age < 1500, `${second.age} ms`);
    assert.equal((await b.get('default:x')).tier, 'l1');
    assert.equal(await b.loads(), 0);
    const lifetime = await redis.command('PTTL', `${PREFIX}cache:default:x`);
    const hard = (1800 + 24 * 3600) * 1100; // and a tenth
    assert.ok(lifetime <= hard && lifetime > hard - 5000, `${lifetime} ms`);
});

test('a write is heard by the other process within 50 ms', async () => {
    const [a, b] = await twoNodes();
    await a.get('executive_kpis:x');
    await b.get('executive_kpis:x');
    const delays = [];
    for (let version = 1; version <= 100; version++) {
        const began = performance.now();
        assert.deepEqual(await a.say('put', 'executive_kpis:x', version, `v${version}`), ['ok']);
        await until('the new value', async () => (await b.get('executive_kpis:x')).text === `v${version}`, { every: 1 });
        delays.push(performance.now() - began);
    }
    delays.sort((x, y) => x - y);
    console.log(`# put to seen elsewhere: p50 ${delays[50].toFixed(2)} ms, p99 ${delays[98].toFixed(2)} ms`);
    assert.ok(delays[98] < 50, `p99 ${delays[98]} ms`);
    assert.equal(await b.loads(), 0);
});

test('a lower version never replaces a higher one, whoever comes last', async () => {
    const [a, b] = await twoNodes();
    for (let round = 0; round < 50; round++) {
        const key = `default:${round}`;
        await Promise.all([a.say('put', key, 10 + (round % 2), 'a'), b.say('put', key, 11 - (round % 2), 'b')]);
        const winner = round % 2 ? 'a' : 'b';
        await until('both to agree', async () => (await a.get(key)).text === winner && (await b.get(key)).text === winner);
        assert.match(await redis.command('GET', `${PREFIX}cache:${key}`), new RegExp(`^sg1 0{18}11 .*\\n${winner}$`));
    }
});

test('with its tracker killed a node trusts nothing for longer than a second, and hears again after', async () => {
    const [a, b] = await twoNodes();
    await a.get('default:x');
    await b.get('default:x');
    const killAll = async () => {
        const clients = await redis.command('CLIENT', 'LIST', 'TYPE', 'pubsub');
        for (const [, id] of clients.matchAll(/^id=(\d+)/gm)) {
            await redis.command('CLIENT', 'KILL', 'ID', id);
        }
    };
    // Killed again and again, so that no write is heard while it lasts.
    let isOver = false;
    const killing = (async () => { while (!isOver) { await killAll(); await sleep(2); } })();
    await until('the trackers to be missed', async () => !(await a.isTracking()) && !(await b.isTracking()));
    const began = performance.now();
    await a.say('put', 'default:x', 5, 'pushed');
    let last = {};
    while (performance.now() - began < 3000) {
        const before_ = performance.now();
        last = await b.get('default:x');
        if (last.status === 'fresh' && last.text !== 'pushed') {
            assert.ok(before_ - began < 1150, `an old value was fresh after ${before_ - began} ms`);
        }
        await sleep(20);
    }
    assert.equal(last.text, 'pushed');
    isOver = true;
    await killing;
    await tracking();
    await a.say('put', 'default:x', 6, 'again');
    await until('the next write to be heard', async () => (await b.get('default:x')).text === 'again');
});

test('FLUSHALL is heard: values are loaded anew, and kept for when the source fails', async () => {
    const [a, b] = await twoNodes();
    await a.get('default:x');
    await a.get('default:y');
    /* A reader is answered before the value is in Redis: a flush in between would leave it there. */
    await until('the values to be in Redis', async () => (await redis.command('DBSIZE')) === 2);
    await redis.command('FLUSHALL');
    await until('the flush to be heard', async () => Number((await a.say('metric', 'gw_cache_invalidations_total'))[0]) >= 2);
    await a.say('source', '-', 0, 0);
    const kept = await a.get('default:x');
    assert.deepEqual([kept.status, kept.text], ['stale_error', 'one']);
    await a.say('source', 'two', 0, 0);
    assert.equal((await a.get('default:y')).text, 'two');
    await until('the new value to be in Redis', async () => (await redis.command('EXISTS', `${PREFIX}cache:default:y`)) === 1);
    assert.equal((await b.get('default:y')).text, 'two');
});

test('a thousand readers in each of two processes cause one load of a slow value', async () => {
    const [a, b] = await twoNodes();
    for (const node of nodes) {
        await node.say('source', 'slow', 400, 0);
    }
    const answers = await Promise.all([a.get('gong_summaries:x', 1000), b.get('gong_summaries:x', 1000)]);
    assert.deepEqual(answers.map(({ fresh, text }) => [fresh, text]), [[1000, 'slow'], [1000, 'slow']]);
    assert.equal(await a.loads() + await b.loads(), 1);
});

test('a process that is killed while it loads holds the other up for half the deadline only', async () => {
    const [a, b] = await twoNodes();
    await a.say('source', 'never', 60000, 0);
    a.get('gong_summaries:x').catch(() => {}); // is never answered
    await until('the lease to be taken', async () => await redis.command('EXISTS', `${PREFIX}lease:gong_summaries:x`) === 1);
    a.child.kill('SIGKILL');
    await a.ended;
    nodes.shift();
    const began = performance.now();
    const answer = await b.get('gong_summaries:x');
    assert.deepEqual([answer.status, answer.text], ['fresh', 'one']);
    assert.ok(performance.now() - began < 3500, `${performance.now() - began} ms`);
});

test('forgetting and clearing reach Redis and every process', async () => {
    const [a, b] = await twoNodes();
    for (let i = 0; i < 1200; i++) {
        await a.say('put', `default:${i}`, 1, 'x');
    }
    await a.get('executive_kpis:x');
    await b.get('default:7');
    assert.deepEqual(await a.say('forget', 'default:7'), ['ok', '1']);
    await until('one key to be gone', async () => (await redis.command('EXISTS', `${PREFIX}cache:default:7`)) === 0);
    await b.say('source', '-', 0, 0);
    await until('the other to forget it', async () => (await b.get('default:7')).status === 'failed');
    await b.get('default:8');
    const [result, count] = await a.say('clear', 'default');
    assert.equal(result, 'ok');
    assert.ok(Number(count) > 500, count);
    await until('the class to be gone', async () => (await redis.command('DBSIZE')) === 1);
    assert.equal(await redis.command('EXISTS', `${PREFIX}cache:executive_kpis:x`), 1);
    await until('the other to forget it', async () => (await b.get('default:8')).status === 'failed');
});

test('a paused Redis costs a read a quarter of a second at most, then nothing, and is used again after', async () => {
    const [a] = await twoNodes();
    await a.get('default:warm');
    redis.pause();
    const slow = [];
    for (let i = 0; i < 12; i++) {
        const began = performance.now();
        const answer = await a.get(`default:${i}`);
        slow.push(performance.now() - began);
        assert.equal(answer.text, 'one');
    }
    redis.resume();
    assert.ok(Math.max(...slow) < 900, `${slow.map((ms) => ms.toFixed(0))}`);
    assert.ok(slow.at(-1) < 100, `${slow.map((ms) => ms.toFixed(0))}`);
    await tracking();
    await until('Redis to be used again', async () => {
        await a.get(`default:again-${Math.floor(performance.now())}`);
        return (await redis.command('KEYS', `${PREFIX}cache:default:again-*`)).length > 0;
    }, { within: 10000 });
});
