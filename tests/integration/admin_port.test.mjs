/*
 * A port of its own for producers and operators: what is theirs is there and nowhere else, probes are on both, a crowd at the one
 * does not keep anybody from the other, and with a list of authorities only clients with a certificate get in.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { dropConnections, request, sendRaw } from '../support/http_client.mjs';
import { caOf, makeCertificate, markSecure, wantsTls } from '../support/tls.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { limited, until } from '../support/waiting.mjs';

after(stopAll);

/** A port that was free a moment ago. */
const freePort = () => new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = server.address();
        server.close(() => resolve(port));
    });
});

async function start(config = {}) {
    const adminPort = await freePort();
    if (wantsTls || config.tls) {
        markSecure(adminPort);
    }
    const gateway = await startGateway({ ...config, listen: { admin_port: adminPort, ...config.listen } });
    return { gateway, adminPort };
}

const change = JSON.stringify({ field: 'test.count', value: 5 });
const json = (body, headers = {}) => ({ method: 'POST', body, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers } });
const forOperators = [
    ['/metrics'], ['/api/v1/data-flow/metrics'], ['/api/v1/data-flow/health'],
    ['/api/v1/data-flow/ingest', json(change)], ['/api/v1/data-flow/cache/clear', json('{"class":"default"}')],
];

test('what is for producers and operators is on their port only; viewers and the page are on the other', async () => {
    const { gateway, adminPort } = await start();
    for (const [path, options] of forOperators) {
        assert.equal((await gateway.get(path, options)).status, 404, path);
        assert.notEqual((await request(adminPort, path, options)).status, 404, path);
    }
    assert.equal((await request(adminPort, '/api/v1/data-flow/ingest', json(change))).status, 200);
    for (const path of ['/health', '/health/live', '/health/ready']) {
        assert.equal((await gateway.get(path)).status, 200, path);
        assert.equal((await request(adminPort, path)).status, 200, path);
    }
    for (const level of ['detailed', 'diagnostic']) {
        assert.equal((await gateway.get(`/health?level=${level}`)).status, 403);
        assert.equal((await request(adminPort, `/health?level=${level}`)).status, 200);
    }
    for (const path of ['/api/v1/dashboards', '/api/v1/dashboards/alpha']) {
        assert.equal((await gateway.get(path)).status, 200, path);
        assert.equal((await request(adminPort, path)).status, 404, path);
    }
    await assert.rejects(WsViewer.open(adminPort, { wire: 'raw' }), /404/);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    assert.equal(viewer.copy('alpha').fields.get('test.count').v, 5);
    const { text } = await request(adminPort, '/metrics');
    assert.match(text, /^gw_connections\{kind="admin"\} [1-9]/m);
    assert.match(text, /^gw_connections\{kind="ws"\} 1$/m);
    await viewer.close();
    dropConnections(adminPort);
    await gateway.stop();
});

test('a page elsewhere writes nothing, whatever it may read', async () => {
    const { gateway, adminPort } = await start({ listen: { allowed_origins: ['https://dash.example'] }, ingest: { key: 'a-key-of-this-test' }, admin: { key: 'another-key-of-this-test' } });
    const paths = [['/api/v1/data-flow/ingest', change, 'a-key-of-this-test'], ['/api/v1/data-flow/cache/clear', '{"class":"default"}', 'another-key-of-this-test']];
    for (const [path, body, key] of paths) {
        const authorization = `Bearer ${key}`;
        for (const origin of ['https://evil.example', 'https://dash.example', 'null']) {
            const answer = await request(adminPort, path, json(body, { authorization, origin }));
            assert.deepEqual([answer.status, answer.json().code], [403, 'origin_not_allowed'], `${path} ${origin}`);
        }
        const plain = await request(adminPort, path, json(body, { authorization, 'content-type': 'text/plain' }));
        assert.equal(plain.status, 415, path);
        const cookie = await request(adminPort, path, json(body, { cookie: `authorization=${authorization}; key=${key}` }));
        assert.ok([401, 403].includes(cookie.status), path);
        assert.notEqual((await request(adminPort, path, json(body, { authorization }))).status, 403, path);
    }
    dropConnections(adminPort);
    await gateway.stop();
});

test('a crowd that fills the port of viewers leaves the other one open', async () => {
    const { gateway, adminPort } = await start({ listen: { max_connections: 3, allowed_hosts: [] } });
    const held = Array.from({ length: 6 }, () => net.connect({ port: gateway.port, host: '127.0.0.1' }).on('error', () => {}));
    const refused = async () => Number((await request(adminPort, '/metrics')).text.match(/^gw_refused_total\{reason="max_connections"\} (\d+)$/m)[1]);
    await until('some to be turned away', async () => await refused() >= 3);
    assert.equal((await request(adminPort, '/api/v1/data-flow/ingest', json(change))).status, 200);
    held.forEach((socket) => socket.destroy());
    dropConnections(adminPort);
    await gateway.stop();
});

test('with authorities for clients, only a certificate of theirs opens the port', async () => {
    const server = makeCertificate('server');
    const producer = makeCertificate('producer', { names: ['producer.example'] });
    caOf();
    const authority = process.env.SOPHIA_GATEWAY_TLS_AUTHORITY;
    const { gateway, adminPort } = await start({
        tls: { certificate_file: server.certificate, key_file: server.key },
        listen: { admin_client_ca_file: authority },
    });
    const own = { cert: fs.readFileSync(producer.certificate), key: fs.readFileSync(producer.key) };
    /** The first line that the port answers over TLS; rejects when it does not. */
    const ask = (options, path = '/metrics') => limited('an answer', new Promise((resolve, reject) => {
        const socket = tls.connect({ port: adminPort, host: '127.0.0.1', servername: 'localhost', ca: caOf(), ...options });
        let heard = '';
        socket.on('secureConnect', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
        socket.on('data', (text) => { heard += text; });
        socket.on('error', reject);
        socket.on('close', () => (heard ? resolve(heard) : reject(new Error('closed'))));
    }));
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        assert.match(await ask({ ...own, maxVersion }), /^HTTP\/1\.1 200 /);
        await assert.rejects(ask({ maxVersion }), /alert|closed|ECONNRESET/i, maxVersion);
    }
    // Whoever has a session of the other port has proved nothing.
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        const open = tls.connect({ port: gateway.port, host: '127.0.0.1', servername: 'localhost', ca: caOf(), maxVersion });
        const session = await limited('a session', new Promise((resolve, reject) => {
            open.on('session', resolve);
            open.on('error', reject);
        }));
        open.destroy();
        await assert.rejects(ask({ session, maxVersion }), /alert|closed|ECONNRESET/i, maxVersion);
    }
    const metrics = await ask(own);
    assert.ok(Number(metrics.match(/^gw_tls_failures_total\{reason="client_certificate"\} (\d+)$/m)[1]) >= 4, metrics.match(/^gw_tls_failures.*$/mg).join('\n'));
    assert.equal((await gateway.get('/health/live')).status, 200);
    assert.equal((await sendRaw(gateway.port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')).status, 404);
    dropConnections(adminPort);
    await gateway.stop();
});
