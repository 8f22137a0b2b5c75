/*
 * Keys of producers and operators: several for one door, kept as digests, counted by name, and changed at SIGHUP with both
 * old and new one valid meanwhile. No key and no digest is in a log.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { post } from '../support/http_client.mjs';
import { until } from '../support/waiting.mjs';

after(stopAll);

const digestOf = (key) => createHash('sha256').update(key).digest('hex');
const makeKey = () => randomBytes(24).toString('base64url');
const bearer = (key) => ({ headers: { authorization: `Bearer ${key}` } });

test('a door is opened by each of its keys, by no digest, and uses are counted by name', async () => {
    const [plain, warehouse, crm, operator] = Array.from({ length: 4 }, makeKey);
    const gateway = await startGateway({
        ingest: { key: plain, keys: [{ name: 'warehouse', sha256: digestOf(warehouse) }, { name: 'crm', sha256: digestOf(crm).toUpperCase() }] },
        admin: { key: `sha256:${digestOf(operator)}` },
    });
    const status = async (key) => (await post(gateway.port, { field: 'test.count', value: 1 }, bearer(key))).status;
    for (const key of [plain, warehouse, crm, crm]) {
        assert.equal(await status(key), 200);
    }
    for (const key of [operator, digestOf(warehouse), `sha256:${digestOf(warehouse)}`, '', 'x'.repeat(5000)]) {
        assert.ok([401, 403, 431].includes(await status(key)), `"${key}"`);
    }
    const clear = (key) => gateway.get('/api/v1/data-flow/cache/clear', {
        method: 'POST', body: '{"class":"default"}', headers: { 'content-type': 'application/json', 'content-length': 19, ...bearer(key).headers },
    });
    assert.equal((await clear(warehouse)).status, 403);
    assert.notEqual((await clear(operator)).status, 403);
    const uses = (door, key) => gateway.metric('gw_key_uses_total', { door, key });
    assert.deepEqual([await uses('ingest', 'default'), await uses('ingest', 'warehouse'), await uses('ingest', 'crm'), await uses('admin', 'default')], [1, 1, 2, 1]);
    await gateway.stop();
    for (const secret of [plain, warehouse, crm, operator, digestOf(crm), digestOf(operator)]) {
        assert.ok(!gateway.log.includes(secret));
    }
});

test('keys change at SIGHUP: both are good for a while, then only the new one', async () => {
    const [before, next] = [makeKey(), makeKey()];
    const gateway = await startGateway({ ingest: { keys: [{ name: 'before', sha256: digestOf(before) }] } });
    const file = path.join(gateway.directory, 'gateway.yaml');
    const original = fs.readFileSync(file, 'utf8');
    const status = async (key) => (await post(gateway.port, { field: 'test.count', value: 1 }, bearer(key))).status;
    const keys = (...names) => JSON.stringify(names.map(([name, key]) => ({ name, sha256: digestOf(key) })));
    const change = (list) => {
        fs.writeFileSync(file, original.replace(/^ {2}keys: .*$/m, `  keys: ${list}`));
        gateway.signal('SIGHUP');
    };
    assert.deepEqual([await status(before), await status(next)], [200, 401]);
    change(keys(['before', before], ['next', next]));
    await until('the new key to be good', async () => await status(next) === 200);
    assert.equal(await status(before), 200);
    change(keys(['next', next]));
    await until('the old key to be refused', async () => await status(before) === 401);
    assert.equal(await status(next), 200);
    change('[{name: broken, sha256: 12}]');
    await until('the refusal', () => gateway.logged('configuration refused, the one before stays').length === 1);
    assert.deepEqual([await status(before), await status(next)], [401, 200]);
    await gateway.stop();
});
