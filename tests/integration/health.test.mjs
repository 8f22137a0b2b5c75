/*
 * What a load balancer and a person are told while Redis and PostgreSQL are not there yet, there, and gone again.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers, freePort } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { until } from '../support/waiting.mjs';

let redis;
let gateway;
let ports;

const ready = () => gateway.get('/health/ready');
const health = async (level = 'basic') => (await gateway.get(`/health?level=${level}`)).json();
const states = async () => Object.fromEntries(Object.entries((await health('detailed')).upstreams).map(([name, { state }]) => [name, state]));

/* What is down; unless the machine itself holds the gateway up, which is the worse news and told first. */
const isNamed = async (names, degraded) =>
    names.includes(degraded) || (degraded === 'event loop lag' && (await health('diagnostic')).loop_lag_p99_ms > 100);

/* One that is up but has lost a server; the same machine may make it worse. */
const isDegraded = ({ status, loop_lag_p99_ms: lag }) => status === (lag > 1000 ? 'unhealthy' : 'degraded');

before(async () => {
    ports = { redis: await freePort(), postgres: await freePort() };
    gateway = await startGateway({
        journal: { kind: 'redis' },
        redis: { host: '127.0.0.1', port: ports.redis },
        postgres: { url: `postgresql://postgres@127.0.0.1:${ports.postgres}/postgres` },
        definitions: { dir: new URL('../../deploy/definitions', import.meta.url).pathname },
        breaker: { failures: 3, open_s: 1 },
    }, { ready: '/health/live' });
});
after(async () => {
    await stopAll();
    await destroyServers();
});

test('without its servers it starts, is alive and not ready, and says why to those who may know', async () => {
    assert.equal((await gateway.get('/health/live')).status, 200);
    const no = await ready();
    assert.deepEqual([no.status, no.json().code, no.headers['retry-after']], [503, 'unavailable', '1']);
    const basic = await gateway.get('/health');
    assert.deepEqual([basic.status, basic.json().status], [503, 'initializing']);
    assert.doesNotMatch(basic.text + no.text, /127\.0\.0\.1/);
    await until('reasons', async () => {
        const { upstreams } = await health('detailed');
        return upstreams.redis.reason.includes(String(ports.redis)) && upstreams.postgres.reason !== '';
    });
    const { upstreams } = await health('detailed');
    assert.notEqual(upstreams.redis.state, 'up');
    assert.equal(upstreams.redis.links.journal?.up ?? Object.values(upstreams.redis.links)[0].up, false);
});

test('the operations board works all the same', async () => {
    await until('its tiles', async () => (await gateway.snapshot('operations')).set['ops.redis']?.v !== undefined);
    const { set } = await gateway.snapshot('operations');
    assert.ok(['connecting', 'open'].includes(set['ops.redis'].v), set['ops.redis'].v);
    assert.ok(['connecting', 'open'].includes(set['ops.postgres'].v), set['ops.postgres'].v);
    assert.equal(set['ops.state'].v, 'initializing');
    assert.ok(set['ops.breakers#postgres'].v.state, JSON.stringify(set['ops.breakers#postgres']));
});

test('it heals by itself when they come', async () => {
    redis = await startRedis({ port: ports.redis });
    await until('ready', async () => (await ready()).status === 200);
    await until('Redis to be up', async () => (await states()).redis === 'up');
    await until('the tile', async () => (await gateway.snapshot('operations')).set['ops.redis'].v === 'up');
    const { set } = await gateway.snapshot('operations');
    assert.ok(set['ops.redis_reconnects'].v >= 0);
    assert.equal(await gateway.metric('gw_upstream_state', { upstream: 'redis' }), 1);
    const answer = await ready();
    assert.ok(await isNamed(['postgres'], answer.json().degraded), answer.text);
});

test('when they go it stays ready, and names what is gone', async () => {
    await redis.stop();
    await until('the news', async () => isDegraded(await health('diagnostic')) && (await states()).redis !== 'up');
    const answer = await ready();
    assert.deepEqual([answer.status, answer.json().status], [200, 'ready']);
    assert.ok(await isNamed(['redis', 'postgres'], answer.json().degraded), answer.text);
    assert.doesNotMatch(answer.text + (await gateway.get('/health')).text, /127\.0\.0\.1/);
    assert.equal((await gateway.get('/health/live')).status, 200);
    await until('the metric', async () => (await gateway.metric('gw_upstream_state', { upstream: 'redis' })) > 1);
});

test('PostgreSQL comes and goes', async () => {
    const postgres = await startPostgres({ port: ports.postgres });
    await until('PostgreSQL to be up', async () => (await states()).postgres === 'up');
    const { upstreams } = await health('detailed');
    assert.equal(upstreams.postgres.breakers.postgres.state, 'closed');
    assert.equal(upstreams.postgres.links.pool.up, true);
    await postgres.stop();
    await until('the news', async () => (await states()).postgres !== 'up');
    await until('a reason', async () => (await health('detailed')).upstreams.postgres.reason);
});

test('the gateway stops cleanly', () => gateway.stop());

test('ready once is ready for good, however soon Redis goes again', async () => {
    const port = await freePort();
    gateway = await startGateway({ journal: { kind: 'redis' }, redis: { host: '127.0.0.1', port } }, { ready: '/health/live' });
    const server = await startRedis({ port });
    await until('ready', async () => (await ready()).status === 200, { every: 1 });
    await server.kill(); // most often before the gateway takes its next sample of itself, which comes once a second
    await until('the news', async () => (await states()).redis !== 'up');
    const answer = await ready();
    assert.equal(answer.status, 200, answer.text);
    await gateway.stop();
});
