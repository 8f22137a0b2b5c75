/* History beyond memory: PostgreSQL read through the cache, with everything real. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { installSchema } from '../support/sophia_schema.mjs';
import { until } from '../support/waiting.mjs';

const KPI = '/api/v1/kpis/exec.revenue_mtd/history';
const ADMIN = { authorization: 'Bearer 0perator', 'content-type': 'application/json' };

let postgres;
let redis;
let gateway;
const config = () => ({
    definitions: { dir: path.join(root, 'deploy/definitions') }, postgres: { url: postgres.url }, admin: { key: '0perator' },
    redis: { host: '127.0.0.1', port: redis.port },
});
before(async () => {
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    await installSchema(postgres);
    await postgres.sqlFile(path.join(root, 'deploy/sql/sample/sample.sql'));
    gateway = await startGateway(config());
    await until('PostgreSQL to be connected', async () => (await gateway.get(`${KPI}?points=50`)).json().cache?.status === 'fresh');
});
after(async () => {
    await stopAll();
    await destroyServers();
});

const clear = (what, headers = ADMIN) => {
    const body = JSON.stringify(what);
    return gateway.get('/api/v1/data-flow/cache/clear',
        { method: 'POST', body, headers: { ...headers, 'content-length': Buffer.byteLength(body) } });
};

test('points come from the database once, then from memory, and say so', async () => {
    const first = await gateway.get(`${KPI}?points=60`);
    assert.equal(first.status, 200, first.text);
    const read = first.json();
    assert.equal(read.cache.tier, 'l3');
    assert.equal(read.cache.status, 'fresh');
    assert.equal(first.headers.age, '0');
    assert.equal(first.headers['cache-status'], 'sophia-gateway; fwd=uri-miss; detail=fresh/l3');
    const expected = await postgres.sql(`select string_agg('[' || (extract(epoch from as_of) * 1000)::bigint || ',"' || to_char(revenue_mtd, 'FM999999999990.00') || '"]', ',' order by as_of)
        from executive_intelligence.rollup_history(60) where revenue_mtd is not null`);
    assert.deepEqual(read.points, JSON.parse(`[${expected}]`));
    assert.ok(read.points.length >= 30, `${read.points.length} points`);
    const again = await gateway.get(`${KPI}?points=60`);
    assert.equal(again.json().cache.tier, 'l1');
    assert.deepEqual(again.json().points, read.points);
    assert.equal(again.headers['cache-status'], 'sophia-gateway; hit; detail=fresh/l1');
    assert.equal((await gateway.get(`${KPI}?days=60`)).json().cache.tier, 'l1'); // the KPI has a point a day
    assert.equal((await gateway.get(`${KPI}?days=none`)).status, 400);
});

test('another gateway finds in Redis what this one read', async () => {
    await gateway.get(`${KPI}?points=61`);
    const other = await startGateway(config());
    await until('Redis to be connected', async () => (await other.metrics()).get('gw_cache_tracking') === 1);
    assert.equal((await other.get(`${KPI}?points=61`)).json().cache.tier, 'l2');
    await other.stop();
});

test('an operator clears a key, a class; nobody else does', async () => {
    await gateway.get(`${KPI}?points=62`);
    assert.equal((await clear({ class: 'executive_kpis' }, { 'content-type': 'application/json' })).status, 401);
    assert.equal((await clear({ class: 'executive_kpis' }, { ...ADMIN, authorization: 'Bearer wrong' })).status, 403);
    assert.equal((await gateway.get(`${KPI}?points=62`)).json().cache.tier, 'l1');
    const key = 'executive_kpis:history:exec.revenue_mtd:62';
    assert.deepEqual((await clear({ key })).json(), { key, cleared: 1 });
    assert.equal((await gateway.get(`${KPI}?points=62`)).json().cache.tier, 'l3');
    const whole = (await clear({ class: 'executive_kpis' })).json();
    assert.ok(whole.cleared >= 1, JSON.stringify(whole));
    await until('Redis to be cleared', async () => (await redis.command('KEYS', 'sophia:cache:*')).length === 0);
    assert.equal((await gateway.get(`${KPI}?points=62`)).json().cache.tier, 'l3');
    assert.equal((await clear({ class: 'no such' })).status, 404);
    assert.equal((await clear({ klass: 'x' })).status, 400);
    assert.equal(await gateway.metric('gw_cache_clears_total', { what: 'class' }), 1);
    assert.equal(gateway.logged('cache cleared').length, 2);
});

test('with the database away, what is kept is served, and what is not comes from memory, marked', async () => {
    await gateway.get(`${KPI}?points=63`);
    await postgres.stop();
    try {
        assert.equal((await gateway.get(`${KPI}?points=63`)).json().cache.tier, 'l1');
        const marked = await until('the database to be missed', async () => {
            const answer = (await gateway.get(`${KPI}?points=64`)).json();
            return answer.cache?.status === 'failed' && answer;
        });
        assert.equal(marked.cache.tier, 'memory');
        assert.equal(marked.cache.reason, 'unavailable');
        assert.ok(Array.isArray(marked.points));
    } finally {
        await postgres.start();
    }
    await until('the database to be back', async () => (await gateway.get(`${KPI}?points=64`)).json().cache?.status === 'fresh');
    await gateway.stop();
});
