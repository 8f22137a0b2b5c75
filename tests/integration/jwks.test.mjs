/*
 * Keys that are fetched from their issuer: at the start, in turn, and for a token whose key nobody knows. What fails changes nothing.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { request } from '../support/http_client.mjs';
import { KeyServer } from '../support/key_server.mjs';
import { caOf, makeCertificate } from '../support/tls.mjs';
import { Issuer } from '../support/tokens.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const issuer = new Issuer().add('first', 'ES256').add('second', 'EdDSA').add('third', 'ES256').add('secret', 'HS256');
let server;

before(async () => {
    server = await KeyServer.open();
});
afterEach(async () => {
    await stopAll();
    Object.assign(server, { requests: [], headers: {}, holds: false, status: 200 });
});
after(() => server.close());

function start(more = {}, options = {}) {
    const { jwk_file: _, ...auth } = issuer.options({ jwks_url: server.url, ...more });
    return startGateway({ auth }, options);
}
const fetches = (gateway, result) => gateway.metric('gw_auth_key_fetches_total', { result });

async function show(gateway, kid) {
    const answer = await request(gateway.port, '/api/v1/dashboards/alpha', { headers: { authorization: `Bearer ${issuer.mint({}, { kid })}` } });
    return answer.status === 200 ? 'ok' : `${answer.status} ${answer.json().code}`;
}

test('keys are fetched before the gateway is ready, and again when a token names one that is not known', async () => {
    server.serve(issuer, ['first']);
    const gateway = await start();
    assert.equal(server.requests.length, 1);
    assert.equal(await show(gateway, 'first'), 'ok');
    server.serve(issuer, ['first', 'second']);
    server.holds = true;
    assert.equal(await show(gateway, 'second'), '503 unavailable', 'while they are being fetched');
    await until('the keys to be asked for', () => server.requests.length === 2);
    const viewer = await WsViewer.open(gateway.port, { hello: { token: issuer.mint({}, { kid: 'second' }) } });
    assert.equal(await viewer.closed(), 4300, 'come back in a moment');
    server.release();
    await until('the second key to be good', async () => await show(gateway, 'second') === 'ok');
    assert.equal(await show(gateway, 'third'), '401 token_invalid', 'asked for not long ago');
    assert.equal(server.requests.length, 2);
    assert.equal(await gateway.metric('gw_auth_key_wishes_total', { result: 'fetched' }), 1);
    assert.equal(await gateway.metric('gw_auth_key_wishes_total', { result: 'limited' }), 1);
    assert.equal(await show(gateway, 'first'), 'ok', 'both at once');
    await gateway.stop();
});

test('a key that the issuer has retired is good no more; SIGHUP fetches at once; what is the same costs nothing', async () => {
    server.serve(issuer, ['first', 'second']);
    const gateway = await start();
    assert.deepEqual([await show(gateway, 'first'), await show(gateway, 'second')], ['ok', 'ok']);
    gateway.signal('SIGHUP');
    await until('the same to be fetched', async () => await fetches(gateway, 'same') === 1);
    assert.equal(await gateway.metric('gw_auth_token_cache_entries'), 2, 'nobody is verified anew');
    server.serve(issuer, ['second']);
    gateway.signal('SIGHUP');
    await until('the others to be fetched', async () => await fetches(gateway, 'new') === 2);
    assert.equal(await show(gateway, 'second'), 'ok');
    await until('the first to be refused', async () => await show(gateway, 'first') === '401 token_invalid');
    await gateway.stop();
});

test('with an ETag it is asked whether there are others', async () => {
    server.serve(issuer, ['first']).headers = { ETag: '"one"' };
    const gateway = await start();
    gateway.signal('SIGHUP');
    await until('a 304', async () => await fetches(gateway, 'same') === 1);
    assert.deepEqual(server.requests.map((headers) => headers['if-none-match']), [undefined, '"one"']);
    server.body = '{"keys": [';
    server.headers = { ETag: '"two"' };
    gateway.signal('SIGHUP');
    await until('a refusal', async () => await fetches(gateway, 'refused') >= 1);
    server.serve(issuer, ['second']);
    await until('what was broken to be asked for whole', async () => await fetches(gateway, 'new') === 2, { within: 20000 });
    assert.equal(await show(gateway, 'second'), 'ok');
    await gateway.stop();
});

test('whatever the issuer answers, the keys before stay', async () => {
    server.serve(issuer, ['first']);
    const gateway = await start();
    const good = server.body;
    const rows = [
        ['refused', { body: '{"keys": []}' }],
        ['refused', { body: 'no JSON' }],
        ['refused', { body: JSON.stringify({ keys: [issuer.keys.get('secret').jwk] }) }],
        ['failed', { body: good + ' '.repeat(70000) }],
        ['failed', { status: 500 }],
        ['failed', { status: 302, headers: { Location: server.url } }],
        ['failed', { status: 304 }],
    ];
    for (const [result, answer] of rows) {
        Object.assign(server, { body: good, status: 200, headers: {} }, answer);
        const earlier = await fetches(gateway, result);
        gateway.signal('SIGHUP');
        await until(`${JSON.stringify(answer).slice(0, 60)} to be ${result}`, async () => await fetches(gateway, result) > earlier, { within: 20000 });
        assert.equal(await show(gateway, 'first'), 'ok');
    }
    Object.assign(server, { body: good, status: 200, headers: {} });
    gateway.signal('SIGHUP');
    await until('it to work again', async () => await fetches(gateway, 'same') >= 1);
    assert.equal(gateway.logged('token keys not fetched, the ones before stay').length, 1, 'told once');
    await gateway.stop();
});

test('an issuer that is away: not ready before the first keys, degraded after a while, back by itself', async () => {
    server.serve(issuer, ['first']);
    await server.close();
    const gateway = await start({ jwks_refresh_s: 10 }, { ready: '/health/live' });
    await until('the failure to be logged', () => gateway.logged('token keys not fetched').length === 1);
    const health = await gateway.get('/health');
    assert.deepEqual([health.status, health.json().status, health.json().reason], [503, 'initializing', 'the keys of tokens were not fetched yet']);
    assert.equal(await show(gateway, 'first'), '503 unavailable');
    await server.reopen();
    await until('the keys to be there', async () => await show(gateway, 'first') === 'ok', { within: 20000 });
    assert.equal((await gateway.get('/health/ready')).status, 200);
    await server.close();
    await until('the keys to be called old', async () => (await gateway.get('/health')).json().status === 'degraded', { within: 60000 });
    assert.equal((await gateway.get('/health')).json().reason, 'token keys');
    assert.equal(await show(gateway, 'first'), 'ok');
    assert.ok(await gateway.metric('gw_auth_key_fetch_age_seconds') >= 30);
    await server.reopen();
    await until('it to be healthy again', async () => (await gateway.get('/health')).json().status === 'healthy', { within: 30000 });
    await gateway.stop();
});

test('over TLS the certificate must be good', async () => {
    const open = async (name, days) => {
        const { certificate, key } = makeCertificate(name, { days });
        return (await KeyServer.open({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) })).serve(issuer, ['first']);
    };
    const [good, expired] = [await open('issuer', 30), await open('expired-issuer', -1)];
    const ca = { jwks_ca_file: path.join(issuer.directory, 'ca.pem') };
    fs.writeFileSync(ca.jwks_ca_file, caOf());
    const gateway = await start({ jwks_url: good.url, ...ca });
    assert.equal(await show(gateway, 'first'), 'ok');
    await gateway.stop();
    for (const wrong of [{ jwks_url: good.url }, { jwks_url: expired.url, ...ca }]) {
        const wary = await start(wrong, { ready: '/health/live' });
        await until('the certificate to be refused', () => wary.logged('token keys not fetched').length === 1);
        assert.match(wary.logged('token keys not fetched')[0].err, /certificate/);
        assert.equal(await show(wary, 'first'), '503 unavailable');
        await wary.stop();
    }
    await Promise.all([good.close(), expired.close()]);
});
