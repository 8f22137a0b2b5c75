/*
 * Every query of the shipped definitions against a real PostgreSQL: it runs with the rights of the gateway's role, its rows are
 * accepted, and what it says of a small company - set up row by row - is what a person would compute. Then what people do to a
 * database: change a row, drop a table, take a right away, lock a table, write nonsense.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { until } from '../support/waiting.mjs';
import { WsViewer } from '../support/viewer.mjs';

const shipped = path.join(root, 'deploy/definitions');
const sqlOf = (file) => path.join(root, 'deploy/sql', file);
const read = (directory) => ['executive', 'competitive', 'knowledge'].flatMap((file) =>
    JSON.parse(fs.readFileSync(path.join(directory, `kpis/${file}.json`), 'utf8')).kpis);
const textOf = (query) => (Array.isArray(query) ? query.join('\n') : query);
const queried = read(shipped).filter(({ source }) => source.query);
const hasRows = ({ type }) => ['table', 'feed', 'series'].includes(type);
const boardsOf = ['executive', 'competitive', 'knowledge'];
const rules = Object.fromEntries(read(shipped).filter(hasRows).map(({ id, type, cap }) => [id, { type, cap }]));
const FRESH_MS = 60000;

let postgres;
let gateway;
let definitions;

/** With psql's \ir the file must be named, so this does not go through a pipe. */
async function run(file) {
    await postgres.sql(`\\i ${sqlOf(file)}`);
}

/** Every field of the three boards. */
async function everything() {
    const snapshots = await Promise.all(boardsOf.map((board) => gateway.snapshot(board)));
    return Object.assign({}, ...snapshots.map(({ set }) => set));
}

/** wanted: the value itself, what its text must match, or a question. */
const fits = (wanted, value) => {
    if (typeof wanted === 'function') {
        return wanted(value);
    }
    return wanted instanceof RegExp ? wanted.test(value) : JSON.stringify(value) === JSON.stringify(wanted);
};

/** {field: {member: wanted}}; null: the field is not there. Resolves with all fields once it is so. */
async function expectFields(expected, options) {
    let held;
    const wrong = () => Object.entries(expected).filter(([field, members]) => {
        const value = held[field];
        return members === null ? value !== undefined
            : !value || Object.entries(members).some(([name, wanted]) => !fits(wanted, value[name]));
    }).map(([field]) => [field, held[field]]);
    try {
        await until('the boards to say so', async () => {
            held = await everything();
            return wrong().length === 0;
        }, { within: 10000, every: 50, ...options });
    } catch (error) {
        assert.fail(`${error.message}\n${wrong().map(([field, value]) =>
            `${field}: ${JSON.stringify(value)}\n    wanted ${JSON.stringify(expected[field], (k, v) => (v instanceof RegExp || typeof v === 'function' ? String(v) : v))}`).join('\n')}`);
    }
    return held;
}

before(async () => {
    postgres = await startPostgres();
    await run('install.sql');
    await run('install.sql'); // nothing is lost and nothing fails
    await run('sample/sample.sql');
    await run('sample/sample.sql');
    await postgres.sql('create role gateway login in role sophia_gateway');
    definitions = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-rollups-'));
    fs.cpSync(shipped, definitions, { recursive: true });
    gateway = await startGateway({
        postgres: { url: postgres.url.replace('postgres@', 'gateway@'), statement_timeout_ms: 1000 },
        definitions: { dir: definitions },
    });
});
after(async () => {
    await stopAll();
    await destroyServers();
    fs.rmSync(definitions, { recursive: true, force: true });
});

test('every query of the shipped definitions gives a value of the sample that is accepted', async () => {
    const isThere = (held, kpi) => (hasRows(kpi) ? Object.keys(held).some((field) => field.startsWith(`${kpi.id}#`)) : held[kpi.id]);
    let held;
    await until('every KPI to have a value', async () => {
        held = await everything();
        return queried.every((kpi) => isThere(held, kpi));
    }).catch(() => {});
    assert.deepEqual(queried.filter((kpi) => !isThere(held, kpi)).map(({ id }) => id), []);
    /* Before the first call of the day there is no sentiment. */
    const maySayNothing = new Set(['exec.sentiment_avg']);
    const bad = Object.entries(held).filter(([field, { state }]) => state && !(state === 'nodata' && maySayNothing.has(field)));
    assert.deepEqual(bad, []);
    for (const [field, { as_of: asOf }] of Object.entries(held)) {
        assert.ok(asOf > 1.7e12 && asOf <= Date.now() + 1000, `${field}: as_of ${asOf}`);
    }
    assert.equal(await gateway.metric('gw_rollups_failing'), 0);
    assert.equal(gateway.logged('roll-up cannot be shown as it is').length, 0);
    assert.ok(held['exec.revenue_mtd'].target && held['exec.revenue_mtd'].base);
    assert.equal(Object.keys(held).filter((field) => field.startsWith('exec.top_deals#')).length, 5);
    assert.deepEqual(held['exec.top_deals#D001'].v.amount, '450000.00');
});

test('sparklines come with the values', async () => {
    const lengths = Object.assign({}, ...await Promise.all(boardsOf.map(async (board) => {
        const { history } = await gateway.snapshot(board);
        return Object.fromEntries(Object.entries(history).map(([kpi, points]) => [kpi, (points.points ?? points).length]));
    })));
    for (const kpi of ['exec.revenue_mtd', 'exec.pipeline_value', 'exec.calls_today', 'exec.deals_at_risk', 'comp.mentions_24h', 'comp.net_sentiment']) {
        assert.ok(lengths[kpi] >= 28, `${kpi} has ${lengths[kpi]} points`);
    }
    for (const kpi of ['know.documents', 'know.memory_records', 'know.embedding_coverage', 'know.pipeline_success']) {
        assert.ok(lengths[kpi] >= 46, `${kpi} has ${lengths[kpi]} points`);
    }
});

test('every history query runs and gives as_of and value, oldest first', async () => {
    const withHistory = read(shipped).filter(({ history }) => history?.query);
    assert.ok(withHistory.length >= 19);
    for (const { id, history } of withHistory) {
        const answer = await postgres.sql(`set role sophia_gateway; prepare h as select row_to_json(h) from (${textOf(history.query)}) h; execute h('30')`);
        const rows = answer.split('\n').filter(Boolean).map((line) => JSON.parse(line));
        assert.ok(rows.length >= 1 && rows.length <= 30, `${id}: ${rows.length} rows`);
        assert.deepEqual(Object.keys(rows[0]), ['as_of', 'value'], id);
        const times = rows.map(({ as_of: asOf }) => Date.parse(asOf));
        assert.ok(times.every((time, i) => time > 0 && (i === 0 || time > times[i - 1])), `${id}: ${times}`);
    }
});

test('a day is a day of sophia.time_zone, whatever zone a session is in', async () => {
    const at = (zone) => postgres.sql(`set timezone = 'Asia/Tokyo'; set sophia.time_zone = '${zone}';
        select sophia.day_of(timestamptz '2026-11-20 23:30:00+00'), extract(epoch from sophia.start_of(date '2026-11-20'))::bigint`);
    assert.equal(await at(''), '2026-11-20|1795132800');
    assert.equal(await at('America/New_York'), '2026-11-20|1795150800');
    assert.equal(await at('Europe/Berlin'), '2026-11-21|1795129200');
});

/* ---- a small company ---- */

const clear = `
    truncate executive_intelligence.kpi_rollups, executive_intelligence.kpi_targets, executive_intelligence.customer_health_mix,
        executive_intelligence.kpi_daily, gong_intelligence.calls, competitive_intelligence.competitor_mentions, hubspot_intelligence.deals,
        knowledge_intelligence.documents, ai_memory.memory_records, ops_monitoring.etl_job_logs, ops_monitoring.source_status, cmi.decisions;
    do $$ begin perform sophia.refresh_daily_calls(); end $$`;

test('empty tables are no data, and say why; counts are 0', async () => {
    await postgres.sql(clear);
    const nothing = { state: 'nodata' };
    const held = await expectFields({
        'exec.revenue_mtd': { state: 'nodata', reason: 'the query returned no row', v: undefined },
        'exec.customer_health_mix': nothing,
        'exec.calls_today': { v: 0, state: undefined },
        'exec.sentiment_avg': nothing,
        'exec.deals_at_risk': { v: 0 },
        'exec.deals_at_risk_amount': { v: '0.00' },
        'comp.mentions_24h': { v: 0 },
        'comp.mentions_deviation': { state: 'nodata', reason: 'every day of 30 had as many' },
        'comp.threat_max': { state: 'nodata', reason: 'no mention in 24 hours' },
        'comp.net_sentiment': { state: 'nodata', v: undefined, num: 0, den: 0 },
        'comp.accounts_exposed': { v: 0 },
        'comp.source_mix': { v: { calls: 0, crm: 0, chat: 0, news: 0, web: 0, other: 0 } },
        'know.documents': { v: 0 },
        'know.documents_idle': nothing,
        'know.embedding_coverage': nothing,
        'know.embedding_lag': nothing,
        'know.memory_records': { v: 0 },
        'know.pipeline_success': { state: 'nodata', reason: 'no run finished in 24 hours' },
        'exec.top_deals#D001': null,
        'exec.sources#crm': null,
    });
    assert.deepEqual(Object.keys(held).filter((field) => /^(exec\.top_deals|exec\.sources|comp\.league|comp\.outcomes|know\.topics|know\.etl_runs)#/.test(field)), []);
    assert.ok((await gateway.metric('sophia_empty_results_total')) > 0);
});

test('roll-ups: value, base, target, coverage and level', async () => {
    const day = (back, revenue, pipeline, health, win, team, llm) =>
        `(sophia.today() - ${back}, ${revenue}, ${pipeline}, ${health}, ${win}, ${team}, ${llm}, now() - ${back} * interval '1 day')`;
    await postgres.sql(`${clear};
        insert into executive_intelligence.kpi_rollups values
            ${day(0, 1284300.5, 4500000, 74.4, 0.6123, 54, 69)}, ${day(1, 1200000, 5000000, 75, 0.70, 60, 70)},
            ${day(7, 900000, 4000000, 80.2, 0.75, 71.5, 81)}, ${day(30, 700000, 3000000, 82, 0.7812, 70, 70)};
        insert into executive_intelligence.kpi_rollups (date_key, revenue_mtd)
            select (sophia.today() - interval '1 month')::date, 1111.11 on conflict (date_key) do update set revenue_mtd = excluded.revenue_mtd;
        insert into executive_intelligence.kpi_targets values ('exec.revenue_mtd', date_trunc('month', sophia.today())::date, 3000000)`);
    const [pace, monthAgo] = (await postgres.sql(`
        select round(3000000 * extract(day from sophia.today())::numeric
            / extract(day from date_trunc('month', sophia.today()) + interval '1 month - 1 day')::numeric, 2)::numeric(15, 2),
            (select competitive_win_rate from executive_intelligence.kpi_rollups where date_key = sophia.today() - 30)`)).split('|');
    const ratio = 1284300.5 / Number(pace);
    const level = ratio < 0.85 ? 'crit' : ratio < 0.95 ? 'warn' : undefined;
    await expectFields({
        'exec.revenue_mtd': { v: '1284300.50', target: pace, base: '1111.11', level },
        'exec.pipeline_value': { v: '4500000.00', base: '5000000.00', level: 'warn' }, // 10 % less, but not more than 10 % by the hysteresis
        'exec.pipeline_coverage': { num: 4500000, den: 1715699.5, level: 'warn' },
        'exec.customer_health': { v: 74.4, base: 80.2, level: 'warn' },
        'exec.win_rate': { v: 0.6123, base: monthAgo === '' ? undefined : Number(monthAgo), level: 'warn' },
        'comp.win_rate': { v: 0.6123 }, // a copy
        'exec.team_productivity': { v: 54, base: 71.5, level: 'crit' },
        'exec.llm_cost_efficiency': { v: 69, base: 81, level: 'warn' },
    });
    await postgres.sql('update executive_intelligence.kpi_targets set target = 1000000');
    await expectFields({ 'exec.pipeline_coverage': { state: 'nodata', reason: 'the target of the month is reached', v: undefined } });
});

test('deals: what is at risk, and the five largest', async () => {
    await postgres.sql(`${clear};
        insert into hubspot_intelligence.deals (deal_id, deal_name, amount, stage, probability, close_date, status, last_activity_date, risk) values
            ('A', 'Alpha', 450000, 'Negotiation', 0.85, date '2030-01-02', 'in_progress', sophia.today() - 3, 'critical'),
            ('B', 'Beta', 25000, 'Proposal', 0.5, null, 'in_progress', sophia.today(), 'high'),
            ('C', 'Gamma', 25000.01, 'Proposal', 0.5, null, 'in_progress', sophia.today(), 'high'),
            ('D', 'Delta', 900000, 'Proposal', 0.5, null, 'won', sophia.today(), 'high'),
            ('E', 'Epsilon', 300000, null, null, null, 'in_progress', null, 'medium'),
            ('F', 'Zeta', 1, 'Discovery', 0.1, null, 'in_progress', sophia.today(), null),
            ('G', 'Eta', 2, 'Discovery', 0.1, null, 'in_progress', sophia.today(), null);
        insert into executive_intelligence.kpi_daily values ('exec.deals_at_risk', sophia.today() - 1, 4)`);
    const held = await expectFields({
        'exec.deals_at_risk': { v: 2, base: 4, level: undefined },
        'exec.deals_at_risk_amount': { v: '475000.01' },
        'exec.top_deals#A': { v: { name: 'Alpha', amount: '450000.00', stage: 'Negotiation', probability: 0.85, close_date: '2030-01-02', idle_days: 3 } },
        'exec.top_deals#E': { v: { name: 'Epsilon', amount: '300000.00', stage: 'unknown' } },
        'exec.top_deals#D': null,
        'exec.top_deals#F': null,
        'exec.top_deals#G': { v: { name: 'Eta', amount: '2.00', stage: 'Discovery', probability: 0.1, idle_days: 0 } },
    });
    assert.ok(Date.now() - held['exec.deals_at_risk'].as_of < FRESH_MS);
    await postgres.sql(`insert into hubspot_intelligence.deals (deal_id, deal_name, amount, risk)
        select 'R' || i, 'Risk', 30000, 'high' from generate_series(1, 4) i; select executive_intelligence.record_day()`);
    await expectFields({ 'exec.deals_at_risk': { v: 6, base: 4, level: 'crit' } });
    assert.equal(await postgres.sql("select value from executive_intelligence.kpi_daily where kpi_id = 'exec.deals_at_risk' and date_key = sophia.today()"), '6');
});

test('calls: of today, of yesterday at this time, points, outcomes and topics', async () => {
    const call = (id, account, at, more = {}) => {
        const { sentiment = 0.5, outcome = 'won', rivals = '{}', point = '{}', topic = '{}' } = more;
        return `('${id}', '${account}', ${at}, 60, 'inbound', ${sentiment}, '${outcome}', '${rivals}', '${point}', '${topic}', null, null, now())`;
    };
    await postgres.sql(`${clear}; insert into gong_intelligence.calls values
        ${call('1', 'x', 'now()', { sentiment: 0.1, rivals: '{Pelligant}', point: '{"Every number shows its age"}', topic: '{Pricing}' })},
        ${call('2', 'x', 'now()', { sentiment: 0.2, outcome: 'lost', rivals: '{Pelligant,Corvenza}', point: '{"Every number shows its age"}', topic: '{Pricing}' })},
        ${call('3', 'y', 'now()', { sentiment: 'null', outcome: 'open', point: '{"Every number shows its age"}' })},
        ${call('4', 'z', "now() - interval '1 day'", { sentiment: 0.5 })},
        ${call('5', 'z', "now() - interval '10 days'", { sentiment: 0.5, topic: '{Pricing}' })},
        ${call('6', 'v', "now() - interval '40 days'", { rivals: '{Corvenza}' })};
        do $$ begin perform sophia.refresh_daily_calls(); end $$`);
    const pricing = await postgres.sql("select md5('Pricing')");
    const point = await postgres.sql("select md5('Every number shows its age')");
    await expectFields({
        'exec.calls_today': { v: 3 },
        'exec.accounts_touched': { v: 2 },
        'exec.sentiment_avg': { v: 0.15, base: 0.5, level: 'warn' },
        'comp.accounts_exposed': { v: 1, base: 1 },
        [`comp.talking_points#${point}`]: { v: { point: 'Every number shows its age', uses: 3, won: 0.5 } },
        'comp.outcomes#Pelligant won': { v: { competitor: 'Pelligant', outcome: 'won', calls: 1 } },
        'comp.outcomes#Corvenza lost': { v: { competitor: 'Corvenza', outcome: 'lost', calls: 1 } },
        [`know.topics#${pricing}`]: { v: { topic: 'Pricing', calls_7d: 2, change: 1, sentiment: 0.15 } },
    });
});

test('mentions: usual, threat, sentiment, league, heat and feed', async () => {
    await postgres.sql(`${clear};
        insert into competitive_intelligence.competitor_mentions
            select 'old-' || back || '-' || i, 'Corvenza', 'web', 'x', 1, 2, now() - back * interval '1 day' - interval '1 hour'
            from generate_series(1, 32) back, lateral generate_series(1, 10 + 2 * (back % 2)) i;
        insert into competitive_intelligence.competitor_mentions values
            ('m1', 'Pelligant', 'calls', repeat('long ', 60), -1, 5, now() - interval '3 minutes'),
            ('m2', 'Pelligant', 'forum', null, 1, 4, now() - interval '2 minutes'),
            ('m3', 'Pelligant', 'crm', 'short', null, null, now() - interval '1 minute')`);
    const held = await expectFields({
        'comp.mentions_24h': { v: 3, base: 12, level: undefined },
        'comp.high_threat_24h': { v: 2, base: 0, level: 'warn' },
        'comp.threat_max': { v: 5, level: 'crit' },
        'comp.competitors_active': { v: 2, base: 1 },
        'comp.league#Pelligant': { v: ({ last_seen: lastSeen, ...league } = {}) => Math.abs(Date.now() - 60000 - lastSeen) < FRESH_MS
            && JSON.stringify(league) === JSON.stringify({ mentions_7d: 3, change: 3, threat: 5, sentiment: 0, sources: 'calls, crm, forum' }) },
    });
    /* 12 and 10 by turns: mean 11, deviation 1.017 */
    assert.ok(Math.abs(held['comp.mentions_24h'].target - 13.03) < 0.02, JSON.stringify(held['comp.mentions_24h']));
    assert.ok(Math.abs(held['comp.mentions_deviation'].v + 7.866) < 0.01, JSON.stringify(held['comp.mentions_deviation']));
    assert.equal(held['comp.net_sentiment'].num, held['comp.net_sentiment'].den - 2);
    assert.equal(held['comp.source_mix'].v.other, 1);
    const day = (await postgres.sql("select sophia.day_of(now() - interval '3 minutes')"));
    assert.equal(held[`comp.threat_heat#${day} Pelligant`].v.threat, 5);
    assert.equal(held['comp.feed#m1'].v.context, 'long '.repeat(32));
    assert.deepEqual(Object.keys(held['comp.feed#m3'].v), ['at', 'competitor', 'source', 'context']);
    assert.equal(Object.keys(held).filter((field) => field.startsWith('comp.feed#')).length, 100);
    assert.ok(held['comp.feed#m3'].rev > held['comp.feed#m2'].rev && held['comp.feed#m2'].rev > held['comp.feed#m1'].rev);
});

test('knowledge: counts, coverage, waiting time, jobs, sources and decisions', async () => {
    await postgres.sql(`${clear};
        insert into ops_monitoring.source_status values
            ('wiki', 'up', now() - interval '10 seconds', 0.01, 600, 'page 7'), ('calls', 'late', now() - interval '1 hour', null, null, null);
        insert into knowledge_intelligence.documents select 'd' || i, 'page', now() - interval '30 hours', now() from generate_series(1, 96) i;
        insert into knowledge_intelligence.documents values
            ('d97', 'page', now() - interval '3 hours', null), ('d98', 'page', now() - interval '110 seconds', null);
        insert into ai_memory.memory_records values ('m1', 'call', now() - interval '30 hours', null), ('m2', 'call', now() - interval '70 seconds', null);
        insert into ops_monitoring.etl_job_logs values
            ('1', 'crm-sync', 'crm', 'success', 10, now() - interval '3 hours', now() - interval '2 hours', null),
            ('2', 'crm-sync', 'crm', 'failed', 0, now() - interval '70 seconds', now() - interval '10 seconds', repeat('e', 200)),
            ('3', 'press-scan', 'press', 'running', null, now() - interval '5 seconds', null, null);
        insert into cmi.decisions values ('x1', now() - interval '1 day', 'Title', 'What', 'Why', '{one,two}', 0.8, 'sales lead', '{"b": "2", "a": "1"}')`);
    const held = await expectFields({
        'know.documents': { v: 98, base: 96 },
        'know.embedding_coverage': { num: 96, den: 98, level: 'warn' },
        'know.memory_records': { v: 2, base: 1 },
        'know.pipeline_success': { num: 1, den: 2, v: 0.5, level: 'crit' },
        'know.sources#wiki': {},
        'exec.sources#calls': {},
        'know.etl_runs#press-scan': {},
        'know.decisions#x1': {},
        'exec.decisions#x1': {},
    });
    assert.ok(Math.abs(held['know.documents_idle'].v - 100) < 1, JSON.stringify(held['know.documents_idle'])); // up to the sources' time
    assert.ok(Math.abs(held['know.embedding_lag'].v - 10790) < 1 && held['know.embedding_lag'].level === 'warn', JSON.stringify(held['know.embedding_lag']));
    assert.ok(Math.abs(held['know.memory_idle'].v - 60) < 1, JSON.stringify(held['know.memory_idle']));
    assert.equal(held['know.sources#wiki'].v.checkpoint, 'page 7');
    assert.equal(held['exec.sources#calls'].v.status, 'late');
    assert.deepEqual({ ...held['know.etl_runs#crm-sync'].v, last_run: 0 }, { last_run: 0, duration_s: 60, rows: 0, status: 'failed', error: 'e'.repeat(160) });
    assert.equal(held['know.etl_runs#press-scan'].v.status, 'running');
    assert.equal(held['know.decisions#x1'].v.seen, 'a 1, b 2');
    assert.equal(held['exec.decisions#x1'].v.alternatives, 'one; two');
});

/* ---- what people do to a database ---- */

const oneDay = (members) => `insert into executive_intelligence.kpi_rollups (date_key, ${Object.keys(members)}) values (sophia.today(), ${Object.values(members)})
    on conflict (date_key) do update set ${Object.keys(members).map((name) => `${name} = excluded.${name}`)}, computed_at = now()`;

test('a row changed by hand appears at a viewer at once, and one transaction is one frame', async () => {
    await postgres.sql(`${clear}; ${oneDay({ revenue_mtd: 1000, pipeline_value: 5000, customer_health_score: 80 })}`);
    await expectFields({ 'exec.revenue_mtd': { v: '1000.00' }, 'exec.customer_health': { v: 80 } });
    const viewer = await WsViewer.open(gateway.port, { rules });
    await viewer.watch('executive');
    const delays = [];
    for (let i = 1; i <= 10; i++) {
        const began = performance.now();
        const told = viewer.next('update', { matching: ({ set }) => set['exec.revenue_mtd']?.v === `${1000 + i}.00`, within: 2000 });
        await postgres.sql(oneDay({ revenue_mtd: 1000 + i, pipeline_value: 5000 + i, customer_health_score: 80 - i }));
        const { set } = await told;
        delays.push(performance.now() - began);
        assert.equal(set['exec.pipeline_value'].v, `${5000 + i}.00`);
        assert.equal(set['exec.customer_health'].v, 80 - i);
    }
    const worst = Math.max(...delays);
    assert.ok(worst < 1000, `${worst} ms with psql's start`);
    await postgres.sql("delete from executive_intelligence.kpi_rollups; insert into hubspot_intelligence.deals (deal_id, deal_name, amount, stage) values ('hand', 'By hand', 7, 'Proposal')");
    await viewer.next('update', { matching: ({ set }) => set['exec.top_deals#hand'], within: 2000 });
    await postgres.sql("delete from hubspot_intelligence.deals where deal_id = 'hand'");
    await viewer.next('update', { matching: ({ del }) => del.includes('exec.top_deals#hand'), within: 2000 });
    viewer.assertSound();
    await viewer.close();
});

test('a value out of range is invalid, the last good one stays, and it heals', async () => {
    await postgres.sql(`${clear}; ${oneDay({ customer_health_score: 80, team_productivity_score: 70 })}`);
    await expectFields({ 'exec.customer_health': { v: 80, state: undefined } });
    await postgres.sql(oneDay({ customer_health_score: 132 }));
    await expectFields({
        'exec.customer_health': { v: 80, state: 'invalid', reason: 'value 132 is above 100' },
        'exec.team_productivity': { v: 70, state: undefined },
    });
    assert.equal(await gateway.metric('gw_rollups_failing'), 1);
    await postgres.sql(oneDay({ customer_health_score: 80 }));
    await expectFields({ 'exec.customer_health': { v: 80, state: undefined } });
    await until('health to be well', async () => (await gateway.metric('gw_rollups_failing')) === 0);
});

test('NaN cannot be stored', async () => {
    await assert.rejects(postgres.sql(oneDay({ customer_health_score: "'NaN'" })), /check constraint/);
    await assert.rejects(postgres.sql(oneDay({ revenue_mtd: "'NaN'" })), /check constraint/);
});

test('a missing table, a missing right and a locked table are named, the rest keeps running, and all heal', async () => {
    await postgres.sql(`${clear}; insert into hubspot_intelligence.deals (deal_id, deal_name, amount, stage) values ('A', 'Alpha', 30000, 'Proposal')`);
    await expectFields({ 'exec.top_deals#A': { state: undefined }, 'exec.deals_at_risk': { v: 0 } });

    await postgres.sql('alter table hubspot_intelligence.deals rename to deals_away; insert into executive_intelligence.kpi_daily values (\'exec.deals_at_risk\', sophia.today() - 1, 1)');
    await expectFields({ 'exec.top_deals#A': { state: undefined } }); // nobody asked it yet
    await postgres.sql('alter table hubspot_intelligence.deals_away rename to deals; revoke select on hubspot_intelligence.deals from sophia_gateway; '
        + "insert into hubspot_intelligence.deals (deal_id, deal_name, amount, stage) values ('B', 'Beta', 20000, 'Proposal')");
    await expectFields({ 'exec.top_deals#A': { state: 'unreachable', reason: /^permission denied for table deals; grant select/ } });
    await postgres.sql(oneDay({ customer_health_score: 81 }));
    await expectFields({ 'exec.customer_health': { v: 81 } });
    const health = (await gateway.get('/health?level=detailed')).json();
    assert.equal(health.sources.rollups.up, false, JSON.stringify(health.sources));
    assert.match(health.sources.rollups.reason, /permission denied for table deals/);
    await postgres.sql('grant select on hubspot_intelligence.deals to sophia_gateway');
    await expectFields({ 'exec.top_deals#A': { state: undefined }, 'exec.top_deals#B': { state: undefined } }, { within: 15000 });

    await postgres.sql(`alter view hubspot_intelligence.deals_at_risk rename to away;
        update hubspot_intelligence.deals set risk = 'high' where deal_id = 'A'`);
    await expectFields({ 'exec.deals_at_risk': { v: 0, state: 'unreachable', reason: /^relation "hubspot_intelligence\.deals_at_risk" does not exist; run deploy\/sql/ } });
    await postgres.sql('alter view hubspot_intelligence.away rename to deals_at_risk');
    await expectFields({ 'exec.deals_at_risk': { v: 1, state: undefined } }, { within: 15000 });

    const locker = postgres.session();
    await locker.sql('begin; lock table competitive_intelligence.competitor_mentions in access exclusive mode');
    await postgres.sql("select sophia.note_relation('competitive_intelligence', 'competitor_mentions')");
    await expectFields({ 'comp.mentions_24h': { state: 'unreachable', reason: /statement timeout/ } });
    await postgres.sql(oneDay({ customer_health_score: 82 }));
    await expectFields({ 'exec.customer_health': { v: 82 } });
    await locker.sql('rollback');
    await expectFields({ 'comp.mentions_24h': { v: 0, state: undefined } }, { within: 20000 });
    await until('health to be well', async () => (await gateway.metric('gw_rollups_failing')) === 0, { within: 15000 });
});

test('a definition with a wrong query is invalid, and a reload mends it', async () => {
    const file = path.join(definitions, 'kpis/executive.json');
    const good = fs.readFileSync(file, 'utf8');
    const withQuery = (query) => {
        const document = JSON.parse(good);
        document.kpis.find(({ id }) => id === 'exec.deals_at_risk').source.query = query;
        fs.writeFileSync(file, JSON.stringify(document));
        gateway.signal('SIGHUP');
    };
    withQuery('select nothing as value');
    await expectFields({ 'exec.deals_at_risk': { state: 'unreachable', reason: /column "nothing" does not exist/ } });
    withQuery('selekt 1 as value');
    await expectFields({ 'exec.deals_at_risk': { state: 'invalid', reason: /syntax error/ } });
    withQuery("select 'many' as value");
    await expectFields({ 'exec.deals_at_risk': { state: 'invalid', reason: 'column "value": a number is wanted; cast it to numeric' } });
    withQuery("select 1 as value, '2 hours'::interval as as_of");
    await expectFields({ 'exec.deals_at_risk': { state: 'invalid', reason: /^column "as_of": a time is wanted/ } });
    withQuery("select 1 as value, now() + interval '1 hour' as as_of");
    await expectFields({ 'exec.deals_at_risk': { state: 'invalid', reason: /ahead of the gateway's clock/ } });
    withQuery('select 1 as valu');
    await expectFields({ 'exec.deals_at_risk': { state: 'invalid', reason: 'column "valu": exec.deals_at_risk has no such column' } });
    withQuery('select 1 as value where false');
    await expectFields({ 'exec.deals_at_risk': { state: 'nodata', reason: 'the query returned no row' } });
    withQuery('select 42 as value -- with a remark at its end');
    await expectFields({ 'exec.deals_at_risk': { v: 42, state: undefined } });
    fs.writeFileSync(file, good);
    gateway.signal('SIGHUP');
    await expectFields({ 'exec.deals_at_risk': { v: 1 } });
});

test('many writers: the last change is always shown, and queries are not asked for each', async () => {
    await postgres.sql(`${clear}; ${oneDay({ customer_health_score: 1, revenue_mtd: 0 })}`);
    const before = await gateway.metric('gw_rollup_reads_total', { result: 'ok' });
    const writers = Array.from({ length: 4 }, () => postgres.session());
    await Promise.all(writers.map(async (writer) => {
        for (let i = 0; i < 100; i++) {
            await writer.sql('update executive_intelligence.kpi_rollups set revenue_mtd = revenue_mtd + 1, computed_at = now()');
        }
    }));
    await expectFields({ 'exec.revenue_mtd': { v: '400.00' } }, { within: 3000 });
    const reads = (await gateway.metric('gw_rollup_reads_total', { result: 'ok' })) - before;
    assert.ok(reads < 400, `${reads} reads for 400 commits`);
    writers.forEach((writer) => writer.end());
});

test('installing again under a running gateway disturbs nobody', async () => {
    await run('install.sql');
    await postgres.sql(oneDay({ customer_health_score: 77 }));
    await expectFields({ 'exec.customer_health': { v: 77, state: undefined } });
    assert.equal(await gateway.metric('gw_rollups_failing'), 0);
    await gateway.stop();
});
