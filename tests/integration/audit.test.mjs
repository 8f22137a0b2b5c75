/* The audit of the real gateway: who asked for what at each door, and whether they got it; confined, moved away, full, and flooded. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { post, request } from '../support/http_client.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { Issuer } from '../support/tokens.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-audit-'));
const issuer = new Issuer().add('first', 'EdDSA');
issuer.write();
const [maskKey, ingestKey, adminKey] = ['mask-key-0123456789', 'ingest-key-0123456789', 'admin-key-0123456789'];
const hookSecret = 'hook-secret-0123456789';
fs.writeFileSync(path.join(directory, 'hook'), hookSecret, { mode: 0o600 });
after(async () => {
    await stopAll();
    await destroyServers();
    fs.rmSync(directory, { recursive: true, force: true });
});

let files = 0;
function start(audit = {}, { config = {}, ...options } = {}) {
    const file = path.join(directory, `audit-${files++}.log`);
    return startGateway({
        audit: { file, mask_key: maskKey, ...audit }, auth: issuer.options(), ingest: { key: ingestKey }, admin: { key: adminKey },
        webhooks: { hooks: [{ name: 'git', provider: 'github', secret_files: [path.join(directory, 'hook')], fields: { 'test.words': '/words' } }] },
        ...config,
    }, options).then((gateway) => Object.assign(gateway, { file }));
}

/** The lines so far; each must be one JSON object. */
const linesOf = (file) => fs.readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
const found = (file, wanted) => linesOf(file).filter((line) => Object.entries(wanted).every(([name, value]) => line[name] === value));
const bearer = (key) => ({ authorization: `Bearer ${key}` });
const maskOf = (subject) => createHmac('sha256', maskKey).update(subject).digest('hex').slice(0, 16);

/** Exactly one such line, which is returned. */
async function one(gateway, wanted) {
    await until(`a line ${JSON.stringify(wanted)}`, () => found(gateway.file, wanted).length > 0);
    const lines = found(gateway.file, wanted);
    assert.equal(lines.length, 1, JSON.stringify(lines));
    return lines[0];
}

test('each door says who asked for what, and whether they got it', async () => {
    const gateway = await start();
    const { port } = gateway;
    const token = issuer.mint({ sub: 'alice@example.com' });
    const subject = maskOf('alice@example.com');
    const alice = { by: 'token', subject, address: '127.0.0.1', result: 'granted', node: 'test-node' };
    assert.ok((await one(gateway, { action: 'start', by: 'signal', result: 'granted' })).time.endsWith('Z'));

    const viewer = await WsViewer.open(port, { hello: { token } });
    await one(gateway, { action: 'connect', over: 'ws', ...alice });
    await viewer.watch('alpha');
    await one(gateway, { action: 'subscribe', over: 'ws', target: 'alpha', ...alice });
    viewer.say({ type: 'subscribe', board: 'nowhere' });
    await viewer.next('error');
    await one(gateway, { action: 'subscribe', over: 'ws', target: 'nowhere', ...alice, result: 'refused', reason: 'unknown_board' });
    viewer.say({ type: 'refresh', token: issuer.mint({ sub: 'alice@example.com' }) });
    await viewer.next('refreshed');
    await one(gateway, { action: 'refresh', ...alice });
    viewer.say({ type: 'refresh', token: issuer.mint({ sub: 'bob' }) });
    await until('the close', () => viewer.isClosed);
    await one(gateway, { action: 'refresh', subject, result: 'refused', reason: 'other_subject' });
    await one(gateway, { action: 'withdraw', over: 'ws', subject, reason: 'token_invalid' });

    const stranger = await WsViewer.open(port, { hello: { token: issuer.mint({ exp: 1000 }) } });
    await until('the close', () => stranger.isClosed);
    const line = await one(gateway, { action: 'connect', result: 'refused', reason: 'token_expired', address: '127.0.0.1' });
    assert.equal(line.subject, undefined, 'what a bad token says is not known');
    assert.equal(line.by, undefined);

    const stream = await SseViewer.open(port, 'alpha', { headers: bearer(token) });
    await one(gateway, { action: 'subscribe', over: 'sse', target: 'alpha', ...alice });
    stream.cut();
    assert.equal((await request(port, '/api/v1/dashboards/alpha', { headers: bearer(token) })).status, 200);
    await one(gateway, { action: 'read', over: 'http', target: 'alpha', ...alice });
    assert.equal((await request(port, '/api/v1/kpis/test.level/history', { headers: bearer(token) })).status, 200);
    await one(gateway, { action: 'read', over: 'http', target: 'test.level', ...alice });
    assert.equal((await request(port, '/api/v1/dashboards/nowhere', { headers: bearer(token) })).status, 404);
    await one(gateway, { action: 'read', target: 'nowhere', subject, result: 'refused', reason: 'unknown_board' });
    assert.equal((await request(port, '/api/v1/kpis/no.where/history', { headers: bearer(token) })).status, 404);
    await one(gateway, { action: 'read', target: 'no.where', subject, result: 'refused', reason: 'unknown_field' });
    assert.equal((await request(port, '/api/v1/dashboards/nowhere/events', { headers: bearer(token) })).status, 404);
    await one(gateway, { action: 'subscribe', over: 'sse', target: 'nowhere', subject, result: 'refused', reason: 'unknown_board' });
    assert.equal((await request(port, '/api/v1/dashboards/alpha')).status, 401);
    await one(gateway, { action: 'read', result: 'refused', reason: 'token_required', target: '/api/v1/dashboards/alpha' });

    const change = { field: 'test.level', value: 7 };
    assert.equal((await post(port, change, { headers: bearer(ingestKey) })).status, 200);
    await one(gateway, { action: 'ingest', by: 'ingest_key', result: 'granted' });
    assert.equal((await post(port, change, { headers: bearer('wrong') })).status, 401);
    await one(gateway, { action: 'ingest', result: 'refused', reason: 'forbidden' });

    const hook = (signature) => request(port, '/hooks/git', {
        method: 'POST', body: '{"words":"hello"}',
        headers: { 'content-type': 'application/json', 'content-length': 17, 'x-github-event': 'push', 'x-github-delivery': 'd1', 'x-hub-signature-256': signature },
    });
    const signature = `sha256=${createHmac('sha256', hookSecret).update('{"words":"hello"}').digest('hex')}`;
    assert.equal((await hook(signature)).status, 200);
    await one(gateway, { action: 'webhook', target: 'git', result: 'granted', by: 'signature' });
    assert.equal((await hook(signature.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).status, 401);
    await one(gateway, { action: 'webhook', target: 'git', result: 'refused' });

    const clear = (key) => request(port, '/api/v1/data-flow/cache/clear', {
        method: 'POST', body: '{"class":"executive_kpis"}', headers: { 'content-type': 'application/json', 'content-length': 26, ...bearer(key) },
    });
    assert.equal((await clear('wrong')).status, 403);
    await one(gateway, { action: 'clear_cache', result: 'refused', reason: 'forbidden' });
    const cleared = (await clear(adminKey)).status;
    assert.ok([200, 404].includes(cleared));
    assert.equal(found(gateway.file, { action: 'clear_cache', result: 'granted', by: 'admin_key', target: 'executive_kpis' }).length, cleared === 200 ? 1 : 0);

    await gateway.stop();
    await one(gateway, { action: 'stop' });
    const text = fs.readFileSync(gateway.file, 'utf8');
    assert.equal(text.includes('alice'), false);
    assert.equal(text.includes(token.split('.')[2]), false);
    assert.equal(found(gateway.file, { action: 'withheld' }).length, 0);
});

test('who is closed when the token ends is in it', async () => {
    const gateway = await start({}, { config: { auth: issuer.options({ expiry_warning_s: 1, expiry_grace_s: 0 }) } });
    const token = issuer.mint({ sub: 'carol', exp: Math.floor(Date.now() / 1000) + 3 });
    const viewer = await WsViewer.open(gateway.port, { hello: { token } });
    const stream = await SseViewer.open(gateway.port, 'alpha', { headers: bearer(token) });
    await until('both to be closed', () => viewer.isClosed && stream.isClosed);
    const wanted = { action: 'withdraw', result: 'refused', reason: 'token_expired', subject: maskOf('carol'), by: 'token' };
    await one(gateway, { over: 'ws', ...wanted });
    await one(gateway, { over: 'sse', ...wanted });
    await gateway.stop();
});

test('a confined gateway goes on with a new file at SIGHUP, and cannot take back what it said', { skip: isSanitized(plainBinary) && 'a leak check needs more rights' }, async () => {
    const folder = path.join(directory, 'confined');
    fs.mkdirSync(folder);
    const file = path.join(folder, 'audit.log');
    const gateway = await start({ file }, { binary: plainBinary, config: { process: { confined: true, core_dumps: false } } });
    assert.equal(gateway.logged('not confined, continuing').length, 0, gateway.log);
    fs.renameSync(file, `${file}.1`);
    gateway.signal('SIGHUP');
    await until('the new file', () => fs.existsSync(file) && found(file, { action: 'reload', result: 'granted' }).length === 1);
    assert.equal(found(`${file}.1`, { action: 'start' }).length, 1);
    fs.renameSync(file, `${file}.2`);
    fs.mkdirSync(file); // it cannot be opened anew
    gateway.signal('SIGHUP');
    await until('the refusal', () => found(`${file}.2`, { action: 'reload', result: 'refused' }).length === 1);
    assert.equal(gateway.logged('audit file could not be opened').length, 1);
    await gateway.stop();
});

test('a flood of refusals is counted in full, and hides nobody', async () => {
    const gateway = await start({ lines_per_s: 5 });
    const shown = 40;
    for (let i = 0; i < shown; i++) { // all the same: one line and a count
        assert.equal((await request(gateway.port, '/api/v1/dashboards')).status, 401);
    }
    for (let i = 0; i < shown; i++) { // each another
        assert.equal((await request(gateway.port, `/api/v1/dashboards/alpha?x=${i}`.replace('alpha', `b${i}`))).status, 401);
    }
    const viewer = await WsViewer.open(gateway.port, { hello: { token: issuer.mint() } });
    await viewer.watch('alpha');
    await one(gateway, { action: 'subscribe', target: 'alpha', result: 'granted' });
    await viewer.close();
    await until('what was withheld to be told', () => found(gateway.file, { action: 'withheld' }).length > 0);
    await gateway.stop();
    const lines = linesOf(gateway.file);
    const refused = lines.filter((line) => line.action === 'read' && line.result === 'refused');
    const told = refused.reduce((sum, { times }) => sum + (times ?? 1), 0);
    const withheld = found(gateway.file, { action: 'withheld' }).reduce((sum, line) => sum + line.refused, 0);
    assert.ok(withheld > 0);
    assert.equal(told + withheld, 2 * shown, JSON.stringify(lines.slice(-5)));
});

test('what cannot be an audit file stops the start; a syslog that is not there does not', async () => {
    await assert.rejects(start({ file: '/dev/full' }), /audit file could not be opened.*not a regular file/);
    const gateway = await start({ syslog: path.join(directory, 'no-socket') });
    assert.equal(gateway.logged('audit syslog is not there, continuing').length, 1);
    await one(gateway, { action: 'start' });
    assert.equal((await request(gateway.port, '/health/ready')).status, 200);
    assert.ok(await gateway.metric('gw_audit_lines_total', { result: 'failed' }) >= 1);
    await gateway.stop();
});

test('workers write to one file, each line whole and with its node', async () => {
    const redis = await startRedis();
    const gateway = await start({ lines_per_s: 10000, plain: true }, {
        config: { workers: 2, journal: { kind: 'redis' }, redis: { host: '127.0.0.1', port: redis.port } },
    });
    const tokens = Array.from({ length: 200 }, (_, i) => issuer.mint({ sub: `viewer ${i} ${'x'.repeat(200)}` }));
    await Promise.all(tokens.map((token) => request(gateway.port, '/api/v1/dashboards/alpha', { headers: bearer(token), agent: false })));
    await until('every line', () => found(gateway.file, { action: 'read', target: 'alpha' }).length === tokens.length);
    const readers = new Set(found(gateway.file, { action: 'read' }).map(({ subject }) => subject));
    assert.equal(readers.size, tokens.length);
    assert.deepEqual([...new Set(linesOf(gateway.file).map(({ node }) => node))].sort(), ['test-node-1', 'test-node-2']);
    fs.renameSync(gateway.file, `${gateway.file}.1`);
    gateway.signal('SIGHUP');
    await until('both to begin a new file', () => fs.existsSync(gateway.file) && found(gateway.file, { action: 'reload' }).length === 2);
    await gateway.stop();
});
