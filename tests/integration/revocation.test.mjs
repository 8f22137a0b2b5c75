/*
 * Tokens and people that are shut out before their time: those who watch are closed within a second, and nobody
 * gets back in, remembered tokens included. By a file, and by Redis.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { request } from '../support/http_client.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { Issuer, nowS } from '../support/tokens.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const WITHIN_MS = 1000;
const issuer = new Issuer().add('one', 'ES256').write();
const file = path.join(issuer.directory, 'revoked');
let redis;

before(async () => {
    redis = await startRedis();
});
afterEach(stopAll);
after(destroyServers);

/** As a whole, as docs/security.md asks. */
function revoke(...lines) {
    fs.writeFileSync(`${file}.new`, lines.map((line) => `${line}\n`).join(''));
    fs.renameSync(`${file}.new`, file);
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const status = async (gateway, token) => (await request(gateway.port, '/api/v1/dashboards/alpha', { headers: bearer(token) })).status;

/** Somebody who watches by both transports, with one token. */
async function watch(gateway, claims) {
    const token = issuer.mint(claims);
    const viewer = await WsViewer.open(gateway.port, { hello: { token } });
    await viewer.watch('alpha');
    const stream = await SseViewer.open(gateway.port, 'alpha', { headers: bearer(token) });
    await stream.next('snapshot');
    return { token, viewer, stream };
}

/** Closed with 4101 on both, in time, and let in by no door. */
async function assertShutOut(gateway, { token, viewer, stream }, act) {
    const begun = Date.now();
    await act();
    assert.equal(await viewer.closed(), 4101);
    await until('the stream to end', () => stream.isClosed);
    const took = Date.now() - begun;
    assert.ok(took < WITHIN_MS, `${took} ms until both were closed`);
    assert.deepEqual([stream.ofType('error')[0].code, stream.ofType('error')[0].name], [4101, 'token_invalid']);
    assert.equal(await status(gateway, token), 401);
    const again = await WsViewer.open(gateway.port, { hello: { token } });
    assert.equal(await again.closed(), 4101);
    const refreshing = await WsViewer.open(gateway.port, { hello: { token: issuer.mint({ sub: 'somebody' }) } });
    await refreshing.next('welcome');
    refreshing.say({ type: 'refresh', token });
    assert.equal(await refreshing.closed(), 4101);
}

async function assertWatches(gateway, { viewer, stream, token }, value) {
    await gateway.post({ field: 'test.level', value });
    for (const each of [viewer, stream]) {
        await until(`the value ${value}`, () => each.ofType('update').some(({ set }) => set['test.level'].v === value));
    }
    assert.equal(await status(gateway, token), 200);
}

test('a file that changes shuts out by jti, by subject, and by subject up to a moment', async () => {
    revoke();
    const gateway = await startGateway({ auth: issuer.options({ revoked_file: file }) });
    const alice = await watch(gateway, { sub: 'alice', jti: 'a1' });
    const other = await watch(gateway, { sub: 'alice', jti: 'a2', iat: nowS() - 50 });
    const bob = await watch(gateway, { sub: 'bob', iat: nowS() - 5 });
    await assertShutOut(gateway, alice, () => revoke('jti:a1'));
    await assertWatches(gateway, other, 1);
    await assertShutOut(gateway, other, () => revoke('jti:a1', `sub:alice before ${nowS() - 20}`, `sub:bob before ${nowS() - 20}`));
    await assertWatches(gateway, bob, 2);
    assert.equal(await status(gateway, issuer.mint({ sub: 'alice', jti: 'a3' })), 200, 'a new token of hers is good');
    await assertShutOut(gateway, bob, () => revoke('sub:bob'));
    assert.equal(await gateway.metric('gw_auth_session_events_total', { event: 'revoked' }), 6);
    assert.equal(await gateway.metric('gw_auth_tokens_total', { result: 'revoked' }), 9);
    assert.equal(await gateway.metric('gw_auth_revocations', { from: 'file' }), 1);
    assert.equal(await status(gateway, alice.token), 200, 'what leaves the list is let in again');
    await gateway.stop();
});

test('a list that cannot be used changes nothing, and SIGHUP says so', async () => {
    revoke('sub:alice');
    const gateway = await startGateway({ auth: issuer.options({ revoked_file: file }) });
    const [alice, bob] = [issuer.mint({ sub: 'alice' }), issuer.mint({ sub: 'bob' })];
    const read = (result) => gateway.metric('gw_auth_revocation_reads_total', { from: 'file', result });
    revoke('sub:bob', 'carol');
    await until('the list to be refused', async () => await read('refused') === 1);
    assert.deepEqual([await status(gateway, alice), await status(gateway, bob)], [401, 200]);
    fs.rmSync(file);
    await until('the missing list to be refused', async () => await read('refused') === 2);
    assert.deepEqual([await status(gateway, alice), await status(gateway, bob)], [401, 200]);
    gateway.signal('SIGHUP');
    await until('the reload to fail', async () => await gateway.metric('gw_reload_failures_total') === 1);
    revoke('sub:bob');
    await until('the list to be read', async () => await read('ok') === 2);
    assert.deepEqual([await status(gateway, alice), await status(gateway, bob)], [200, 401]);
    assert.doesNotMatch(gateway.log, /carol/);
    await gateway.stop();
});

test('Redis: the set counts from the start, news act at once, and both outlive a Redis that is away', async () => {
    const key = 'sophia:revoked';
    await redis.command('SADD', key, 'sub:mallory');
    const gateway = await startGateway({
        redis: { host: '127.0.0.1', port: redis.port },
        auth: issuer.options({ revoked_redis: 'revoked' }),
    });
    await until('the set to be read', async () => await gateway.metric('gw_auth_revocations', { from: 'redis' }) === 1);
    await until('news to be heard', async () => (await redis.command('PUBSUB', 'NUMSUB', key))[1] === 1);
    const mallory = issuer.mint({ sub: 'mallory' });
    assert.equal(await status(gateway, mallory), 401);
    const [alice, bob] = [await watch(gateway, { sub: 'alice', jti: 'a1' }), await watch(gateway, { sub: 'bob' })];
    await assertShutOut(gateway, alice, async () => {
        await redis.command('SADD', key, 'jti:a1');
        await redis.command('PUBLISH', key, 'jti:a1');
    });
    await assertWatches(gateway, bob, 3);
    await redis.command('SREM', key, 'sub:mallory');
    await redis.command('PUBLISH', key, '');
    await until('mallory to be let in again', async () => await status(gateway, mallory) === 200);
    await redis.kill();
    await until('Redis to be missed', async () => await gateway.metric('gw_redis_link_up', { link: 'revocation-news' }) === 0);
    assert.equal(await status(gateway, alice.token), 401);
    await gateway.stop();
});
