/* Two gateways, one order: viewers move from one to the other, one by one and all at once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { plainBinary } from '../support/gateway.mjs';
import { sleep, until } from '../support/waiting.mjs';
import { gauges } from './definitions.mjs';
import { startScene } from './scene.mjs';

const CHANGES = 1000;
const TRAVELLERS = 40;
const RETURNING = 2000;

let scene;
before(async () => {
    scene = await startScene({ seed: 61, gateway: { binary: plainBinary }, config: { drain: { window_ms: 1500, grace_ms: 8000 } } });
});
after(async () => {
    endCrowds();
    await scene?.end();
    await scene?.bed.destroy();
});

test(`viewers that are moved during ${CHANGES} changes go on with one overlay`, async () => {
    const { nodes: [one, two], postgres } = scene.bed;
    await one.stop();
    one.options = { ...one.options, config: { drain: { window_ms: 1500, grace_ms: 8000, moved_url: `ws://127.0.0.1:${two.port}/ws` } } };
    await one.start();
    const crowd = new Crowd();
    await crowd.call('open', { port: one.port, count: TRAVELLERS, board: 'whole', counter: gauges[0], follows: true });
    const session = postgres.session();
    let stopping;
    for (let i = 0; i < CHANGES; i++) {
        await session.sql(`update sophia.kpi_state set value = '${++scene.postgres.n}', as_of = date_trunc('milliseconds', clock_timestamp())
            where field = '${i % 3 === 0 ? gauges[0] : gauges[1 + i % 6]}'`);
        if (i === CHANGES / 4) {
            stopping = one.gateway.stop();
        }
        await sleep(4);
    }
    session.end();
    await stopping;
    await crowd.call('arrived');
    const truth = await scene.postgres.truth();
    await until('the last change to be at node 2', async () => {
        const { set: held } = await two.gateway.snapshot('whole');
        return gauges.every((field) => held[field].ver === truth.get(field).ver);
    });
    const { set, to, epoch } = await two.gateway.snapshot('whole');
    await crowd.call('reached', { board: 'whole', offset: to, epoch });
    const reports = await crowd.call('reports');
    reports.forEach(({ counts, violations, moves }, i) => {
        assert.deepEqual(violations, [], `viewer ${i}`);
        assert.equal(moves.length, 1, `viewer ${i} moved ${moves.length} times`);
        assert.equal(counts.snapshot, 1, `viewer ${i}: ${JSON.stringify(counts)}`);
    });
    const { first, differing } = await crowd.call('fields', { board: 'whole' });
    assert.equal(differing, 0);
    assert.deepEqual(first, set);
    await crowd.call('close');
    await one.start();
    await scene.judge.settled();
    scene.judge.assertSound();
});

test(`${RETURNING} viewers that come back at once cost Redis and PostgreSQL nothing`, async () => {
    const { nodes: [one, two], postgres, redis } = scene.bed;
    if (!one.isAlive()) {
        await one.start(); // the test before this one failed
    }
    const crowd = new Crowd();
    await crowd.call('open', { port: one.port, count: RETURNING, atOnce: 50, board: 'whole' });
    const costs = async () => {
        const calls = await redis.calls();
        await sleep(1100); // PostgreSQL's counters are published about once a second
        const transactions = await postgres.sql("select sum(xact_commit + xact_rollback) from pg_stat_database where datname = 'postgres'");
        return { redis: Object.values(calls).reduce((sum, count) => sum + count, 0), postgres: Number(transactions), at: performance.now() };
    };
    const rates = (from, to) => Object.fromEntries(['redis', 'postgres'].map((name) => [name, (to[name] - from[name]) / ((to.at - from.at) / 1000)]));
    const start = await costs();
    await sleep(3000);
    const rest = await costs();
    await one.kill();
    const began = performance.now();
    await crowd.call('comeBack', { port: two.port });
    const took = performance.now() - began;
    const end = await costs();
    const [idle, storm] = [rates(start, rest), rates(rest, end)];
    const extra = Object.fromEntries(['redis', 'postgres'].map((name) => [name, (storm[name] - idle[name]) * (end.at - rest.at) / 1000]));
    console.log(`${RETURNING} came back in ${Math.round(took)} ms; calls per second at rest ${JSON.stringify(idle)}, meanwhile ${JSON.stringify(storm)}`);
    assert.ok(extra.redis < RETURNING * 0.05, `${extra.redis} more calls to Redis`);
    assert.ok(extra.postgres < RETURNING * 0.05, `${extra.postgres} more transactions`);
    const reports = await crowd.call('reports');
    assert.deepEqual(reports.flatMap(({ violations }) => violations).slice(0, 5), []);
    assert.equal(reports.filter(({ counts }) => counts.snapshot !== 1).length, 0, 'somebody needed a snapshot');
    await crowd.call('close');
    await one.start();
    await until('node 1 to be in step', () => scene.judge.findings().then((found) => found.length === 0), { within: 15000 });
});
