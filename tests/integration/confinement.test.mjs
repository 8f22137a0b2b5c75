/* A confined gateway does everything it did before: with upstreams, TLS and reloads. What it cannot do is tests/unit/test_confinement.c. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { KeyServer } from '../support/key_server.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { installSchema } from '../support/sophia_schema.mjs';
import { caOf, makeCertificate } from '../support/tls.mjs';
import { Issuer } from '../support/tokens.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

after(async () => {
    await stopAll();
    await destroyServers();
});

test('a confined gateway serves, follows its upstreams, and reloads', { skip: isSanitized(plainBinary) && 'a leak check needs more rights' }, async () => {
    const [postgres, redis] = [await startPostgres(), await startRedis()];
    await installSchema(postgres);
    const { certificate, key } = makeCertificate();
    const issuer = new Issuer().add('one', 'ES256');
    const keys = (await KeyServer.open({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) })).serve(issuer);
    const { jwk_file: _, ...auth } = issuer.options({ jwks_url: keys.url, jwks_ca_file: path.join(issuer.directory, 'ca.pem') });
    fs.writeFileSync(auth.jwks_ca_file, caOf());
    const gateway = await startGateway({
        postgres: { url: postgres.url.replace('127.0.0.1', 'localhost') }, redis: { host: 'localhost', port: redis.port }, journal: { kind: 'redis' },
        tls: { certificate_file: certificate, key_file: key }, process: { confined: true, core_dumps: false }, auth,
    }, { binary: plainBinary });
    assert.equal(gateway.logged('not confined, continuing').length, 0, gateway.log);
    const status = fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8');
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    assert.match(status, /^Seccomp:\s+2$/m);
    assert.match(fs.readFileSync(`/proc/${gateway.pid}/limits`, 'utf8'), /^Max core file size\s+0\s+0 /m);
    await until('its upstreams to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    const viewer = await WsViewer.open(gateway.port, { hello: { token: issuer.mint() } });
    await viewer.watch('alpha');
    await gateway.post({ field: 'test.level', value: 7 });
    assert.equal((await viewer.next('update')).set['test.level'].v, 7);
    gateway.signal('SIGHUP');
    await until('the keys to be fetched again', async () => await gateway.metric('gw_auth_key_fetches_total', { result: 'same' }) === 1);
    await until('the reload', () => gateway.logged('definitions reloaded').length > 0);
    await redis.restart();
    await until('Redis to be back', async () => (await gateway.get('/health')).json().status === 'healthy');
    assert.ok(await gateway.metric('process_open_fds') > 3);
    await gateway.stop();
    await keys.close();
});
