/*
 * Whose connection it is behind a proxy: by X-Forwarded-For, by Forwarded, and by the PROXY protocol; believed from trusted
 * networks only, and used for limits and logs. The log of a refused administrator tells which address the gateway takes one for.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { keptAlive } from '../support/http_client.mjs';
import { caOf, makeCertificate } from '../support/tls.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { limited, until } from '../support/waiting.mjs';

after(stopAll);

const CLEAR = '/api/v1/data-flow/cache/clear';
const refused = (gateway, reason) => gateway.metric('gw_refused_total', { reason });

/** The address that the log names for a request with these headers. */
async function takenFor(gateway, headers) {
    const earlier = gateway.logged('clearing the cache refused').length;
    const { status } = await gateway.get(CLEAR, { method: 'POST', headers: { 'content-length': 2, 'content-type': 'application/json', ...headers }, body: '{}' });
    assert.equal(status, 403);
    await until('the log line', () => gateway.logged('clearing the cache refused').length > earlier);
    return gateway.logged('clearing the cache refused').at(-1).peer;
}

test('nobody is believed unless told so', async () => {
    const gateway = await startGateway();
    assert.equal(await takenFor(gateway, { 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.1' }), '127.0.0.1');
    await gateway.stop();
});

test('headers of a trusted proxy name the client: the right-most address that is no trusted proxy', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] } });
    const cases = [
        [{ 'x-forwarded-for': '192.0.2.1' }, '192.0.2.1'],
        [{ 'x-forwarded-for': '203.0.113.66, 192.0.2.1, 10.0.0.4' }, '192.0.2.1'],
        [{ 'x-forwarded-for': '[2001:db8::7]:4711' }, '2001:db8::7'],
        [{ 'x-forwarded-for': 'nonsense' }, '127.0.0.1'],
        [{}, '127.0.0.1'],
        [{ 'x-forwarded-for': '192.0.2.1', forwarded: 'for=203.0.113.66' }, '192.0.2.1'], // a header that our proxy does not write
        [{ 'x-forwarded-for': Array(65).fill('192.0.2.1').join() }, '127.0.0.1'],
    ];
    for (const [headers, address] of cases) {
        assert.equal(await takenFor(gateway, headers), address, JSON.stringify(headers));
    }
    await gateway.stop();
});

test('Forwarded is read instead where the proxy writes that', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.1'], forwarded_header: 'forwarded' } });
    assert.equal(await takenFor(gateway, { forwarded: 'for=203.0.113.66, for="[2001:db8::7]:81";proto=https', 'x-forwarded-for': '192.0.2.1' }), '2001:db8::7');
    assert.equal(await takenFor(gateway, { 'x-forwarded-for': '192.0.2.1' }), '127.0.0.1');
    await gateway.stop();
});

test('a proxy that is not trusted is not believed', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['10.0.0.0/8'] } });
    assert.equal(await takenFor(gateway, { 'x-forwarded-for': '192.0.2.1' }), '127.0.0.1');
    await gateway.stop();
});

test('connections are counted for the client, not for the proxy, and over one kept connection for each in turn', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.1'], max_connections_per_address: 1 } });
    const from = (address) => ({ headers: { 'x-forwarded-for': address } });
    const stream = await SseViewer.open(gateway.port, 'alpha', from('192.0.2.1'));
    await stream.next('snapshot');
    const refusedRequest = await gateway.get('/health/live', from('192.0.2.1'));
    assert.deepEqual([refusedRequest.status, refusedRequest.json().code], [429, 'too_many_connections']);
    assert.equal(refusedRequest.headers['retry-after'], '5');
    assert.equal(await refused(gateway, 'max_per_address'), 1);
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw', ...from('192.0.2.2') });
    await viewer.next('welcome');
    await assert.rejects(WsViewer.open(gateway.port, { wire: 'raw', ...from('192.0.2.2') }), /429/);

    const agent = keptAlive(gateway.port, { maxSockets: 1 });
    for (const [address, status] of [['192.0.2.3', 200], ['192.0.2.4', 200], ['192.0.2.1', 429], ['192.0.2.3', 200]]) {
        assert.equal((await gateway.get('/health/live', { agent, ...from(address) })).status, status, address);
    }
    const accepted = await gateway.metric('gw_accepted_total');
    assert.equal((await gateway.get('/health/live', { agent, ...from('192.0.2.4') })).status, 200);
    assert.equal(await gateway.metric('gw_accepted_total'), accepted); // still the same connection
    agent.destroy();

    stream.cut();
    viewer.cut();
    await until('both to be forgotten', async () => await gateway.metric('gw_addresses') <= 1);
    assert.equal((await gateway.get('/health/live', from('192.0.2.1'))).status, 200);
    await gateway.stop();
});

/* The PROXY protocol. */

const v1 = (client) => `PROXY TCP4 ${client} 198.51.100.9 56324 443\r\n`;
const v2 = (client, more = Buffer.alloc(0)) => Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11', 'latin1'), Buffer.from([0, 12 + more.length]),
    Buffer.from([...client.split('.').map(Number), 198, 51, 100, 9, 1, 2, 3, 4]), more,
]);
const get = (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
const clear = `POST ${CLEAR} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;

/** Sends the pieces one after the other and resolves with all that comes back until the gateway closes. */
async function say(port, ...pieces) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    let heard = '';
    socket.on('data', (text) => { heard += text.toString('latin1'); });
    socket.on('error', () => {}); // a reset is an end
    const closed = new Promise((resolve) => { socket.on('close', resolve); });
    for (const piece of pieces) {
        await new Promise((resolve) => { socket.write(piece, resolve); });
        await new Promise((resolve) => { setImmediate(resolve); });
    }
    await limited('the gateway to close', closed);
    return heard;
}

/** One sample, asked for through the proxy. */
async function sample(gateway, series) {
    const text = await say(gateway.port, v1('192.0.2.99'), get('/metrics'));
    return Number(text.match(new RegExp(`^${series.replaceAll(/[{}"]/g, '\\$&')} (\\S+)$`, 'm'))?.[1]);
}

test('a PROXY header names the client, whole, in pieces and with all that follows', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.1'], proxy_protocol: true } });
    const bytes = (text) => [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
    const cases = [
        [[v1('192.0.2.1') + clear], '192.0.2.1'],
        [[...bytes(v1('192.0.2.2')), clear], '192.0.2.2'],
        [[v2('192.0.2.3'), clear], '192.0.2.3'],
        [[Buffer.concat([v2('192.0.2.4', Buffer.from([4, 0, 1, 0])), Buffer.from(clear)])], '192.0.2.4'],
        [[...bytes(v2('192.0.2.5')), clear], '192.0.2.5'],
        [['PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n', clear], '2001:db8::1'],
        [['PROXY UNKNOWN\r\n', clear], ''],
        [['\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', clear], '127.0.0.1'], // the proxy itself
    ];
    for (const [i, [pieces, address]] of cases.entries()) {
        assert.match(await say(gateway.port, ...pieces), /^HTTP\/1\.1 403 /, `case ${i}`);
        await until('the log line', () => gateway.logged('clearing the cache refused').length === i + 1);
        assert.equal(gateway.logged('clearing the cache refused').at(-1).peer, address);
    }
    const ingest = 'POST /api/v1/data-flow/ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n'
        + 'Content-Length: 34\r\n\r\n{"field":"test.count","value":123}';
    assert.match(await say(gateway.port, 'PROXY UNKNOWN\r\n', ingest), /^HTTP\/1\.1 403 /); // not known is not here
    assert.match(await say(gateway.port, v1('192.0.2.1'), ingest), /^HTTP\/1\.1 403 /);
    assert.match(await say(gateway.port, v1('127.0.0.1'), ingest), /^HTTP\/1\.1 200 /);
    await gateway.stop();
});

test('what is no PROXY header is closed without a word, counted, and in time', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.1'], proxy_protocol: true, request_timeout_s: 1 } });
    const series = 'gw_refused_total{reason="proxy_header"}';
    const bad = [get('/health/live'), 'PROXY TCP4 192.0.2.1\r\n', `PROXY ${'x'.repeat(101)}`, Buffer.concat([v2('192.0.2.1').subarray(0, 14), Buffer.from([255, 255])]), '\x16\x03\x01\x02\x00'];
    for (const [i, bytes] of bad.entries()) {
        assert.equal(await say(gateway.port, bytes), '', `case ${i}`);
        assert.equal(await sample(gateway, series), i + 1);
    }
    const late = await sample(gateway, 'gw_refused_total{reason="timeout"}');
    const cpu = gateway.cpuMs();
    assert.equal(await say(gateway.port, 'PROXY TCP4 192.0'), '');
    assert.equal(await say(gateway.port), '');
    assert.equal(await sample(gateway, 'gw_refused_total{reason="timeout"}'), late + 2);
    assert.ok(gateway.cpuMs() - cpu < 1000, 'waiting costs nothing'); // two seconds of it
    await gateway.stop();
});

test('connections that no trusted proxy makes are closed', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['192.0.2.0/24'], proxy_protocol: true } });
    assert.equal(await say(gateway.port, v1('192.0.2.1'), get('/health/live')), '');
    await gateway.stop();
});

test('limits count the client that the PROXY header names, and behind TLS it is read as well', async () => {
    const pair = makeCertificate();
    const gateway = await startGateway({
        listen: { trusted_proxies: ['127.0.0.1'], proxy_protocol: true, max_connections_per_address: 1 },
        tls: { certificate_file: pair.certificate, key_file: pair.key },
    });
    const connect = (client) => limited('a handshake', new Promise((resolve, reject) => {
        const socket = net.connect({ port: gateway.port, host: '127.0.0.1' });
        socket.write(v2(client));
        const secure = tls.connect({ socket, servername: 'localhost', ca: caOf() }, () => resolve(secure));
        secure.on('error', reject);
        socket.on('close', () => reject(new Error('closed')));
    }));
    const first = await connect('192.0.2.1');
    await assert.rejects(connect('192.0.2.1'), /closed|ECONNRESET|disconnected/);
    const second = await connect('192.0.2.2');
    let heard = '';
    second.on('data', (text) => { heard += text; });
    const ended = new Promise((resolve) => { second.on('close', resolve); });
    second.write(get('/metrics'));
    await limited('an answer', ended);
    assert.match(heard, /^gw_refused_total\{reason="max_per_address"\} 1$/m);
    assert.match(heard, /^gw_addresses 2$/m);
    first.destroy();
    await gateway.stop();
});

test('too many plain connections of one client are told so behind a PROXY header', async () => {
    const gateway = await startGateway({ listen: { trusted_proxies: ['127.0.0.1'], proxy_protocol: true, max_connections_per_address: 1 } });
    const held = net.connect({ port: gateway.port, host: '127.0.0.1' });
    held.write(`${v1('192.0.2.1')}GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await limited('an answer', new Promise((resolve) => { held.once('data', resolve); }));
    const heard = await say(gateway.port, v1('192.0.2.1'), get('/health/live'));
    assert.match(heard, /^HTTP\/1\.1 429 [^]*\r\nRetry-After: 5\r\n[^]*"code":"too_many_connections"/);
    assert.equal(await sample(gateway, 'gw_refused_total{reason="max_per_address"}'), 1);
    held.destroy();
    await gateway.stop();
});
