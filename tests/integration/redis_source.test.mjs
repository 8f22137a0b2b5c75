/*
 * Messages and streams of a real Redis through the real gateway to viewers: what each form becomes, what is lost and comes back, who
 * forwards, and what an operator is told.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import fs from 'node:fs';
import { defineKpi, kpis, boards, makeDefinitions, writeDefinitions } from '../support/definitions.mjs';
import { plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { destroyProxies, startProxy } from '../support/proxy.mjs';
import { startRedis, startSentinel } from '../support/redis.mjs';
import { limited, percentile, sleep, until } from '../support/waiting.mjs';
import { WsViewer } from '../support/viewer.mjs';

const fed = (id, source) => kpis.map((kpi) => (kpi.id === id ? { ...kpi, source: { kind: 'redis', ...source } } : kpi))
    .find((kpi) => kpi.id === id);
const ownKpis = kpis.map((kpi) => ({
    'test.level': fed('test.level', { channel: 'kpi:test.level', key: 'kpi:test.level:latest' }),
    'test.feed': fed('test.feed', { channel: 'event:test' }),
}[kpi.id] ?? kpi));

let definitions;
let redis;
before(async () => {
    definitions = makeDefinitions({ kpiList: ownKpis });
    redis = await startRedis();
});
afterEach(stopAll);
after(async () => {
    await destroyProxies();
    await destroyServers();
    fs.rmSync(definitions, { recursive: true, force: true });
});

const start = (redisOptions = {}, more = {}, options = {}) => startGateway({
    definitions: { dir: definitions },
    redis: { ...(redisOptions.sentinels ? {} : { host: '127.0.0.1', port: redis.port }), ...redisOptions },
    ...more,
}, options);

const valueOf = async (gateway, field, board = 'alpha') => (await gateway.snapshot(board)).set[field];
const becomes = (gateway, field, wanted, options) => until(`${field} to be ${JSON.stringify(wanted)}`,
    async () => JSON.stringify((await valueOf(gateway, field))?.v) === JSON.stringify(wanted), options);

/** Until a channel has this many listeners. */
const heardBy = (channel, count, server = redis) => until(`${count} listeners of ${channel}`,
    async () => (await server.command('PUBSUB', 'NUMSUB', channel))[1] === count);
const publish = (channel, message, server = redis) =>
    server.command('PUBLISH', channel, typeof message === 'string' ? message : JSON.stringify(message));

const redisSource = async (gateway) => {
    const answer = await gateway.get('/health?level=detailed');
    return answer.text;
};

test('definitions and configuration say what a channel feeds', async () => {
    const gateway = await start({
        channels: [{ channel: 'rev', kpi: 'test.money' }, { pattern: 'changes.*' }, { channel: 'event:test', kpi: 'test.rows' }],
    });
    await heardBy('event:test', 1);
    await heardBy('rev', 1);
    await publish('kpi:test.level', '12.5');
    await becomes(gateway, 'test.level', 12.5);
    await publish('kpi:test.level', { value: 13, as_of: '2026-01-01T00:00:00Z', version: 5 });
    await becomes(gateway, 'test.level', 13);
    await publish('rev', '"10.50"');
    await becomes(gateway, 'test.money', '10.50');
    await publish('changes.any', [{ field: 'test.count', value: 3 }, { field: 'test.mode', value: 'slow' }]);
    await becomes(gateway, 'test.mode', 'slow');
    await publish('event:test', { id: 7, text: 'hello', sent: 1, other: true });
    await becomes(gateway, 'test.feed#7', { text: 'hello', sent: 1 });
    await becomes(gateway, 'test.rows#7', { text: 'hello', sent: 1 });
    assert.equal(await gateway.metric('gw_redis_messages_total', { result: 'leftover' }), 1);
    await gateway.stop();
});

test('what is no message is counted and told once, and harms nothing', async () => {
    const gateway = await start();
    await heardBy('event:test', 1);
    const bad = ['', 'on', '[]', '{', '{"value":1,"value":2}', '{"nothing":1}', 'x'.repeat(2 << 20), '['.repeat(40), '9'.repeat(400), '1001'];
    for (const message of bad) {
        await publish('kpi:test.level', message);
    }
    await publish('kpi:test.level', Buffer.from([0xff, 0xfe, 0]).toString('latin1'));
    await publish('event:test', { text: 'no key' });
    await publish('kpi:test.level', '42');
    await becomes(gateway, 'test.level', 42);
    const counts = await Promise.all(['malformed', 'too_big', 'too_deep', 'out_of_range', 'missing_field']
        .map((result) => gateway.metric('gw_redis_messages_total', { result })));
    assert.ok(counts.every((count) => count > 0), JSON.stringify(counts));
    assert.equal(gateway.logged('redis message not used').length, 1);
    await gateway.stop();
});

test('keys bring back what pub/sub lost, and a reload listens to new channels', async () => {
    await redis.command('SET', 'kpi:test.level:latest', JSON.stringify({ value: 1, as_of: 1763719200123 }));
    const gateway = await start();
    await becomes(gateway, 'test.level', 1);
    assert.equal((await valueOf(gateway, 'test.level')).as_of, 1763719200123);
    await redis.command('SET', 'kpi:test.level:latest', '2');
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await becomes(gateway, 'test.level', 2);
    writeDefinitions(definitions, {
        kpiList: [...ownKpis, defineKpi('test.new', 'gauge', { unit: 'integer', source: { kind: 'redis', channel: 'new' } })],
        boardList: { ...boards, alpha: [...boards.alpha, 'test.new'] },
    });
    gateway.signal('SIGHUP');
    await heardBy('new', 1);
    await publish('new', '5');
    await becomes(gateway, 'test.new', 5);
    writeDefinitions(definitions, { kpiList: ownKpis });
    gateway.signal('SIGHUP');
    await heardBy('new', 0);
    await gateway.stop();
    await redis.command('DEL', 'kpi:test.level:latest');
});

test('a half-open or stalled connection is found within 8 s and heals', async () => {
    const proxy = await startProxy(redis);
    const gateway = await start({ port: proxy.port });
    await heardBy('event:test', 1);
    for (const fault of ['halfOpen', 'stall']) {
        await redis.command('SET', 'kpi:test.level:latest', '1');
        proxy[fault]();
        const since = Date.now();
        await until('the link to be seen down', async () => await gateway.metric('gw_redis_link_up', { link: 'channels' }) === 0,
            { within: 8000 });
        const found = Date.now() - since;
        assert.ok(found < 8000, `${fault} was found after ${found} ms`);
        const value = found;
        await redis.command('SET', 'kpi:test.level:latest', String(value % 1000));
        proxy.heal();
        await becomes(gateway, 'test.level', value % 1000, { within: 15000 });
    }
    await gateway.stop();
    await proxy.destroy(); /* and with it what the server still takes for subscribers */
    await heardBy('event:test', 0);
    await redis.command('DEL', 'kpi:test.level:latest');
});

test('a wrong password, a replica and a missing server are named, and the gateway runs on', async () => {
    const guarded = await startRedis({ settings: { requirepass: 'sesame' } });
    const wrong = await start({ port: guarded.port, password: 'wrong' });
    await until('the reason', async () => /refused the password: check redis\.password/.test(wrong.log));
    assert.ok(!wrong.log.includes('"wrong"') && !/sesame/.test(wrong.log));
    assert.match(await redisSource(wrong), new RegExp(`127\\.0\\.0\\.1:${guarded.port}`));
    await wrong.stop();
    await guarded.destroy();

    const replica = await redis.replica();
    const reader = await start({ port: replica.port });
    await until('the reason', async () => /is a replica of 127\.0\.0\.1/.test(reader.log));
    await replica.promote();
    await heardBy('event:test', 1, replica);
    await publish('kpi:test.level', '8', replica);
    await becomes(reader, 'test.level', 8);
    await reader.stop();
    await replica.destroy();
});

test('the user that the documentation proposes may do everything that is needed', async () => {
    const line = fs.readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8').match(/^ {4}(ACL SETUSER gateway .*)$/m)[1];
    await redis.command(...line.replace('PASSWORD', 'pass').split(' '));
    const gateway = await start({
        username: 'gateway', password: 'pass', streams: [{ stream: 'changes', from: 'oldest' }], channels: [],
    }, { journal: { kind: 'redis' } });
    await redis.command('SET', 'kpi:test.level:latest', '3');
    await heardBy('event:test', 1);
    await publish('event:test', { key: 'k', text: 'by acl' });
    await becomes(gateway, 'test.feed#k', { text: 'by acl' });
    await redis.command('XADD', 'changes', '*', 'payload', JSON.stringify({ field: 'test.count', value: 77 }));
    await becomes(gateway, 'test.count', 77);
    await until('the position', () => redis.command('GET', 'sophia:stream-position:changes'));
    assert.equal(await gateway.metric('gw_redis_heartbeats_lost_total'), 0);
    assert.doesNotMatch(gateway.log, /NOPERM|"level":"warn","message":"redis/);
    await gateway.stop();
    await redis.command('FLUSHALL');
});

test('nothing of a stream is lost across crashes and restarts', async () => {
    const streams = [{ stream: 'orders', kpi: 'test.rows', from: 'oldest' }];
    const add = (i) => redis.command('XADD', 'orders', '*', 'key', `r${i % 200}`, 'text', `order ${i}`, 'sent', i);
    const total = 900;
    let added = 0;
    const writing = (async () => {
        for (; added < total; added++) {
            await add(added);
            await sleep(2);
        }
    })();
    for (let run = 0; run < 3; run++) {
        const gateway = await start({ streams }, { journal: { kind: 'redis' } });
        await until('some to arrive', async () => added > (run + 1) * 200);
        await gateway.kill();
    }
    await writing;
    const gateway = await start({ streams }, { journal: { kind: 'redis' } });
    await becomes(gateway, 'test.rows#r99', { text: 'order 899', sent: 899 });
    const { set } = await gateway.snapshot('alpha');
    for (let i = 700; i < 900; i++) {
        assert.deepEqual(set[`test.rows#r${i % 200}`]?.v, { text: `order ${i}`, sent: i });
    }
    await gateway.stop();
    await redis.command('FLUSHALL');
});

test('one of two processes forwards; what is published while it dies is not lost', async () => {
    const journal = { journal: { kind: 'redis' } };
    const first = await start({}, { ...journal, node: { name: 'first' } });
    const second = await start({}, { ...journal, node: { name: 'second' } });
    await heardBy('event:test', 2);
    await until('one to forward', () => first.logged('redis messages are forwarded by this process').length > 0
        || second.logged('redis messages are forwarded by this process').length > 0);
    const isFirst = first.logged('redis messages are forwarded by this process').length > 0;
    const [holder, other] = isFirst ? [first, second] : [second, first];
    await publish('kpi:test.level', '1');
    await becomes(holder, 'test.level', 1);
    await becomes(other, 'test.level', 1);
    await holder.kill();
    await publish('kpi:test.level', '2');
    await publish('event:test', { key: 'gap', text: 'in the gap' });
    await becomes(other, 'test.feed#gap', { text: 'in the gap' }, { within: 8000 });
    await becomes(other, 'test.level', 2);
    await other.stop();
    await redis.command('FLUSHALL');
});

test('Sentinel says where the master is, and where it went', async () => {
    const master = await startRedis();
    const replica = await master.replica();
    const sentinel = await startSentinel(master);
    await until('the sentinel to know the replica', async () =>
        (await sentinel.command('SENTINEL', 'replicas', sentinel.masterName)).length > 0, { within: 20000 });
    const gateway = await start({
        sentinels: [`127.0.0.1:${sentinel.port}`], sentinel_master: sentinel.masterName,
    });
    await heardBy('event:test', 1, master);
    await master.stop();
    await until('the failover', async () => await sentinel.masterPort() === replica.port, { within: 30000 });
    await heardBy('event:test', 1, replica);
    await publish('kpi:test.level', '9', replica);
    await becomes(gateway, 'test.level', 9);
    await gateway.stop();
    await sentinel.destroy();
    await replica.destroy();
    await master.destroy();
});

test('from PUBLISH to a viewer', async (t) => {
    const gateway = await start({}, { fanout: { flush_ms: 0 } }, { binary: plainBinary });
    await heardBy('event:test', 1);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const took = [];
    for (let i = 1; i <= 300; i++) {
        const seen = new Promise((resolve) => {
            viewer.onMessage = (message, at) => message.set?.['test.level']?.v === i && resolve(at);
        });
        const since = performance.now();
        await publish('kpi:test.level', String(i));
        took.push(await limited(`update ${i}`, seen) - since);
        await sleep(2);
    }
    viewer.assertSound();
    await viewer.close();
    const [p50, p99] = [0.5, 0.99].map((share) => percentile(took, share));
    t.diagnostic(`PUBLISH to receipt: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
    assert.ok(p50 < 10, `p50 ${p50} ms`);
    await gateway.stop();
});
