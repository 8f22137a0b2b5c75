/*
 * No secret is ever told. A gateway gets a marker for each: keys, passwords, tokens, the secrets of webhooks. Everything is used, rightly and
 * wrongly, things break, it is reloaded and misconfigured; then all that it said (log, audit, answers, metrics, health, --print-config, what it
 * says of wrong configurations) is searched for every marker, as it is and encoded.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { post, request, sendRaw } from '../support/http_client.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { makeCertificate } from '../support/tls.mjs';
import { Issuer } from '../support/tokens.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-secrets-'));
after(async () => {
    await stopAll();
    await destroyServers();
    fs.rmSync(directory, { recursive: true, force: true });
});

/* ---- markers ---- */

const markers = new Map(); // what it is -> text
const mark = (what, text = `zq${randomBytes(12).toString('hex')}`) => {
    markers.set(what, text);
    return text;
};

/** Each way in which a text could be told all the same. */
function formsOf(text) {
    const bytes = Buffer.from(text);
    return [text, bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url'), bytes.toString('hex'), encodeURIComponent(text), JSON.stringify(text).slice(1, -1)];
}

/** Which secrets a text holds. */
const secretsIn = (text) => [...markers].filter(([, marker]) => formsOf(marker).some((form) => text.includes(form))).map(([what]) => what);

const place = (name, text) => {
    const file = path.join(directory, name);
    fs.writeFileSync(file, text, { mode: 0o600 });
    return file;
};

const heard = []; // {from, text}
const hear = (from, text) => heard.push({ from, text: String(text) });
const tell = (answer, from) => {
    hear(from, JSON.stringify(answer.headers) + answer.text);
    return answer;
};

/* ---- the secrets ---- */

const issuer = new Issuer().add('shared', 'HS256').add('public', 'ES256');
issuer.write();
mark('key that signs tokens', issuer.keys.get('shared').jwk.k);
const token = mark('token', issuer.mint({ sub: 'alice', jti: 'first' }));
const token2 = mark('refreshed token', issuer.mint({ sub: 'alice', jti: 'second' }, { kid: 'public' }));
const expired = mark('expired token', issuer.mint({ exp: 1000 }));
const forged = mark('forged token', `${issuer.mint({ sub: 'mallory' }).slice(0, -6)}AAAAAA`);
[token, token2, expired, forged].forEach((text, i) => mark(`signature ${i}`, text.split('.')[2]));
const { certificate, key } = makeCertificate('secrets');
fs.readFileSync(key, 'utf8').split('\n').filter((line) => line.length > 40).forEach((line, i) => mark(`line ${i} of the TLS key`, line));

const wrong = { viewer: mark('wrong viewer key'), ingest: mark('wrong ingest key'), admin: mark('wrong admin key') };
const hooks = { git: mark('webhook secret'), relay: mark('webhook bearer token'), tasks: mark('webhook handshake secret') };
const options = { // option -> marker: each secret option of the table
    'ingest.key': mark('ingest.key'),
    'viewer.key': mark('viewer.key'),
    'admin.key': mark('admin.key'),
    'audit.mask_key': mark('audit.mask_key'),
    'postgres.url': mark('password in postgres.url'),
    'redis.password': mark('redis.password'),
    'redis.sentinel_password': mark('redis.sentinel_password'),
};

const hook = (name, provider, more = {}) =>
    ({ name, provider, secret_files: [path.join(directory, `${name}.secret`)], fields: { 'test.words': '/words' }, ...more });

function config(postgres, redis) {
    place('git.secret', hooks.git);
    place('relay.secret', hooks.relay);
    return {
        log: { level: 'debug' },
        tls: { certificate_file: certificate, key_file: key },
        auth: issuer.options({ cookie: 'sophia' }),
        viewer: { key: options['viewer.key'] },
        ingest: { key_file: place('ingest.key', options['ingest.key']) },
        admin: { key: options['admin.key'] },
        audit: { file: path.join(directory, 'audit.log'), mask_key: options['audit.mask_key'] },
        postgres: { url: postgres.url.replace('postgres@', `postgres:${options['postgres.url']}@`) },
        redis: { host: '127.0.0.1', port: redis.port, password: options['redis.password'] },
        webhooks: { hooks: [
            hook('git', 'github'), hook('relay', 'bearer', { signature_header: 'X-Relay-Token', id_header: 'X-Relay-Id' }),
            hook('tasks', 'asana', { fields: { 'test.other': 'count' } }),
        ] },
    };
}

const bearer = (text) => ({ authorization: `Bearer ${text}` });

/* ---- what is done with them ---- */

async function watch(port) {
    for (const good of [token, options['viewer.key']]) {
        const viewer = await WsViewer.open(port, { hello: { token: good } });
        await viewer.watch('alpha');
        if (good === token) {
            viewer.say({ type: 'refresh', token: token2 });
            await viewer.next('refreshed');
            viewer.say({ type: 'refresh', token: forged });
            await until('the close', () => viewer.isClosed);
        }
        hear('frames', JSON.stringify(viewer.messages));
        await viewer.close();
    }
    for (const bad of [expired, forged, wrong.viewer]) {
        const viewer = await WsViewer.open(port, { hello: { token: bad } });
        await until('the close', () => viewer.isClosed);
        hear('frames', JSON.stringify(viewer.messages) + viewer.reason);
    }
    const misplaced = await WsViewer.open(port, { hello: { token } });
    misplaced.say({ type: 'subscribe', board: token }); // echoed names are cut
    misplaced.say({ type: token2 });
    await until('answers', () => misplaced.ofType('error').length >= 2);
    await misplaced.close();
    const stream = await SseViewer.open(port, 'alpha', { headers: { cookie: `sophia=${token}` } });
    stream.cut();
}

async function read(port) {
    const tries = [{}, bearer(token), bearer(options['viewer.key']), bearer(expired), bearer(forged), bearer(wrong.viewer), { cookie: `sophia=${forged}` }];
    for (const headers of tries) {
        for (const target of ['/api/v1/dashboards', '/api/v1/dashboards/alpha', '/api/v1/kpis/test.level/history', '/health?level=diagnostic']) {
            tell(await request(port, target, { headers }), target);
        }
    }
    for (const text of [token, options['admin.key'], wrong.viewer]) { // where they do not belong
        tell(await request(port, `/api/v1/dashboards?token=${text}&key=${text}`), 'a token in the query');
        tell(await request(port, '/', { headers: { host: 'localhost', referer: `https://x.example/?${text}`, 'user-agent': text, 'x-api-key': text } }), 'odd headers');
        hear('a bad request', (await sendRaw(port, `GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${text}\r\nbad header ${text}\r\n\r\n`)).text);
    }
}

async function write(port) {
    const change = { field: 'test.level', value: 7 };
    for (const text of [options['ingest.key'], wrong.ingest, token]) {
        tell(await post(port, change, { headers: bearer(text) }), 'ingest');
    }
    const clear = (text) => request(port, '/api/v1/data-flow/cache/clear', {
        method: 'POST', body: '{"class":"executive_kpis"}', headers: { 'content-type': 'application/json', 'content-length': 26, ...bearer(text) } });
    for (const text of [options['admin.key'], wrong.admin, token]) {
        tell(await clear(text), 'cache clear');
    }
    const send = (name, headers, body = '{"words":"hello"}') => request(port, `/hooks/${name}`, {
        method: 'POST', body, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers } });
    const sign = (secret) => `sha256=${createHmac('sha256', secret).update('{"words":"hello"}').digest('hex')}`;
    const github = { 'x-github-event': 'push', 'x-github-delivery': 'd1' };
    tell(await send('git', { ...github, 'x-hub-signature-256': sign(hooks.git) }), 'webhook');
    tell(await send('git', { ...github, 'x-hub-signature-256': sign(wrong.admin) }), 'webhook');
    tell(await send('relay', { 'x-relay-token': hooks.relay, 'x-relay-id': '1' }), 'webhook');
    tell(await send('relay', { 'x-relay-token': wrong.admin, 'x-relay-id': '2' }), 'webhook');
    const handshake = await send('tasks', { 'x-hook-secret': hooks.tasks }, '');
    assert.equal(handshake.headers['x-hook-secret'], hooks.tasks); // it is how the provider knows us: to it alone
    hear('handshake', handshake.text);
    assert.equal(fs.readFileSync(path.join(directory, 'tasks.secret'), 'utf8').trim(), hooks.tasks);
}

async function reload(gateway) {
    const file = path.join(gateway.directory, 'gateway.yaml');
    const good = fs.readFileSync(file, 'utf8');
    const counts = () => gateway.records().filter(({ message }) => /reloaded|refused|not reloaded/.test(message)).length;
    const spoilt = [
        good.replace(/key: "/, 'key: ["'), // not YAML any more, in the middle of a secret
        good.replace('admin:', `admin:\n  kye: ${options['admin.key']}`),
        good.replace(options['admin.key'], `${options['admin.key']}\\x01`),
        good.replace(options['viewer.key'], mark('new viewer.key')), // fine, and waits for a restart
        good.replace('auth:', `auth:\n  jwks_url: "https://u:${mark('password in auth.jwks_url')}@login.example/keys"`),
        good,
    ];
    for (const text of spoilt) {
        const before = counts();
        fs.writeFileSync(file, text);
        gateway.signal('SIGHUP');
        await until('the reload', () => counts() > before);
        if (text !== good) {
            hear('--check-config', Object.values(run(['--check-config', '--config', file])).join('\n'));
        }
    }
    place('git.secret', ''); // a webhook's secret that is none
    gateway.signal('SIGHUP');
    await until('the refusal', () => gateway.logged('webhook secrets refused').length > 0);
}

function run(words, input = '') {
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SOPHIA_')));
    const { stdout, stderr, status } = spawnSync(strictBinary, words, { input, encoding: 'utf8', env: environment, timeout: 20000 });
    return { stdout, stderr, status };
}

async function look(gateway, headers) {
    for (const target of ['/metrics', '/api/v1/data-flow/metrics', '/api/v1/data-flow/health', '/health?level=diagnostic', '/health?level=detailed', '/health']) {
        tell(await gateway.get(target, { headers }), target);
    }
}

function judge() {
    for (const { from, text } of heard) {
        assert.deepEqual(secretsIn(text), [], `${from}:\n${text.split('\n').filter((line) => secretsIn(line).length > 0).join('\n').slice(0, 2000)}`);
    }
}

/* ---- the tests ---- */

test('every secret option has a marker here', () => {
    const table = run(['--print-options']).stdout.matchAll(/^\| `([^`]+)` \| secret \|/gm);
    assert.deepEqual([...table].map(([, name]) => name).sort(), Object.keys(options).sort(),
        'a new secret option needs a marker, and something here that uses it');
});

test('the search finds what is there, in each form', () => {
    const marker = options['admin.key'];
    for (const form of formsOf(marker)) {
        assert.deepEqual(secretsIn(`before ${form} after`), ['admin.key']);
    }
    assert.deepEqual(secretsIn('nothing'), []);
});

test('no secret is told by a gateway that works, is attacked, misconfigured, and loses its servers', async () => {
    const redis = await startRedis({ settings: { requirepass: options['redis.password'] } });
    const postgres = await startPostgres();
    const gateway = await startGateway(config(postgres, redis));
    const file = path.join(gateway.directory, 'gateway.yaml');
    assert.ok(secretsIn(fs.readFileSync(file, 'utf8')).includes('redis.password')); // they are in use
    await watch(gateway.port);
    await read(gateway.port);
    await write(gateway.port);
    hear('--print-config', run(['--print-config', '--config', file]).stdout);
    hear('--check-config', Object.values(run(['--check-config', '--config', file])).join('\n'));
    hear('token check', Object.values(run(['token', 'check', '--config', file], forged)).join('\n'));
    await look(gateway, bearer(token));
    await reload(gateway);
    await redis.stop();
    await postgres.stop();
    await until('the servers to be missed', async () => (await gateway.get('/health')).json().status === 'degraded');
    await look(gateway, bearer(token));
    await gateway.stop();
    hear('log', gateway.log);
    hear('audit', fs.readFileSync(path.join(directory, 'audit.log'), 'utf8'));
    assert.ok(gateway.log.length > 5000 && heard.find(({ from }) => from === 'audit').text.length > 1000);
    judge();
});

test('no secret is told of by what goes wrong with the servers', async () => {
    const redis = await startRedis({ settings: { requirepass: mark('the password the server wants') } });
    const urls = [
        `postgresql://u:${options['postgres.url']}@127.0.0.1:1/db`,
        `postgresql://u:${options['postgres.url']}@no-such-host.invalid/db`,
        `postgresql://u:${options['postgres.url']}%zz@127.0.0.1/db`,
        `postgresql://u:${options['postgres.url']}@127.0.0.1:port/db`,
        `postgresql://u:x@127.0.0.1/db?pasword=${options['postgres.url']}`,
        `host=127.0.0.1 user=u password='${options['postgres.url']}`,
    ];
    for (const url of urls) {
        const started = await startGateway({
            log: { level: 'debug' }, postgres: { url }, redis: { host: '127.0.0.1', port: redis.port, password: options['redis.password'] },
        }, { ready: '/health/live' }).then((gateway) => ({ gateway }), (error) => ({ error }));
        if (started.gateway) {
            const { gateway } = started;
            await until('both to be missed', async () => {
                const { upstreams } = (await gateway.get('/health?level=detailed')).json();
                return ['postgres', 'redis'].every((name) => upstreams[name].state !== 'up' && upstreams[name].reason);
            });
            await look(gateway, {});
            await gateway.kill();
            hear(`log of ${urls.indexOf(url)}`, gateway.log);
        } else {
            hear(`start of ${urls.indexOf(url)}`, started.error.message);
        }
    }
    const guarded = await startGateway({
        log: { level: 'debug' }, journal: { kind: 'memory' },
        redis: { sentinels: [`127.0.0.1:${redis.port}`], sentinel_master: 'sophia', sentinel_password: options['redis.sentinel_password'], password: options['redis.password'] },
    }, { ready: '/health/live' });
    await until('Redis to be missed', async () => (await guarded.get('/health')).json().status === 'degraded');
    await look(guarded, {});
    await guarded.kill();
    hear('log of sentinels', guarded.log);
    judge();
});
