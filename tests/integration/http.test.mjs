/* The HTTP face: what each path answers, with which headers, and what it refuses. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { boards } from '../support/definitions.mjs';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { keptAlive, sendRaw } from '../support/http_client.mjs';
import { SseViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const HASHED = '/assets/0123456789abcdef/main.js';
const script = `/* ${'a script that compresses well '.repeat(200)} */\n`;

let gateway;
let page;
before(async () => {
    page = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-page-'));
    fs.mkdirSync(path.join(page, path.dirname(HASHED)), { recursive: true });
    fs.writeFileSync(path.join(page, HASHED), script);
    fs.writeFileSync(path.join(page, 'index.html'), '<!doctype html><title>Page</title><p>Hello</p>'.repeat(20));
    fs.writeFileSync(path.join(page, 'mark.png'), crypto.randomBytes(600));
    gateway = await startGateway({ web: { dir: page } });
    await gateway.post([{ field: 'test.count', value: 1 }, { field: 'test.level', value: 2 }]);
});
after(async () => {
    await stopAll();
    fs.rmSync(page, { recursive: true, force: true });
});

const api = ['/api/v1/dashboards', '/api/v1/dashboards/alpha', '/api/v1/dashboards/alpha/definition', '/api/v1/kpis/test.count/history',
    '/api/v1/data-flow/health', '/api/v1/data-flow/metrics', '/health', '/health/live', '/health/ready', '/metrics'];

const ingestHead = 'POST /api/v1/data-flow/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

const security = {
    'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
};

function assertSecure(answer, who) {
    for (const [name, value] of Object.entries(security)) {
        assert.equal(answer.headers[name], value, `${who}: ${name}`);
    }
    const policy = answer.headers['content-security-policy'] ?? '';
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
        assert.ok(policy.includes(rule), `${who}: policy without ${rule}: ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(answer.headers.server, undefined, who);
}

function assertProblem(answer, status, code, who = code) {
    assert.equal(answer.status, status, `${who}: ${answer.text}`);
    assert.equal(answer.headers['content-type'], 'application/problem+json', who);
    const problem = answer.json();
    assert.deepEqual([problem.status, problem.code], [status, code], who);
    assert.ok(problem.title.length > 0, who);
}

test('HEAD gives the headers of GET and no body, everywhere', async () => {
    for (const target of [...api, '/', HASHED]) {
        const get = await gateway.get(target);
        const head = await gateway.get(target, { method: 'HEAD' });
        assert.equal(get.status, 200, `${target}: ${get.text}`);
        assert.equal(head.status, 200, target);
        assert.equal(head.bytes.length, 0, target);
        assert.equal(head.headers['content-type'], get.headers['content-type'], target);
        assert.equal(head.headers.etag, get.headers.etag, target);
        if (!/health|metrics/.test(target)) { // whose length changes from one to the next
            assert.equal(head.headers['content-length'], get.headers['content-length'], target);
        }
    }
});

test('every answer carries the security headers, refusals too', async () => {
    for (const target of [...api, '/', HASHED, '/nowhere', '/api/v1/dashboards/nobody']) {
        assertSecure(await gateway.get(target), target);
    }
    assertSecure(await gateway.get('/metrics', { method: 'DELETE' }), '405');
    assertSecure(await gateway.get('/ws'), '426');
});

test('the board list and the definition say what the definitions say', async () => {
    const list = (await gateway.get('/api/v1/dashboards')).json();
    assert.deepEqual(Object.fromEntries(list.dashboards.map(({ id, kpis }) => [id, kpis])), boards);
    assert.equal(list.demo, undefined);
    const definition = await gateway.get('/api/v1/dashboards/beta/definition');
    assert.equal(definition.headers.etag, `"${list.catalog}-${definition.json().view}"`);
    assert.match(definition.text, /"test\.other"/);
    assert.doesNotMatch(definition.text, /test\.level/);
    const again = await gateway.get('/api/v1/dashboards/beta/definition', { headers: { 'if-none-match': definition.headers.etag } });
    assert.equal(again.status, 304);
});

test('the snapshot has its position as ETag and honours If-None-Match', async () => {
    const target = '/api/v1/dashboards/alpha';
    const first = await gateway.get(target);
    const { type, board, epoch, to, nonce } = first.json();
    assert.deepEqual([type, board], ['snapshot', 'alpha']);
    assert.equal(first.headers.etag, `"${epoch}.${to}.${nonce}"`);
    for (const tag of [first.headers.etag, `W/${first.headers.etag}`, `"other", ${first.headers.etag}`, '*']) {
        const same = await gateway.get(target, { headers: { 'if-none-match': tag } });
        assert.deepEqual([same.status, same.bytes.length, same.headers.etag], [304, 0, first.headers.etag], tag);
    }
    for (const tag of ['"other"', epoch, first.headers.etag.slice(0, -1)]) {
        assert.equal((await gateway.get(target, { headers: { 'if-none-match': tag } })).status, 200, tag);
    }
    await gateway.post({ field: 'test.count', value: Date.now() });
    const next = await gateway.get(target, { headers: { 'if-none-match': first.headers.etag } });
    assert.equal(next.status, 200);
    assert.notEqual(next.headers.etag, first.headers.etag);
});

test('what is not there is 404, what is not allowed 405 with Allow', async () => {
    assertProblem(await gateway.get('/nowhere'), 404, 'not_found');
    assertProblem(await gateway.get('/api/v1/dashboards/nobody'), 404, 'unknown_board');
    assertProblem(await gateway.get('/api/v1/dashboards/nobody/definition'), 404, 'unknown_board');
    assertProblem(await gateway.get('/api/v1/dashboards/nobody/events'), 404, 'unknown_board');
    assertProblem(await gateway.get('/api/v1/kpis/test.nothing/history'), 404, 'unknown_field');
    assertProblem(await gateway.get('/api/v1/kpis/test.count/history?points=many'), 400, 'out_of_range');
    assertProblem(await gateway.get('/api/v1/dashboards/alpha/events?max_rate=1000'), 400, 'invalid_message');
    const post = await gateway.get('/api/v1/dashboards', { method: 'POST', headers: { 'content-length': 0 } });
    assertProblem(post, 405, 'method_not_allowed');
    assert.equal(post.headers.allow, 'GET, HEAD');
    const get = await gateway.get('/api/v1/data-flow/ingest');
    assertProblem(get, 405, 'method_not_allowed');
    assert.equal(get.headers.allow, 'POST');
    for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        assertProblem(await gateway.get('/metrics', { method }), 405, 'method_not_allowed', method);
        assertProblem(await gateway.get('/nowhere', { method }), 404, 'not_found', method);
    }
});

test('/ws by plain HTTP is told to upgrade', async () => {
    const answer = await gateway.get('/ws');
    assertProblem(answer, 426, 'upgrade_required');
    assert.equal(answer.headers['sec-websocket-version'], '13');
});

test('requests that are broken are refused and the connection ends', async () => {
    const cases = [
        ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
        ['two hosts', 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n', 400],
        ['no version', 'GET /\r\n\r\n', 400],
        ['version 2', 'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', 505],
        ['bare line feeds', 'GET / HTTP/1.1\nHost: localhost\n\n', 400],
        ['a folded header', 'GET / HTTP/1.1\r\nHost: localhost\r\nX: 1\r\n 2\r\n\r\n', 400],
        ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400],
        ['a nul in a header', 'GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n', 400],
        ['up and out', 'GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
        ['up and out, escaped', 'GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
        ['a bad escape', 'GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
        ['a target too long', `GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 414],
        ['a head too long', `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: y\r\n'.repeat(4000)}`, 431],
        ['too many headers', `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: y\r\n'.repeat(65)}\r\n`, 431],
        ['an expectation', `${ingestHead}Content-Length: 2\r\nExpect: wonders\r\n\r\n`, 417],
        ['TLS', Buffer.from('160301020001000001fc03030d0a0d0a', 'hex'), 400],
    ];
    for (const [name, bytes, status] of cases) {
        const answer = await sendRaw(gateway.port, bytes);
        assert.deepEqual([answer.status, answer.closed], [status, true], `${name}: ${answer.text}`);
    }
});

test('an unfinished request ends in time', async () => {
    const own = await startGateway({ listen: { request_timeout_s: 1 } });
    for (const bytes of ['GET / HT', `${ingestHead}Content-Length: 5\r\n\r\n{}`]) {
        const began = Date.now();
        const answer = await sendRaw(own.port, bytes);
        assert.ok(answer.closed, bytes);
        assert.ok(Date.now() - began < 4000, `${Date.now() - began} ms`);
    }
    assert.ok(await own.metric('gw_refused_total', { reason: 'timeout' }) >= 2);
    await own.stop();
});

test('pipelined requests are answered in order', async () => {
    const one = (target) => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const answer = await sendRaw(gateway.port, one('/health/live') + one('/nowhere') + one('/health/ready'),
        { isEnough: (text) => /"ready"/.test(text) });
    assert.deepEqual([...answer.text.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => match[1]), ['200', '404', '200']);
});

test('h2c is not spoken: the upgrade is ignored', async () => {
    const answer = await sendRaw(gateway.port,
        'GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
        { isEnough: (text) => text.includes('"live"') });
    assert.equal(answer.status, 200, answer.text);
});

test('health has its levels', async () => {
    const basic = (await gateway.get('/health')).json();
    assert.ok(['healthy', 'degraded'].includes(basic.status));
    assert.deepEqual(Object.keys(basic).filter((key) => key !== 'reason'), ['status']);
    const detailed = (await gateway.get('/health?level=detailed')).json();
    assert.equal(detailed.durable, false);
    assert.equal(detailed.sources.http.up, true);
    assert.ok(detailed.freshness.fresh >= 2, JSON.stringify(detailed.freshness));
    assert.equal(detailed.node, undefined);
    const diagnostic = (await gateway.get('/health?level=diagnostic')).json();
    assert.equal(diagnostic.node, 'test-node');
    assert.ok(diagnostic.memory.resident_bytes > 1e6);
    assertProblem(await gateway.get('/health?level=everything'), 400, 'out_of_range');
    assert.deepEqual((await gateway.get('/health/live')).json(), { status: 'live' });
    assert.equal((await gateway.get('/health/ready')).json().status, 'ready');
    const flow = (await gateway.get('/api/v1/data-flow/health')).json();
    assert.ok(flow.not_fresh.some(({ kpi, state }) => kpi === 'test.other' && state === 'nodata'), JSON.stringify(flow));
});

test('the JSON metrics and /metrics agree', async () => {
    const json = (await gateway.get('/api/v1/data-flow/metrics')).json();
    assert.ok(json.now > 0);
    assert.match(JSON.stringify(json.metrics), /gw_accepted_total/);
});

function promtool() {
    const shipped = path.join(root, 'build/tools/usr/bin/promtool');
    return process.env.PROMTOOL ?? (fs.existsSync(shipped) ? shipped : 'promtool');
}

test('/metrics passes promtool', async () => {
    const { text, headers } = await gateway.get('/metrics');
    assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const checked = spawnSync(promtool(), ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.equal(checked.error, undefined, `${promtool()} did not run: ${checked.error}`);
    assert.equal(checked.status, 0, `${checked.stdout}${checked.stderr}`);
    for (const line of text.split('\n').filter((sample) => sample && !sample.startsWith('#'))) {
        assert.match(line, /^[a-z_]+(\{[^{}]*\})? -?[0-9.e+-]+$/);
    }
});

test('an event stream has the headers of one, and asks for a second before a retry', async () => {
    const sse = await SseViewer.open(gateway.port, 'alpha');
    const { headers, statusCode } = sse.response;
    assert.equal(statusCode, 200);
    assert.equal(headers['content-type'], 'text/event-stream');
    assert.match(headers['cache-control'], /no-cache/);
    assert.equal(headers['x-accel-buffering'], 'no');
    assert.equal(headers['content-length'], undefined);
    assertSecure({ headers }, 'events');
    await sse.next('snapshot');
    assert.deepEqual(sse.retries, [1000]);
    sse.assertSound();
    sse.cut();
    await until('the stream to be gone', async () => await gateway.metric('gw_connections', { kind: 'sse' }) === 0);
});

test('a max_rate of an event stream that is no number within its range is refused', async () => {
    for (const rate of ['', 'abc', '0x1p1', '%201', '-1', '1.2.3', 'inf', 'nan', '0.001', '100.5', '1e400']) {
        assert.equal((await gateway.get(`/api/v1/dashboards/alpha/events?max_rate=${rate}`)).status, 400, rate);
    }
    const sse = await SseViewer.open(gateway.port, 'alpha', { query: '?max_rate=0.5' });
    await sse.next('snapshot');
    sse.cut();
});

test('static files: type, quoted ETag, gzip on demand, immutable only with a hash in the name', async () => {
    const index = await gateway.get('/');
    assert.match(index.headers['content-type'], /^text\/html/);
    assert.match(index.headers.etag, /^"[^"]+"$/);
    assert.doesNotMatch(index.headers['cache-control'] ?? '', /immutable/);
    assert.equal((await gateway.get('/index.html')).text, index.text);
    const hashed = await gateway.get(HASHED);
    assert.match(hashed.headers['content-type'], /^text\/javascript/);
    assert.match(hashed.headers['cache-control'], /max-age=31536000.*immutable/);
    assert.equal(hashed.text, script);
    assert.equal(hashed.headers['content-encoding'], undefined);
    const zipped = await gateway.get(HASHED, { headers: { 'accept-encoding': 'gzip, deflate, br' } });
    assert.equal(zipped.headers['content-encoding'], 'gzip');
    assert.match(zipped.headers.vary, /accept-encoding/i);
    assert.notEqual(zipped.headers.etag, hashed.headers.etag, 'two representations, one tag');
    assert.equal(gunzipSync(zipped.bytes).toString(), script);
    assert.ok(zipped.bytes.length < script.length / 4);
    const declined = await gateway.get(HASHED, { headers: { 'accept-encoding': 'gzip;q=0' } });
    assert.equal(declined.headers['content-encoding'], undefined);
    for (const tag of [zipped.headers.etag, hashed.headers.etag]) {
        const headers = tag === zipped.headers.etag ? { 'accept-encoding': 'gzip', 'if-none-match': tag } : { 'if-none-match': tag };
        assert.equal((await gateway.get(HASHED, { headers })).status, 304);
    }
    assert.equal((await gateway.get('/mark.png', { headers: { 'accept-encoding': 'gzip' } })).headers['content-encoding'], undefined);
    const post = await gateway.get('/', { method: 'POST', headers: { 'content-length': 0 } });
    assert.equal(post.status, 405);
});

test('a client that leaves in the middle of an answer or a request hurts nobody', async () => {
    for (let i = 0; i < 50; i++) {
        await sendRaw(gateway.port, `GET ${HASHED} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(20), { isEnough: () => true });
        await sendRaw(gateway.port, `${ingestHead}Content-Length: 99\r\n`, { end: true, within: 50 });
    }
    assert.equal((await gateway.get('/health/live')).status, 200);
});

test('one connection serves many requests', async () => {
    const agent = keptAlive(gateway.port, { maxSockets: 1 });
    const earlier = await gateway.metric('gw_accepted_total');
    for (let i = 0; i < 30; i++) {
        assert.equal((await gateway.get('/health/live', { agent })).status, 200);
    }
    agent.destroy();
    assert.ok(await gateway.metric('gw_accepted_total') <= earlier + 2);
});

test('names: on loopback none but localhost and those that are listed, whatever a page has made of its own', async () => {
    const named = await startGateway({ listen: { allowed_hosts: ['dash.example'], allowed_origins: ['https://intranet.example'] } });
    const ask = (gw, Host, path = '/api/v1/dashboards/alpha', headers = {}) => gw.get(path, { headers: { Host, ...headers } });
    for (const [gw, Host, status] of [
        [gateway, 'localhost', 200], [gateway, `127.0.0.1:${gateway.port}`, 200], [gateway, 'dash.example', 421],
        [named, 'dash.example', 200], [named, `dash.example:${named.port}`, 200], [named, 'rebound.example', 421],
    ]) {
        const answer = await ask(gw, Host);
        if (status === 200) {
            assert.equal(answer.status, 200, Host);
        } else {
            assertProblem(answer, 421, 'host_not_allowed', Host);
        }
    }
    assertProblem(await ask(named, 'rebound.example', '/ws', { Upgrade: 'websocket', Connection: 'Upgrade' }), 421, 'host_not_allowed');
    assertProblem(await ask(named, 'rebound.example', '/'), 421, 'host_not_allowed');
    assert.equal(await named.metric('gw_refused_total', { reason: 'host' }), 3);
    const shared = await ask(named, 'dash.example', undefined, { Origin: 'https://intranet.example' });
    assert.deepEqual([shared.status, shared.headers['access-control-allow-origin']], [200, 'https://intranet.example']);
    assert.match(shared.headers.vary, /\bOrigin\b/);
    const foreign = await ask(named, 'dash.example', undefined, { Origin: 'https://evil.example' });
    assert.deepEqual([foreign.status, foreign.headers['access-control-allow-origin']], [200, undefined]);
    await named.stop();
});

test('the gateway stops cleanly', () => gateway.stop());
