/*
 * Webhooks at the real gateway, signed here as the providers' documentation says: from the request to the viewer's tile, and
 * everything that must not get that far.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { request, sendRaw } from '../support/http_client.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const publicUrl = 'https://kpi.example/hooks/crm';
const standardSecret = crypto.randomBytes(24);
const keys = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const secrets = {
    git: 'git-secret-of-today',
    'git.old': 'git-secret-of-yesterday',
    slack: 'slack-signing-secret',
    crm: 'crm-client-secret',
    sales: `whsec_${standardSecret.toString('base64')}`,
    calls: keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    relay: 'relay-token-0123456789',
    figma: 'figma-passcode',
};

const BODY_MAX_BYTES = 20000;
let directory;
let gateway;
let viewer;

const fileOf = (name) => path.join(directory, name);
const hook = (name, provider, fields, more = {}) => ({ name, provider, secret_files: [fileOf(name)], fields, ...more });

before(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-hooks-'));
    Object.entries(secrets).forEach(([name, secret]) => fs.writeFileSync(fileOf(name), `${secret}\n`, { mode: 0o600 }));
    gateway = await startGateway({
        webhooks: {
            body_max_bytes: BODY_MAX_BYTES,
            rate_per_s: 50,
            hooks: [
                hook('git', 'github', { 'test.count': 'count', 'test.words': '/head_commit/message' },
                    { events: ['push'], secret_files: [fileOf('git'), fileOf('git.old')] }),
                hook('slack', 'slack', { 'test.words': '/event/text' }),
                hook('crm', 'hubspot', { 'test.level': '/propertyValue' }, { public_url: publicUrl }),
                hook('sales', 'standard', { 'test.money': '/data/amount', 'test.rows#newest': '/data/row' }),
                hook('calls', 'gong', { 'test.words': '/callData/metaData/title' }, { public_url: 'https://kpi.example/hooks/calls' }),
                hook('relay', 'bearer', { 'test.mode': '/mode' }, { signature_header: 'X-Relay-Token', id_header: 'X-Relay-Id' }),
                hook('figma', 'figma', { 'test.other': 'count' }),
                hook('tasks', 'asana', { 'test.other': 'count' }),
            ],
        },
    });
    viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
});
after(async () => {
    await viewer?.close();
    await stopAll();
    fs.rmSync(directory, { recursive: true, force: true });
});

const hmac = (secret, text, encoding = 'hex', digest = 'sha256') => crypto.createHmac(digest, secret).update(text).digest(encoding);

function send(name, body, headers, options) {
    return request(gateway.port, `/hooks/${name}`, {
        method: 'POST', body, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers }, ...options,
    });
}

let deliveries = 0;
const asGithub = (body, { secret = secrets.git, event = 'push', delivery = `delivery-${deliveries++}` } = {}) =>
    ({ 'x-hub-signature-256': `sha256=${hmac(secret, body)}`, 'x-github-delivery': delivery, 'x-github-event': event });
const asSlack = (body, time = Math.floor(Date.now() / 1000)) =>
    ({ 'x-slack-request-timestamp': time, 'x-slack-signature': `v0=${hmac(secrets.slack, `v0:${time}:${body}`)}` });
const asHubspot = (body, time = Date.now(), url = publicUrl) =>
    ({ 'x-hubspot-request-timestamp': time, 'x-hubspot-signature-v3': hmac(secrets.crm, `POST${url}${body}${time}`, 'base64') });
const asStandard = (body, { id = `msg_${deliveries++}`, time = Math.floor(Date.now() / 1000), key = standardSecret } = {}) =>
    ({ 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${hmac(key, `${id}.${time}.${body}`, 'base64')}` });

function asGong(body, { alg = 'RS256', url = 'https://kpi.example/hooks/calls', expiresIn = 60 } = {}) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
        exp: Math.floor(Date.now() / 1000) + expiresIn, webhook_url: url, body_sha256: crypto.createHash('sha256').update(body).digest('hex'),
    };
    const text = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
    return { authorization: `Bearer ${text}.${crypto.sign('sha256', Buffer.from(text), keys.privateKey).toString('base64url')}` };
}

const counted = (name, result) => gateway.metric('gw_webhooks_total', { hook: name, result });

async function accepted(name, body, headers) {
    const answer = await send(name, body, headers);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json(), { result: 'accepted' });
}

/** Refused with a status and a code, and not a word more. */
async function refused(name, body, headers, status = 401, code = 'unauthenticated') {
    const answer = await send(name, body, headers);
    assert.equal(answer.status, status, answer.text);
    const { title, ...rest } = answer.json();
    assert.deepEqual(rest, { status, code });
    assert.ok(title.length > 0);
}

/** What the viewer is shown once the next update is there. */
async function nextValue(field) {
    const update = await viewer.next('update', { matching: ({ set }) => field in set });
    return update.set[field];
}

test('a push is counted and its message shown, at once', async () => {
    const body = JSON.stringify({ head_commit: { message: 'Fix the roof' } });
    await accepted('git', body, asGithub(body));
    const words = await nextValue('test.words');
    assert.equal(words.v, 'Fix the roof');
    assert.equal((await gateway.snapshot('alpha')).set['test.count'].v, 1);
    viewer.assertSound();
});

test('each provider finds its way to a tile', async () => {
    const sales = JSON.stringify({ type: 'deal.won', data: { amount: '1284300.50', row: { text: 'Acme', sent: 3 } } });
    const time = Math.floor(Date.now() / 1000) - 100;
    await accepted('sales', sales, asStandard(sales, { time }));
    const money = await nextValue('test.money');
    assert.deepEqual([money.v, money.as_of], ['1284300.50', time * 1000]);
    assert.deepEqual((await gateway.snapshot('alpha')).set['test.rows#newest'].v, { text: 'Acme', sent: 3 });

    const crm = JSON.stringify([{ eventId: 1, propertyValue: 40 }, { eventId: 2, propertyValue: 41 }]);
    await accepted('crm', crm, asHubspot(crm));
    assert.equal((await nextValue('test.level')).v, 41);

    const slack = JSON.stringify({ type: 'event_callback', event_id: 'Ev1', event: { type: 'message', text: 'hello' } });
    await accepted('slack', slack, asSlack(slack));
    assert.equal((await nextValue('test.words')).v, 'hello');

    const call = JSON.stringify({ callData: { metaData: { id: '7', title: 'Renewal' } } });
    await accepted('calls', call, asGong(call));
    assert.equal((await nextValue('test.words')).v, 'Renewal');

    await accepted('relay', '{"mode":"slow"}', { 'x-relay-token': secrets.relay });
    assert.equal((await nextValue('test.mode')).v, 'slow');

    const figma = JSON.stringify({ event_type: 'FILE_UPDATE', passcode: secrets.figma, webhook_id: '1', timestamp: 't', file_key: 'f' });
    await accepted('figma', figma, {});
    assert.equal((await gateway.snapshot('beta')).set['test.other'].v, 1);
    viewer.assertSound();
});

test('who is not genuine is refused without a reason, which is counted', async () => {
    const before_ = await gateway.metrics();
    const body = JSON.stringify({ head_commit: { message: 'Let me in' } });
    const good = asGithub(body);
    const sales = '{"data":{"amount":"1.00"}}';
    const call = '{"callData":{"metaData":{"id":"8","title":"Let me in"}}}';
    const cases = [
        ['git', body, { ...good, 'x-hub-signature-256': undefined }, 'missing_header'],
        ['git', body, asGithub(body, { secret: 'guessed' }), 'wrong_signature'],
        ['git', `${body} `, good, 'wrong_signature'],
        ['git', body, { ...good, 'x-hub-signature-256': good['x-hub-signature-256'].toUpperCase() }, 'wrong_signature'],
        ['git', body, { ...good, 'x-hub-signature-256': good['x-hub-signature-256'].slice(7) }, 'wrong_signature'],
        ['slack', body, asSlack(body, Math.floor(Date.now() / 1000) - 301), 'too_old'],
        ['slack', body, asSlack(body, Math.floor(Date.now() / 1000) + 400), 'too_new'],
        ['slack', body, asSlack(body, 'yesterday'), 'malformed_time'],
        ['crm', '[]', asHubspot('[]', Date.now(), 'http://127.0.0.1/hooks/crm'), 'wrong_signature'],
        ['sales', sales, asStandard(sales, { key: crypto.randomBytes(24) }), 'wrong_signature'],
        ['sales', sales, { ...asStandard(sales), 'webhook-id': 'msg_other' }, 'wrong_signature'],
        ['calls', call, asGong(call, { alg: 'none' }), 'wrong_algorithm'],
        ['calls', call, asGong(call, { url: 'https://elsewhere.example' }), 'wrong_claim'],
        ['calls', call, asGong(call, { expiresIn: -1 }), 'too_old'],
        ['calls', call, asGong(`${call} `), 'wrong_claim'],
        ['relay', '{"mode":"off"}', { 'x-relay-token': 'relay-token-0123456780' }, 'wrong_signature'],
        ['relay', '{"mode":"off"}', { authorization: `Bearer ${secrets.relay}` }, 'missing_header'],
        ['figma', '{"passcode":"figma"}', {}, 'wrong_signature'],
        ['tasks', '{"events":[]}', { 'x-hook-signature': hmac('', '{"events":[]}') }, 'no_secret'],
    ];
    const expected = new Map();
    for (const [name, text, headers, reason] of cases) {
        const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
        await refused(name, text, given);
        const key = `gw_webhooks_total{hook="${name}",result="${reason}"}`;
        expected.set(key, (expected.get(key) ?? before_.get(key)) + 1);
    }
    const now = await gateway.metrics();
    expected.forEach((count, key) => assert.equal(now.get(key), count, key));
    const double = ['POST /hooks/git HTTP/1.1', 'Host: 127.0.0.1', 'Connection: close', `Content-Length: ${body.length}`,
        ...[1, 2].map(() => `X-Hub-Signature-256: ${good['x-hub-signature-256']}`), '', body].join('\r\n');
    assert.equal((await sendRaw(gateway.port, double)).status, 401);
    assert.equal(await counted('git', 'repeated_header'), 1);
    const { set } = await gateway.snapshot('alpha');
    assert.equal(set['test.words'].v, 'Renewal');
    assert.equal(set['test.mode'].v, 'slow');
    viewer.assertSound();
});

test('an unknown hook, another method and a body that is too large are turned away', async () => {
    await refused('nobody', '{}', {}, 404, 'not_found');
    assert.equal((await gateway.get('/hooks/git')).status, 405);
    const large = JSON.stringify({ text: 'x'.repeat(BODY_MAX_BYTES) });
    assert.equal((await send('git', large, asGithub(large))).status, 413);
    assert.equal((await send('git', '{"a":', asGithub('{"a":'))).status, 400);
    const deep = '['.repeat(40);
    assert.equal((await send('git', deep, asGithub(deep))).status, 400);
    const message = 'y'.repeat(BODY_MAX_BYTES - 100);
    const full = JSON.stringify({ other: message });
    await accepted('git', full, asGithub(full, { event: 'star' }));
});

test('a delivery is applied once: sent again, replayed, or under another name', async () => {
    const start = (await gateway.snapshot('alpha')).set['test.count'].v;
    const body = JSON.stringify({ head_commit: { message: 'Once' } });
    const first = asGithub(body);
    await accepted('git', body, first);
    const other = JSON.stringify({ head_commit: { message: 'Twice' } });
    await accepted('git', other, asGithub(other));
    for (const headers of [first, { ...first, 'x-github-delivery': 'another' }]) {
        const again = await send('git', body, headers);
        assert.equal(again.status, 200);
        assert.deepEqual(again.json(), { result: 'repeated' });
    }
    const { set } = await gateway.snapshot('alpha');
    assert.equal(set['test.count'].v, start + 2);
    assert.equal(set['test.words'].v, 'Twice');
    assert.equal(await counted('git', 'repeated'), 2);

    const slack = JSON.stringify({ type: 'event_callback', event_id: 'Ev2', event: { type: 'message', text: 'one' } });
    await accepted('slack', slack, asSlack(slack));
    const later = await send('slack', slack, asSlack(slack, Math.floor(Date.now() / 1000) + 1)); // a retry is signed anew
    assert.deepEqual(later.json(), { result: 'repeated' });

    await accepted('relay', '{"mode":"on"}', { 'x-relay-token': secrets.relay, 'x-relay-id': '1' });
    const relayed = await send('relay', '{"mode":"off"}', { 'x-relay-token': secrets.relay, 'x-relay-id': '1' });
    assert.deepEqual(relayed.json(), { result: 'repeated' });
    assert.equal((await gateway.snapshot('alpha')).set['test.mode'].v, 'on');
    viewer.assertSound();
});

test('greetings are answered and mean nothing', async () => {
    const start = (await gateway.snapshot('alpha')).set['test.count'].v;
    const challenge = JSON.stringify({ type: 'url_verification', challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P' });
    assert.equal((await send('slack', challenge, {})).status, 401);
    const answer = await send('slack', challenge, asSlack(challenge));
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P');
    assert.match(answer.headers['content-type'], /^text\/plain/);
    const zen = '{"zen":"Keep it logically awesome."}';
    assert.deepEqual((await send('git', zen, asGithub(zen, { event: 'ping' }))).json(), { result: 'greeting' });
    const ping = JSON.stringify({ event_type: 'PING', passcode: secrets.figma });
    assert.deepEqual((await send('figma', ping, {})).json(), { result: 'greeting' });
    assert.equal((await gateway.snapshot('alpha')).set['test.count'].v, start);
});

test('the handshake of Asana is done once, and its secret kept where only we can read it', async () => {
    const offered = crypto.randomBytes(32).toString('hex');
    const greeted = await send('tasks', '{}', { 'x-hook-secret': offered });
    assert.equal(greeted.status, 200);
    assert.equal(greeted.headers['x-hook-secret'], offered);
    assert.equal(fs.readFileSync(fileOf('tasks'), 'utf8'), offered);
    assert.equal(fs.statSync(fileOf('tasks')).mode & 0o777, 0o600);
    const start = (await gateway.snapshot('beta')).set['test.other'].v;
    const body = JSON.stringify({ events: [{ action: 'added', resource: { gid: '1' }, created_at: 'a' }, { action: 'changed', resource: { gid: '1' }, created_at: 'a' }] });
    await accepted('tasks', body, { 'x-hook-signature': hmac(offered, body) });
    assert.equal((await gateway.snapshot('beta')).set['test.other'].v, start + 2); // what another hook counted is not lost
    await refused('tasks', '{}', { 'x-hook-secret': crypto.randomBytes(32).toString('hex') }, 403, 'forbidden');
    assert.equal(fs.readFileSync(fileOf('tasks'), 'utf8'), offered);
    const heartbeat = '{"events":[]}';
    await accepted('tasks', heartbeat, { 'x-hook-signature': hmac(offered, heartbeat) });
});

test('a gateway that may write no files may write this one', { skip: isSanitized(plainBinary) && 'a leak check needs more rights' }, async () => {
    const folder = fs.mkdtempSync(path.join(directory, 'confined-'));
    const file = path.join(folder, 'asana');
    const confined = await startGateway({
        webhooks: { hooks: [{ ...hook('tasks', 'asana', { 'test.count': 'count' }), secret_files: [file] }] }, process: { confined: true },
    }, { binary: plainBinary });
    const offered = crypto.randomBytes(32).toString('hex');
    const greeted = await request(confined.port, '/hooks/tasks', { method: 'POST', body: '{}', headers: { 'content-length': 2, 'x-hook-secret': offered } });
    assert.equal(greeted.status, 200, confined.log);
    assert.deepEqual(fs.readdirSync(folder), ['asana']);
    assert.equal(fs.readFileSync(file, 'utf8'), offered);
    await confined.stop();
});

test('secrets are rotated with an overlap, and taken over at SIGHUP', async () => {
    const body = (text) => JSON.stringify({ head_commit: { message: text } });
    await accepted('git', body('old'), asGithub(body('old'), { secret: secrets['git.old'] }));
    fs.writeFileSync(fileOf('git.old'), secrets.git);
    fs.writeFileSync(fileOf('git'), 'git-secret-of-tomorrow');
    const reloads = gateway.logged('definitions reloaded').length;
    gateway.signal('SIGHUP');
    await until('the reload', () => gateway.logged('definitions reloaded').length > reloads);
    await accepted('git', body('today'), asGithub(body('today')));
    await accepted('git', body('tomorrow'), asGithub(body('tomorrow'), { secret: 'git-secret-of-tomorrow' }));
    await refused('git', body('gone'), asGithub(body('gone'), { secret: secrets['git.old'] }));

    const failures = await gateway.metric('gw_reload_failures_total');
    fs.rmSync(fileOf('git'));
    gateway.signal('SIGHUP');
    await until('the failed reload', async () => (await gateway.metric('gw_reload_failures_total')) > failures);
    await accepted('git', body('still'), asGithub(body('still'), { secret: 'git-secret-of-tomorrow' }));
    assert.equal(gateway.logged('webhook secrets refused').length, 1);
});

test('genuine webhooks beyond the rate of their hook wait their turn', async () => {
    const slow = await startGateway({ webhooks: { rate_per_s: 1, hooks: [hook('sales', 'standard', { 'test.count': 'count' })] } });
    const post = (body) => request(slow.port, '/hooks/sales', {
        method: 'POST', body, headers: { 'content-length': Buffer.byteLength(body), ...asStandard(body) },
    });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => post(`{"number":${i}}`)));
    const taken = answers.filter(({ status }) => status === 200).length;
    const limited = answers.filter(({ status }) => status === 429);
    assert.equal(taken + limited.length, 40);
    assert.ok(taken >= 1 && limited.length >= 1, `${taken} were taken`);
    limited.forEach(({ headers, text }) => assert.equal(headers['retry-after'], '1', text));
    assert.equal(await slow.metric('gw_webhooks_total', { hook: 'sales', result: 'rate_limited' }), limited.length);
    let next = 40;
    await until('room for another', async () => (await post(`{"number":${next++}}`)).status === 200);
    assert.equal((await slow.snapshot('alpha')).set['test.count'].v, taken + 1);
    await slow.stop();
});

test('no secret is told anywhere, and the end is clean', async () => {
    const told = [gateway.log, (await gateway.get('/metrics')).text, (await gateway.get('/health?level=diagnostic')).text].join('\n');
    const offered = fs.readFileSync(fileOf('tasks'), 'utf8');
    for (const secret of [...Object.values(secrets), offered, 'git-secret-of-tomorrow', standardSecret.toString('base64')]) {
        assert.ok(!told.includes(secret), 'a secret was told');
    }
    viewer.assertSound();
    await viewer.close();
    await gateway.stop();
});
