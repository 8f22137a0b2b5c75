/* Changes in by HTTP: what is accepted, what is refused and how it is said, and what viewers then see. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FEED_CAP, ROWS_CAP, SERIES_CAP } from '../support/definitions.mjs';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { post, sendRaw } from '../support/http_client.mjs';
import { Oracle } from '../support/oracle.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const path = '/api/v1/data-flow/ingest';
const mappings = { crm: { revenue: 'test.money', calls: 'test.count' } };

let gateway;
before(async () => {
    gateway = await startGateway({ ingest: { mappings } });
});
after(stopAll);

const resultsOf = (answer) => answer.items.map(({ result }) => result);
const valueOf = async (field, board = 'alpha') => (await gateway.snapshot(board)).set[field];

async function refusedWith(status, code, changes, options) {
    const answer = await post(gateway.port, changes, options);
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    assert.equal(answer.json().status, status);
    assert.equal(answer.json().code, code);
    return answer;
}

test('one change is an object, many are an array, and memory mode says that nothing is durable', async () => {
    const one = await gateway.post({ field: 'test.count', value: 1 });
    assert.deepEqual(one,
        { accepted: 1, unchanged: 0, older: 0, refused: 0, durable: false, items: [{ field: 'test.count', result: 'accepted' }] });
    const many = await gateway.post([{ field: 'test.count', value: 2 }, { field: 'test.other', value: 3 }]);
    assert.equal(many.accepted, 2);
    assert.deepEqual(many.items.map(({ field }) => field), ['test.count', 'test.other']);
});

test('data of a source goes through its mapping, unknown members are counted and reported', async () => {
    const earlier = await gateway.metric('gw_ingest_unknown_members_total');
    const answer = await gateway.post({ source_name: 'crm', data: { revenue: '1234.5', calls: 17, weather: 'fine' } });
    assert.deepEqual(answer.items.map(({ field, result }) => [field, result]),
        [['test.money', 'accepted'], ['test.count', 'accepted'], ['weather', 'unknown_field']]);
    assert.equal((await valueOf('test.money')).v, '1234.50');
    assert.equal((await valueOf('test.count')).v, 17);
    assert.equal(await gateway.metric('gw_ingest_unknown_members_total'), earlier + 1);
    await refusedWith(400, 'malformed', { source_name: 'nobody', data: { revenue: '1.00' } });
});

test('each item is judged on its own: accepted, unchanged, older, refused with the reason', async () => {
    await gateway.post({ field: 'test.other', value: 100, version: 10 });
    const answer = await gateway.post([
        { field: 'test.other', value: 101, version: 11 },
        { field: 'test.other', value: 101, version: 11 },
        { field: 'test.other', value: 99, version: 9 },
        { field: 'test.nothing', value: 1 },
        { field: 'test.count', value: 'seven' },
        { field: 'test.level', value: 1001 },
        { field: 'test.mode', value: 'sideways' },
        { field: 'test.mix', value: { left: 1 } },
        { field: 'test.rows#r1', value: { sent: 1 } },
        { field: 'not a field', value: 1 },
        { field: 'test.count' },
        { field: 'test.count', value: 1, surprise: true },
        'not an object',
        { field: 'test.money', value: '0.10', as_of: '2026-01-02T03:04:05Z' },
    ]);
    assert.deepEqual(resultsOf(answer), [
        'accepted', 'unchanged', 'older', 'unknown_field', 'wrong_type', 'out_of_range', 'out_of_range', 'missing_field',
        'missing_field', 'out_of_range', 'missing_field', 'unknown_type', 'malformed', 'accepted',
    ]);
    assert.deepEqual([answer.accepted, answer.unchanged, answer.older, answer.refused], [2, 1, 1, 10]);
    answer.items.filter(({ result }) => !['accepted', 'unchanged', 'older'].includes(result))
        .forEach((item) => assert.ok(item.detail?.length > 0, `no detail: ${JSON.stringify(item)}`));
    assert.equal((await valueOf('test.other', 'beta')).v, 101);
    assert.equal((await valueOf('test.money')).as_of, Date.parse('2026-01-02T03:04:05Z'));
});

test('one request is one update per board, whatever it holds', async () => {
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    await viewer.watch('beta');
    for (let round = 1; round <= 20; round++) {
        const head = viewer.copy('alpha').offset;
        const beta = viewer.copy('beta').offset;
        const changes = Array.from({ length: 50 }, (_, i) => ({ field: `test.rows#atom${i}`, value: { text: `round ${round}` } }));
        await gateway.post([...changes, { field: 'test.count', value: 1000 + round }]);
        const update = await viewer.next('update', { matching: ({ board }) => board === 'alpha' });
        assert.deepEqual([update.from, update.to], [head, head + 51]);
        assert.equal(Object.keys(update.set).length, 51);
        await viewer.reached('beta', beta + 1);
    }
    assert.equal(viewer.ofType('update').filter(({ board }) => board === 'alpha').length, 20);
    assert.equal(viewer.ofType('update').filter(({ board }) => board === 'beta').length, 20);
    viewer.assertSound();
    await viewer.close();
});

test('a refused value marks the tile invalid, keeps the last good value, and is undone by a good one', async () => {
    const viewer = await WsViewer.open(gateway.port);
    const asOf = Date.now() - 60000;
    const earlier = await gateway.metric('sophia_data_validation_failures_total');
    await gateway.post({ field: 'test.level', value: 42, as_of: asOf });
    await viewer.watch('alpha');
    await gateway.post({ field: 'test.level', value: 4200 });
    const bad = (await viewer.next('update')).set['test.level'];
    assert.deepEqual({ v: bad.v, as_of: bad.as_of, state: bad.state }, { v: 42, as_of: asOf, state: 'invalid' });
    assert.match(bad.reason, /4200/);
    assert.equal(await gateway.metric('sophia_data_validation_failures_total'), earlier + 1);
    await gateway.post({ field: 'test.level', value: 43 });
    const good = (await viewer.next('update')).set['test.level'];
    assert.deepEqual({ v: good.v, state: good.state, reason: good.reason }, { v: 43, state: undefined, reason: undefined });
    viewer.assertSound();
    await viewer.close();
});

test('null is no data, never 0; unreachable keeps the last value', async () => {
    await gateway.post({ field: 'test.level', value: 7 });
    await gateway.post({ field: 'test.level', state: 'unreachable', reason: 'the source hung up' });
    const unreachable = await valueOf('test.level');
    assert.deepEqual([unreachable.v, unreachable.state, unreachable.reason], [7, 'unreachable', 'the source hung up']);
    await gateway.post({ field: 'test.level', value: null });
    const none = await valueOf('test.level');
    assert.equal(none.state, 'nodata');
    assert.ok(!('v' in none), JSON.stringify(none));
});

test('a ratio is printed with 15 digits, and over zero it is no data', async () => {
    await gateway.post({ field: 'test.share', num: 2, den: 3 });
    assert.deepEqual(await valueOf('test.share').then(({ v, num, den }) => ({ v, num, den })), { v: 0.666666666666667, num: 2, den: 3 });
    await gateway.post({ field: 'test.share', num: 5, den: 0 });
    const none = await valueOf('test.share');
    assert.ok(!('v' in none) && none.state === 'nodata', JSON.stringify(none));
});

test('thresholds give a level', async () => {
    for (const [value, level] of [[100, undefined], [600, 'warn'], [950, 'crit'], [10, undefined]]) {
        await gateway.post({ field: 'test.level', value });
        assert.equal((await valueOf('test.level')).level, level, `at ${value}`);
    }
});

test('an as_of from the future is refused, one within five minutes is not', async () => {
    const answer = await gateway.post([
        { field: 'test.count', value: 5, as_of: Date.now() + 4 * 60000 },
        { field: 'test.other', value: 5, as_of: Date.now() + 6 * 60000 },
    ]);
    assert.deepEqual(resultsOf(answer), ['accepted', 'future']);
});

test('rows of a table are deleted, rows of a feed are not', async () => {
    await gateway.post([{ field: 'test.rows#gone', value: { text: 'soon' } }, { field: 'test.feed#stays', value: { text: 'still' } }]);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const answer = await gateway.post([{ field: 'test.rows#gone', delete: true }, { field: 'test.rows#never', delete: true },
        { field: 'test.feed#stays', delete: true }]);
    assert.deepEqual(resultsOf(answer), ['accepted', 'unchanged', 'wrong_type']);
    const update = await viewer.next('update');
    assert.deepEqual(update.del, ['test.rows#gone']);
    assert.ok(!viewer.copy('alpha').fields.has('test.rows#gone'));
    assert.ok(viewer.copy('alpha').fields.has('test.feed#stays'));
    viewer.assertSound();
    await viewer.close();
});

test('feeds and series are trimmed alike on both ends, and a full table refuses a new row', async () => {
    const own = await startGateway();
    const oracle = new Oracle();
    const viewer = await WsViewer.open(own.port);
    await viewer.watch('alpha');
    const submit = async (changes) => oracle.apply(changes, await own.post(changes));
    const asOf = Date.now();
    for (let i = 0; i < 12; i++) {
        await submit([{ field: `test.feed#${(i * 7) % 12}`, value: { text: `entry ${i}` }, as_of: asOf },
            { field: `test.series#2026-01-${String((i * 5) % 12 + 10)}`, value: { value: i }, as_of: asOf }]);
    }
    await submit([{ field: 'test.feed#3', value: { text: 'said again' }, as_of: asOf }]);
    await viewer.reached('alpha', oracle.offset('alpha'));
    const kept = (kpi) => [...viewer.copy('alpha').fields.keys()].filter((name) => name.startsWith(kpi)).length;
    assert.deepEqual([kept('test.feed#'), kept('test.series#')], [FEED_CAP, SERIES_CAP]);
    oracle.assertEqual('alpha', viewer.copy('alpha').fields, 'the viewer');
    oracle.assertEqual('alpha', (await own.snapshot('alpha')).set, 'the snapshot');

    await submit(Array.from({ length: ROWS_CAP }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'x' }, as_of: asOf })));
    const full = await own.post([{ field: 'test.rows#more', value: { text: 'x' } }, { field: 'test.rows#0', value: { text: 'y' } }]);
    assert.deepEqual(resultsOf(full), ['full', 'accepted']);
    viewer.assertSound();
    await viewer.close();
    await own.stop();
});

test('a later version wins however late the earlier one comes', async () => {
    const said = (text, version) => ({ field: 'test.rows#v', value: { text }, version });
    await gateway.post([said('second', 2), said('first', 1)]);
    assert.equal((await valueOf('test.rows#v')).v.text, 'second');
    assert.equal((await valueOf('test.rows#v')).ver, 2);
});

test('recent points reach the snapshot and the history', async () => {
    const now = Date.now();
    const points = Array.from({ length: 10 }, (_, i) => [now - (10 - i) * 60000, i]);
    await gateway.post({ field: 'test.level', value: 10, as_of: now, points });
    const { history } = await gateway.snapshot('alpha');
    assert.ok(history['test.level'].length >= 10, JSON.stringify(history));
    const times = history['test.level'].map(([at]) => at);
    assert.deepEqual(times, [...times].sort((a, b) => a - b), 'oldest first');
    const answer = (await gateway.get('/api/v1/kpis/test.level/history?points=3')).json();
    assert.equal(answer.kpi, 'test.level');
    assert.equal(answer.points.length, 3);
    assert.deepEqual(answer.points.at(-1).slice(0, 2), [now, 10]);
});

test('a body that is no change at all is answered with 400', async () => {
    for (const body of ['', '{', '[]', 'null', '"text"', '[1,2]', '{"field":"test.count","field":"test.count","value":1}', '{"value":1}']) {
        await refusedWith(400, 'malformed', body);
    }
    await refusedWith(400, 'too_deep', `{"field":"test.count","value":${'['.repeat(20)}${']'.repeat(20)}}`);
    await refusedWith(400, 'malformed', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
});

test('1,000 items are taken, 1,001 are not', async () => {
    const changes = Array.from({ length: 1001 }, (_, i) => ({ field: 'test.count', value: i }));
    await refusedWith(413, 'too_many', changes);
    assert.equal((await gateway.post(changes.slice(1))).items.length, 1000);
    assert.equal((await valueOf('test.count')).v, 1000);
});

test('a body that is too big is 413, one of another type 415, one of unknown length 411', async () => {
    const big = JSON.stringify([{ field: 'test.words', value: 'x'.repeat(1 << 20) }]);
    await refusedWith(413, 'body_too_big', big);
    await refusedWith(415, 'json_required', '{}', { headers: { 'content-type': 'text/plain' } });
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    const chunked = await sendRaw(gateway.port, `${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`);
    assert.deepEqual([chunked.status, chunked.closed], [411, true], chunked.text);
    const both = await sendRaw(gateway.port, `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`);
    assert.deepEqual([both.status, both.closed], [411, true], both.text);
    for (const length of ['', '-1', '+2', '2x', '0x2', '99999999999999999999', '2, 2']) {
        const odd = await sendRaw(gateway.port, `${head}Content-Length: ${length}\r\n\r\n{}`);
        assert.deepEqual([odd.status, odd.closed], [400, true], `Content-Length: ${length}: ${odd.text}`);
    }
    assert.equal((await sendRaw(gateway.port, `${head}\r\n`)).status, 411);
});

test('with a key configured, only its bearer may post', async () => {
    const own = await startGateway({ ingest: { key: 'a-long-enough-ingest-key' } });
    const change = { field: 'test.count', value: 1 };
    const bad = [undefined, 'Bearer wrong', 'Bearer a-long-enough-ingest-keyx', 'Basic a-long-enough-ingest-key', 'a-long-enough-ingest-key'];
    for (const authorization of bad) {
        const answer = await post(own.port, change, { headers: authorization ? { authorization } : {} });
        assert.equal(answer.status, 401, `${authorization}: ${answer.text}`);
        assert.match(answer.headers['www-authenticate'], /^Bearer/);
        assert.equal(answer.json().code, 'unauthenticated');
    }
    const good = await post(own.port, change, { headers: { authorization: 'Bearer a-long-enough-ingest-key' } });
    assert.equal(good.status, 200, good.text);
    assert.equal(await own.metric('gw_ingest_requests_total', { answer: 'unauthenticated' }), 5);
    assert.doesNotMatch(own.log, /a-long-enough-ingest-key/, 'the key is in the log');
    await own.stop();
});

test('without a key the start says that only this machine may post', async () => {
    await until('the warning', () => gateway.records().some(({ level, message }) => level === 'warn' && /no ingest key/.test(message)));
    await gateway.stop();
});
