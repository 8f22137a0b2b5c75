/* PostgreSQL as a source: the state table is followed exactly, whatever happens to transactions, links and servers. */
import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { defineKpi, makeDefinitions, writeDefinitions } from '../support/definitions.mjs';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { destroyProxies, startProxy } from '../support/proxy.mjs';
import { installSchema, silenceDoorbell, upsert } from '../support/sophia_schema.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { chance, percentile, seedOfRun, sleep, until } from '../support/waiting.mjs';

afterEach(stopAll);
afterEach(destroyProxies);
after(destroyServers);

const source = { kind: 'pg' };
const columns = [{ key: 'n', title: 'N', unit: 'number', required: true }, { key: 'note', title: 'Note', unit: 'text' }];
const kpiList = [
    defineKpi('pg.number', 'gauge', { unit: 'number', priority: 'critical', range: [0, 1000000], source }),
    defineKpi('pg.money', 'gauge', { unit: 'money', currency: 'USD', decimals: 2, priority: 'critical', source }),
    defineKpi('pg.share', 'gauge', { unit: 'percent', priority: 'critical', source }),
    defineKpi('pg.rows', 'table', { cap: 1000, columns, priority: 'critical', source }),
    defineKpi('other.number', 'gauge', { unit: 'number' }),
    ...Array.from({ length: 12 }, (_, i) => defineKpi(`w.t${i}`, 'table', { cap: 1000, columns, priority: 'critical', source })),
];
const boardList = {
    state: ['pg.number', 'pg.money', 'pg.share', 'pg.rows', 'other.number'],
    writers: kpiList.map(({ id }) => id).filter((id) => id.startsWith('w.')),
};
const rules = Object.fromEntries(kpiList.filter(({ cap }) => cap).map(({ id, type, cap }) => [id, { type, cap }]));

async function startServer(options) {
    const postgres = await startPostgres(options);
    await installSchema(postgres);
    return postgres;
}

/** A gateway on this database. */
function startOn(postgres, { config = {}, kpis = kpiList, boards = boardList, ready = '/health/ready', ...options } = {}) {
    const dir = makeDefinitions({ kpiList: kpis, boardList: boards });
    const url = typeof postgres === 'string' ? postgres : postgres.url;
    return startGateway({ definitions: { dir }, postgres: { url }, ...config }, { ready, ...options });
}

const watch = async (gateway, board, more = {}) => {
    const viewer = await WsViewer.open(gateway.port, { rules, ...more });
    await viewer.watch(board);
    return viewer;
};
const valueOf = (viewer, board, field) => viewer.copy(board).fields.get(field);
const shows = (viewer, board, field, v, options) => until(`${field} = ${JSON.stringify(v)} (${JSON.stringify(valueOf(viewer, board, field))})`,
    () => JSON.stringify(valueOf(viewer, board, field)?.v) === JSON.stringify(v), options);
const sourceOf = async (gateway) => (await gateway.get('/health?level=detailed')).json().sources?.find?.(({ name }) => name === 'pg')
    ?? (await gateway.get('/health?level=detailed')).json().sources?.pg;

test('rows of the state table are on the screen, transactions whole, deletions too', async () => {
    const postgres = await startServer();
    await postgres.sql(`${upsert('pg.number', { value: "'41'" })}; ${upsert('pg.rows#old', { value: '\'{"n":1}\'' })}`);
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'state');
    await shows(viewer, 'state', 'pg.number', 41);
    await shows(viewer, 'state', 'pg.rows#old', { n: 1 });

    await postgres.sql(`begin; ${upsert('pg.number', { num: '42' })}; ${upsert('pg.money', { num: "'1284300.50'" })};
        ${upsert('pg.share', { num: '1', den: '3' })}; ${upsert('pg.rows#a', { value: '\'{"n":2,"note":"x"}\'' })}; commit`);
    await shows(viewer, 'state', 'pg.rows#a', { n: 2, note: 'x' });
    assert.equal(valueOf(viewer, 'state', 'pg.money').v, '1284300.50');
    assert.equal(valueOf(viewer, 'state', 'pg.share').v, 0.333333333333333);
    const frame = viewer.ofType('update').find(({ set }) => set['pg.rows#a']);
    assert.deepEqual(Object.keys(frame.set).sort(), ['pg.money', 'pg.number', 'pg.rows#a', 'pg.share'], 'one transaction, one frame');

    await postgres.sql("delete from sophia.kpi_state where field in ('pg.rows#a', 'pg.number')");
    await until('the row to go', () => !valueOf(viewer, 'state', 'pg.rows#a'));
    await until('no data', () => valueOf(viewer, 'state', 'pg.number').state === 'nodata');
    await postgres.sql("insert into sophia.kpi_state (field, num) values ('pg.number', 7)");
    await shows(viewer, 'state', 'pg.number', 7);
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('rows that cannot be shown are refused one by one', async () => {
    const postgres = await startServer();
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'state');
    await postgres.sql(upsert('pg.number', { num: '5' }));
    await shows(viewer, 'state', 'pg.number', 5);
    await postgres.sql(`begin; ${upsert('pg.number', { num: '-3' })}; ${upsert('pg.nobody', { num: '1' })}; ${upsert('other.number', { num: '1' })};
        ${upsert('pg.rows#bad', { value: '\'{"x":2}\'' })}; ${upsert('pg.money', { value: '\'[1]\'' })}; ${upsert('pg.share', { num: '0.5' })}; commit`);
    await shows(viewer, 'state', 'pg.share', 0.5);
    await until('the mark', () => valueOf(viewer, 'state', 'pg.number').state === 'invalid');
    assert.equal(valueOf(viewer, 'state', 'pg.number').v, 5);
    assert.equal(valueOf(viewer, 'state', 'other.number'), undefined);
    const told = gateway.logged('state row refused').map(({ field }) => field).sort();
    assert.deepEqual(told, ['other.number', 'pg.money', 'pg.nobody', 'pg.number', 'pg.rows#bad']);
    assert.equal(await gateway.metric('gw_pg_rows_total', { result: 'unknown_field' }), 1);
    assert.equal(await gateway.metric('gw_pg_rows_total', { result: 'other_source' }), 1);
    await assert.rejects(postgres.sql(upsert('pg.number', { num: "'NaN'" })), /check constraint/);
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('twelve writers with rollbacks and an open transaction: nothing is missed, nothing waits', async () => {
    const seed = seedOfRun();
    console.log(`# seed ${seed}`);
    const postgres = await startServer();
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'writers');
    const received = new Map();
    viewer.onMessage = (message, at) => {
        Object.keys(message.set ?? {}).forEach((field) => received.has(field) || received.set(field, at));
    };
    const idle = postgres.session();
    await idle.sql('create table elsewhere (i int)');
    await idle.sql('begin; insert into elsewhere values (1)');
    let isOpen = true;
    const opened = sleep(4000).then(async () => { await idle.sql('commit'); isOpen = false; });

    const committed = new Map();
    const during = [];
    const writer = async (number) => {
        const { next } = chance(seed + number);
        const session = postgres.session();
        for (let i = 0; i < 350; i++) {
            const field = `w.t${number}#${String(i).padStart(4, '0')}`;
            await session.sql(`begin; insert into sophia.kpi_state (field, value) values ('${field}', '{"n":${i}}'); select pg_sleep(${(next() * 0.02).toFixed(4)})`);
            if (next() < 0.05) {
                await session.sql('rollback');
            } else {
                await session.sql('commit');
                committed.set(field, performance.now());
                if (isOpen) {
                    during.push(field);
                }
            }
        }
        session.end();
    };
    await Promise.all(Array.from({ length: 12 }, (_, i) => writer(i)));
    await opened;
    await until(`all rows (${received.size} of ${committed.size})`, () => viewer.copy('writers').fields.size >= committed.size, { within: 5000 });

    const shown = viewer.copy('writers').fields;
    const missed = [...committed.keys()].filter((field) => !shown.has(field));
    const wrong = [...shown].filter(([field, { v }]) => !committed.has(field) || v.n !== Number(field.slice(-4)));
    assert.deepEqual(missed, []);
    assert.deepEqual(wrong, []);
    const latency = (fields) => fields.map((field) => received.get(field) - committed.get(field));
    const all = latency([...committed.keys()]);
    const open = latency(during);
    console.log(`# ${committed.size} rows, commit to viewer p50 ${percentile(all, 0.5).toFixed(0)} p99 ${percentile(all, 0.99).toFixed(0)} max ${Math.max(...all).toFixed(0)} ms; `
        + `with a transaction open (${during.length}) p99 ${percentile(open, 0.99).toFixed(0)} max ${Math.max(...open).toFixed(0)} ms`);
    assert.ok(during.length > 500, `${during.length} rows while it was open`);
    assert.ok(percentile(open, 0.99) < 1000 && Math.max(...open) < 2500, 'delivery waits for the open transaction');
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('without notifications, polling delivers', async () => {
    const postgres = await startServer();
    await silenceDoorbell(postgres);
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'state');
    await sleep(1000); // the poll has slowed down
    const late = [];
    for (let i = 1; i <= 10; i++) {
        await postgres.sql(upsert('pg.number', { num: i }));
        const since = performance.now();
        await shows(viewer, 'state', 'pg.number', i, { every: 2 });
        late.push(performance.now() - since);
        await sleep(300);
    }
    console.log(`# commit to viewer by polling from idle: max ${Math.max(...late).toFixed(0)} ms`);
    assert.ok(Math.max(...late) < 600, `${late}`);
    await gateway.stop();
    await postgres.destroy();
});

test('what keeps it from reading is said, with the remedy, and heals', async () => {
    const postgres = await startPostgres({ initSql: "create role gateway login password 'hunter2secret'" });
    const url = `postgresql://gateway:hunter2secret@127.0.0.1:${postgres.port}/postgres`;
    const gateway = await startOn(url, { ready: '/health/live' });
    const reason = (wanted) => until(`a reason like ${wanted} (${gateway.log.slice(-600)})`,
        async () => wanted.test(JSON.stringify((await gateway.get('/health?level=diagnostic')).json())), { within: 10000, every: 100 });
    await reason(/sophia\.kpi_state cannot be read, run deploy\/sql\/install\.sql/);
    await installSchema(postgres);
    await postgres.sql('revoke all on schema sophia from sophia_gateway');
    await reason(/may not be read, grant sophia_gateway/);
    await installSchema(postgres, { file: '90_roles.sql' });
    await postgres.sql(`grant sophia_gateway to gateway; ${upsert('pg.number', { num: '3' })}`);
    const viewer = await watch(gateway, 'state');
    await shows(viewer, 'state', 'pg.number', 3);
    assert.doesNotMatch(gateway.log, /hunter2secret/);
    await gateway.stop();
    await postgres.destroy();
});

test('a wrong password, a missing database and a standby are told apart, and nothing blocks the start', async () => {
    const primary = await startServer();
    const standby = await primary.standby();
    for (const [url, wanted] of [
        [`postgresql://postgres@127.0.0.1:${primary.port}/nowhere`, /no such database .*nowhere/],
        [`postgresql://postgres@127.0.0.1:${standby.port}/postgres`, /standby .*primary/],
        ['postgresql://postgres@127.0.0.1:1/postgres', /connection refused .*127\.0\.0\.1:1/],
    ]) {
        const gateway = await startOn(url, { ready: '/health/live' });
        await until(`a reason like ${wanted}`, () => gateway.logged('postgres link down').some(({ reason }) => wanted.test(reason)));
        assert.equal((await gateway.get('/api/v1/dashboards/state')).status, 200);
        await gateway.stop();
    }
    await standby.destroy();
    await primary.destroy();
});

test('a gateway on a database that comes back goes on where it was', async () => {
    const postgres = await startServer();
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'state');
    await postgres.sql(upsert('pg.number', { num: 1 }));
    await shows(viewer, 'state', 'pg.number', 1);
    await postgres.stop('immediate');
    await sleep(500);
    await postgres.start();
    await postgres.sql(upsert('pg.number', { num: 2 }));
    const since = performance.now();
    await shows(viewer, 'state', 'pg.number', 2, { within: 5000 });
    console.log(`# restart to viewer ${(performance.now() - since).toFixed(0)} ms`);
    assert.equal(viewer.counts.snapshot, 1, 'no snapshot: the history goes on');
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('half-open links are found within 8 s', async () => {
    const postgres = await startServer();
    const proxy = await startProxy(postgres);
    const gateway = await startOn(`postgresql://postgres@127.0.0.1:${proxy.port}/postgres`);
    const viewer = await watch(gateway, 'state');
    await postgres.sql(upsert('pg.number', { num: 1 }));
    await shows(viewer, 'state', 'pg.number', 1);
    proxy.halfOpen();
    const since = performance.now();
    await postgres.sql(upsert('pg.number', { num: 2 }));
    await shows(viewer, 'state', 'pg.number', 2, { within: 9000 });
    console.log(`# half-open to the next value ${(performance.now() - since).toFixed(0)} ms`);
    assert.ok(performance.now() - since < 8000);
    await until('both links to be new', async () => (await gateway.metric('gw_pg_reconnects_total', { link: 'listen' })) >= 1
        && (await gateway.metric('gw_pg_listening')) === 1, { within: 9000 - (performance.now() - since) });
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('a promoted standby that lost commits: everybody converges to what survived', async () => {
    const primary = await startServer();
    const proxy = await startProxy(primary);
    await primary.sql(`${upsert('pg.number', { num: 1 })}; ${upsert('pg.rows#kept', { value: '\'{"n":1}\'' })}`);
    const standby = await primary.standby();
    const gateway = await startOn(`postgresql://postgres@127.0.0.1:${proxy.port}/postgres`);
    const viewer = await watch(gateway, 'state');
    await shows(viewer, 'state', 'pg.number', 1);
    const { epoch } = viewer.copy('state');
    await standby.cutReplication();
    await primary.sql(`${upsert('pg.number', { num: 99 })}; ${upsert('pg.money', { num: 5 })}; ${upsert('pg.rows#lost', { value: '\'{"n":9}\'' })}`);
    await shows(viewer, 'state', 'pg.rows#lost', { n: 9 });
    await primary.kill();
    proxy.target = standby;
    proxy.reset();
    await standby.promote();
    await standby.sql(upsert('pg.share', { num: '0.25' }));
    await shows(viewer, 'state', 'pg.share', 0.25, { within: 15000 });
    await until('the lost row to go', () => !valueOf(viewer, 'state', 'pg.rows#lost'), { within: 5000 });
    await shows(viewer, 'state', 'pg.number', 1);
    await until('the lost value to go', () => valueOf(viewer, 'state', 'pg.money').state === 'nodata', { within: 5000 });
    assert.ok(valueOf(viewer, 'state', 'pg.rows#kept'));
    assert.notEqual(viewer.copy('state').epoch, epoch, 'a new epoch');
    await standby.sql(upsert('pg.number', { num: 2 }));
    await shows(viewer, 'state', 'pg.number', 2);
    viewer.assertSound();
    await gateway.stop();
    await standby.destroy();
    await primary.destroy();
});

test('rows that left the table without a trace leave the screen at the next full read', async () => {
    const postgres = await startServer();
    const gateway = await startOn(postgres);
    const viewer = await watch(gateway, 'state');
    await postgres.sql(`${upsert('pg.number', { num: 1 })}; ${upsert('pg.rows#a', { value: '\'{"n":1}\'' })}; ${upsert('pg.rows#b', { value: '\'{"n":2}\'' })}`);
    await shows(viewer, 'state', 'pg.rows#b', { n: 2 });
    await postgres.sql(`begin; alter table sophia.kpi_state disable trigger all; delete from sophia.kpi_state
        where field in ('pg.rows#a', 'pg.number'); alter table sophia.kpi_state enable trigger all; commit`);
    await installSchema(postgres); // and always again
    const open = postgres.session();
    await open.sql('begin; select pg_current_xact_id()');
    writeDefinitions(gateway.definitions, { kpiList: [...kpiList, defineKpi('pg.more', 'gauge', { unit: 'number', source })], boardList });
    gateway.signal('SIGHUP');
    await until('the full read', async () => (await gateway.metric('gw_pg_polls_total', { kind: 'full' })) >= 2);
    await sleep(500);
    assert.ok(valueOf(viewer, 'state', 'pg.rows#a'), 'not while somebody may be writing it');
    await open.sql('commit');
    await until('the row to go', () => !valueOf(viewer, 'state', 'pg.rows#a'));
    await until('no data', () => valueOf(viewer, 'state', 'pg.number').state === 'nodata');
    assert.ok(valueOf(viewer, 'state', 'pg.rows#b'));
    await postgres.sql(`${upsert('pg.rows#a', { value: '\'{"n":3}\'' })}; ${upsert('pg.number', { num: 4 })}`);
    await shows(viewer, 'state', 'pg.rows#a', { n: 3 });
    await shows(viewer, 'state', 'pg.number', 4);
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

/* ---- plain NOTIFY channels ---- */

const deals = [
    defineKpi('deal.amount', 'gauge', { unit: 'money', currency: 'USD', decimals: 2, priority: 'critical', source }),
    defineKpi('deal.rows', 'table', { cap: 100, columns, priority: 'critical', source }),
    defineKpi('deal.mood', 'gauge', { unit: 'number', priority: 'critical', source }),
];
const mappings = [
    { channel: 'Deals', relation: 'public.deals', field: 'deal.rows', query: 'select n, note, revision as version from deals where id = $1::int' },
    { channel: 'Deals', relation: 'public.totals', field: 'deal.amount', query: 'select amount as value from totals where name = $1' },
    { channel: 'mood', field: 'deal.mood' },
];

async function startDeals(more = {}) {
    const postgres = await startServer();
    await postgres.sql('create table deals (id int primary key, n numeric, note text, revision bigint); create table totals (name text, amount numeric)');
    const proxy = await startProxy(postgres);
    const gateway = await startOn(`postgresql://postgres@127.0.0.1:${proxy.port}/postgres`, {
        kpis: deals, boards: { deals: deals.map(({ id }) => id) }, config: { postgres: { url: `postgresql://postgres@127.0.0.1:${proxy.port}/postgres`, notifications: mappings, ...more } },
    });
    const viewer = await WsViewer.open(gateway.port, { rules: { 'deal.rows': { type: 'table', cap: 100 } } });
    await viewer.watch('deals');
    await until('the listener', async () => (await gateway.metric('gw_pg_listening')) === 1);
    return { postgres, proxy, gateway, viewer };
}

test('a plain notification names a row, the row is read and shown', async () => {
    const { postgres, gateway, viewer } = await startDeals();
    await postgres.sql(`insert into deals values (1, 10, 'first', 1); notify "Deals", '{"relation":"public.deals","key":"1","revision":1}'`);
    await shows(viewer, 'deals', 'deal.rows#1', { n: 10, note: 'first' });
    await postgres.sql(`update deals set n = 11, revision = 2; notify "Deals", '{"relation":"public.deals","key":1,"revision":2}'`);
    await shows(viewer, 'deals', 'deal.rows#1', { n: 11, note: 'first' });
    await postgres.sql(`insert into totals values ('all', 12.5); notify "Deals", '{"relation":"public.totals","key":"all"}'`);
    await shows(viewer, 'deals', 'deal.amount', '12.50');
    await postgres.sql(`update totals set amount = 13; notify "Deals", '{"relation":"public.totals","key":"all"}'`);
    await shows(viewer, 'deals', 'deal.amount', '13.00');
    await postgres.sql(`notify mood, '{"key":"x","revision":5,"value":7}'`);
    await shows(viewer, 'deals', 'deal.mood', 7);
    await postgres.sql(`notify mood, '{"key":"x","revision":4,"value":6}'; notify mood, '{"key":"x","revision":6,"value":8}'`);
    await shows(viewer, 'deals', 'deal.mood', 8);
    await postgres.sql(`delete from deals; notify "Deals", '{"relation":"public.deals","key":"1","revision":3}'`);
    await until('the row to go', () => !valueOf(viewer, 'deals', 'deal.rows#1'));
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('payloads of no use are counted and change nothing', async () => {
    const { postgres, gateway, viewer } = await startDeals();
    const garbage = ['', 'x', '[]', '{}', '{"key":{}}', '{"key":"1","revision":"new"}', '{"key":"1","revision":-1}', '{"key":"1","revision":1e400}',
        '{"relation":"public.deals","relation":"x","key":"1"}', '{"key":"a","value":{"a":[1]}}', '\u0001{', '"' + 'x'.repeat(7000) + '"'];
    for (const payload of garbage) {
        await postgres.sql(`select pg_notify('mood', $x$${payload}$x$)`);
    }
    await postgres.sql(`select pg_notify('mood', '{"key":"${'k'.repeat(500)}","value":1}')`);
    await postgres.sql(`select pg_notify('Deals', '{"relation":"public.nothing","key":"1"}'); select pg_notify('mood', '{"key":"1"}')`);
    await postgres.sql(`notify mood, '{"key":"x","value":3}'`);
    await shows(viewer, 'deals', 'deal.mood', 3);
    assert.equal(await gateway.metric('gw_pg_notifications_total', { result: 'malformed' }), garbage.length - 1 + 1);
    assert.equal(await gateway.metric('gw_pg_notifications_total', { result: 'oversize' }), 1);
    assert.equal(await gateway.metric('gw_pg_notifications_total', { result: 'unknown' }), 1);
    assert.ok(gateway.logged('postgres notification of no use').length <= 5, 'one line per kind');
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('what was named before is read again after notifications may have been lost', async () => {
    const { postgres, proxy, gateway, viewer } = await startDeals();
    await postgres.sql(`insert into deals values (1, 10, 'a', 1), (2, 20, 'b', 1);
        notify "Deals", '{"relation":"public.deals","key":"1","revision":1}'; notify "Deals", '{"relation":"public.deals","key":"2","revision":1}'`);
    await shows(viewer, 'deals', 'deal.rows#2', { n: 20, note: 'b' });
    proxy.cut();
    await postgres.sql(`update deals set n = n + 1, revision = 2; notify "Deals", '{"relation":"public.deals","key":"1","revision":2}'`);
    await sleep(300);
    await proxy.heal();
    await shows(viewer, 'deals', 'deal.rows#1', { n: 11, note: 'a' });
    await shows(viewer, 'deals', 'deal.rows#2', { n: 21, note: 'b' });
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});

test('a query that fails is told, and the next notification works', async () => {
    const { postgres, gateway, viewer } = await startDeals();
    await postgres.sql(`alter table deals rename to gone; notify "Deals", '{"relation":"public.deals","key":"1","revision":1}'`);
    await until('the log line', () => gateway.logged('postgres notification of no use').some(({ reason }) => /deals. does not exist/.test(reason)));
    await postgres.sql(`alter table gone rename to deals; insert into deals values (1, 1, 'x', 2); notify "Deals", '{"relation":"public.deals","key":"1","revision":2}'`);
    await shows(viewer, 'deals', 'deal.rows#1', { n: 1, note: 'x' });
    viewer.assertSound();
    await gateway.stop();
    await postgres.destroy();
});
