/* SIGHUP: a good set of definitions takes over as a whole, a bad one changes nothing. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { boards, defineKpi, kpis, writeDefinitions } from '../support/definitions.mjs';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { post } from '../support/http_client.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

let gateway;
before(async () => {
    gateway = await startGateway();
});
after(stopAll);

const catalogOf = async () => (await gateway.get('/api/v1/dashboards')).json().catalog;

async function reload(message) {
    const earlier = gateway.logged(message).length;
    gateway.signal('SIGHUP');
    await until(`the log to say "${message}"`, () => gateway.logged(message).length > earlier);
}

test('an invalid set is refused whole: the old one stays, the log names file and field, a counter counts', async () => {
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const catalog = await catalogOf();
    const unknownUnit = kpis.map((kpi) => (kpi.id === 'test.level' ? { ...kpi, unit: 'furlong' } : kpi));
    writeDefinitions(gateway.definitions, { kpiList: [...unknownUnit, defineKpi('test.fresh', 'gauge', { unit: 'integer' })] });
    await reload('definitions refused, the ones before stay');
    const [{ level, finding }] = gateway.logged('definitions refused, the ones before stay');
    assert.equal(level, 'error');
    assert.match(finding, /kpis\/test\.json: test\.level\.unit: /);
    assert.equal(await gateway.metric('gw_reload_failures_total'), 1);
    assert.equal(await catalogOf(), catalog);
    assert.equal((await post(gateway.port, { field: 'test.fresh', value: 1 })).json().items[0].result, 'unknown_field');
    await gateway.post({ field: 'test.level', value: 5 });
    assert.equal((await viewer.next('update')).set['test.level'].v, 5);

    fs.writeFileSync(path.join(gateway.definitions, 'kpis/test.json'), '{"kpis": [');
    await reload('definitions refused, the ones before stay');
    assert.equal(await gateway.metric('gw_reload_failures_total'), 2);
    fs.rmSync(path.join(gateway.definitions, 'boards'), { recursive: true });
    await reload('definitions refused, the ones before stay');
    assert.equal(await catalogOf(), catalog);
    viewer.assertSound();
    await viewer.close();
});

test('a valid set takes over: the heartbeat carries its hash, a new KPI is taken without a restart', async () => {
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const old = viewer.ofType('welcome')[0].catalog;
    const fresh = defineKpi('test.fresh', 'gauge', { unit: 'integer' });
    writeDefinitions(gateway.definitions, { kpiList: [...kpis, fresh], boardList: { ...boards, alpha: [...boards.alpha, 'test.fresh'] } });
    await reload('definitions reloaded');
    const heartbeat = await viewer.next('heartbeat', { matching: ({ catalog }) => catalog !== old, within: 2000 });
    assert.equal(heartbeat.catalog, await catalogOf());
    const definition = await gateway.get('/api/v1/dashboards/alpha/definition');
    assert.equal(definition.headers.etag, `"${heartbeat.catalog}-${definition.json().view}"`);
    const answer = await gateway.post({ field: 'test.fresh', value: 8 });
    assert.equal(answer.items[0].result, 'accepted');
    assert.equal((await viewer.next('update')).set['test.fresh'].v, 8);
    viewer.assertSound();
    await viewer.close();
});

test('a KPI that left takes its values from every screen, a board that left tells its viewers', async () => {
    await gateway.post([{ field: 'test.words', value: 'here' }, { field: 'test.count', value: 1 }]);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    await viewer.watch('beta');
    assert.ok(viewer.copy('alpha').fields.has('test.words'));
    const { beta, ...rest } = boards;
    assert.ok(beta);
    writeDefinitions(gateway.definitions, {
        kpiList: kpis.filter(({ id }) => id !== 'test.words'),
        boardList: { ...rest, alpha: boards.alpha.filter((id) => id !== 'test.words') },
    });
    await reload('definitions reloaded');
    const error = await viewer.next('error');
    assert.deepEqual([error.code, error.board], [4200, 'beta']);
    await until('the value to go', () => !viewer.copy('alpha').fields.has('test.words'));
    assert.equal(viewer.copy('alpha').fields.get('test.count').v, 1);
    assert.equal((await gateway.get('/api/v1/dashboards/beta')).status, 404);
    await gateway.post({ field: 'test.count', value: 2 });
    await until('the next value', () => viewer.copy('alpha').fields.get('test.count').v === 2);
    viewer.assertSound();
    await viewer.close();
});

test('the log level is taken over, what needs a restart is named', async () => {
    const file = path.join(gateway.directory, 'gateway.yaml');
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, `${text.replace('flush_ms: 20', 'flush_ms: 30')}log:\n  level: "debug"\n`);
    gateway.signal('SIGHUP');
    await until('the warning', () => gateway.records().some((record) => /fanout\.flush_ms/.test(JSON.stringify(record))));
    assert.deepEqual([...new Set(gateway.logged('option not reloaded').map(({ finding }) => finding.split(': ')[1]))], ['fanout.flush_ms']);
    assert.ok(gateway.logged('option not reloaded').every(({ level }) => level === 'warn'));
});

test('the gateway stops cleanly', () => gateway.stop());

test('definitions that lack what the mappings in force name are refused whole', async () => {
    gateway = await startGateway({
        ingest: { mappings: { crm: { amount: 'test.money', words: 'test.words' } } },
        redis: { host: '127.0.0.1', port: 1, channels: [{ channel: 'counts', kpi: 'test.count' }] },
    });
    const catalog = await catalogOf();
    const without = (...ids) => ({
        kpiList: kpis.filter(({ id }) => !ids.includes(id)),
        boardList: { alpha: boards.alpha.filter((id) => !ids.includes(id)), beta: ['test.other'] },
    });
    const refused = 'definitions refused, the ones before stay';
    writeDefinitions(gateway.definitions, without('test.money', 'test.count'));
    await reload(refused);
    await until('both findings', () => gateway.logged(refused).length === 2);
    assert.match(gateway.logged(refused)[0].finding, /ingest\.mappings\.crm\.amount: no KPI has the field "test\.money"/);
    assert.match(gateway.logged(refused)[1].finding, /redis\.channels: entry 1: kpi: no KPI has the field "test\.count"/);
    assert.equal(await catalogOf(), catalog);
    assert.equal(await gateway.metric('gw_reload_failures_total'), 1);
    const mapped = await post(gateway.port, { source_name: 'crm', data: { amount: '12.50' } });
    assert.equal(mapped.json().items[0].result, 'accepted', mapped.text);
    writeDefinitions(gateway.definitions, without('test.level'));
    await reload('definitions reloaded');
    assert.notEqual(await catalogOf(), catalog);
    await gateway.stop();
});

test('what a gateway is warned about at its start is a line of its log', async () => {
    gateway = await startGateway({ viewer: { key: 'short' } }, { ready: '/health/live' });
    const warnings = gateway.logged('configuration warning');
    assert.equal(warnings.length, 1);
    assert.equal(warnings[0].level, 'warn');
    assert.match(warnings[0].finding, /gateway\.yaml:\d+:\d+: viewer\.key: is shorter than 16 characters$/);
    assert.deepEqual(gateway.log.split('\n').filter((line) => line && !line.startsWith('{')), []);
    await gateway.stop();
});
