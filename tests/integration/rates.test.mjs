/* How often one address may come: requests, handshakes, connections and bytes of bodies, each refused with the time to wait. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { post, sendRaw } from '../support/http_client.mjs';
import { caOf, makeCertificate } from '../support/tls.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { limited, until } from '../support/waiting.mjs';

after(stopAll);

const from = (address) => ({ headers: { 'x-forwarded-for': address } });
const proxied = { trusted_proxies: ['127.0.0.1'], requests_per_s_per_address: 5 }; // bursts of 20

/** Asks until the answer is 429, and returns how often it was not, and that answer. */
async function askUntilRefused(gateway, address) {
    for (let count = 0; count < 200; count++) {
        const answer = await gateway.get('/health/live', from(address));
        if (answer.status === 429) {
            return { count, answer };
        }
        assert.equal(answer.status, 200);
    }
    throw new Error('never refused');
}

test('requests and handshakes of one address have a rate; others are not touched; waiting as told helps', async () => {
    const gateway = await startGateway({ listen: proxied });
    const { count, answer } = await askUntilRefused(gateway, '192.0.2.1');
    assert.ok(count >= 20, `${count}`);
    assert.equal(answer.json().code, 'rate_limited');
    const seconds = Number(answer.headers['retry-after']);
    assert.ok(seconds >= 1 && seconds <= 4, `${seconds}`);
    const refused = await gateway.metric('gw_refused_total', { reason: 'rate_per_address' });
    assert.ok(refused >= 1);
    assert.equal((await gateway.get('/health/live', from('192.0.2.2'))).status, 200);
    await askUntilRefused(gateway, '192.0.2.1');
    await assert.rejects(WsViewer.open(gateway.port, { wire: 'raw', ...from('192.0.2.1') }), /429/);
    await until('the rate to allow it again', async () => (await gateway.get('/health/live', from('192.0.2.1'))).status === 200, { within: 5000, every: 1000 });
    assert.ok(await gateway.metric('gw_rate_addresses') >= 2);
    await gateway.stop();
});

test('a large body counts as many requests', async () => {
    const gateway = await startGateway({ listen: proxied, ingest: { key: 'a-key-of-this-test' } });
    const large = () => post(gateway.port, `{"field":"test.count","value":1${' '.repeat(12 * 16384)}}`, {
        headers: { authorization: 'Bearer a-key-of-this-test', ...from('192.0.2.7').headers },
    });
    assert.equal((await large()).status, 200); // 13 of 20
    const refused = await large();
    assert.deepEqual([refused.status, refused.json().code], [429, 'rate_limited']);
    assert.equal((await gateway.get('/health/live', from('192.0.2.7'))).status, 200); // there is enough for a small one
    await gateway.stop();
});

test('connections have the same rate, before anything of them is read', async () => {
    const gateway = await startGateway({ listen: { requests_per_s_per_address: 5 } }); // 20 at once
    const count = 80;
    const answers = await Promise.all(Array.from({ length: count }, () => sendRaw(gateway.port, 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')));
    const away = answers.filter(({ status }) => status === 429);
    assert.ok(away.length >= count - 40, `${away.length}`);
    assert.ok(away.every(({ text, closed }) => closed && /\r\nRetry-After: \d+\r\n/.test(text)));
    const accepted = await until('the rate to allow a question', () => gateway.metric('gw_accepted_total'), { within: 10000, every: 1000 });
    assert.ok(accepted <= count - 20, `${accepted}`); // most were not let in at all
    assert.ok(await gateway.metric('gw_refused_total', { reason: 'rate_per_address' }) >= away.length);
    await gateway.stop();
});

test('behind a PROXY header the rate is the client\'s, and is looked at before a TLS handshake', async () => {
    const pair = makeCertificate();
    const gateway = await startGateway({
        tls: { certificate_file: pair.certificate, key_file: pair.key },
        listen: { trusted_proxies: ['127.0.0.1'], proxy_protocol: true, requests_per_s_per_address: 5 },
    });
    /** Does the gateway answer this client's hello? */
    const meets = (client) => limited('an answer or an end', new Promise((resolve) => {
        const socket = net.connect({ port: gateway.port, host: '127.0.0.1' });
        socket.on('error', () => resolve(false));
        socket.on('close', () => resolve(false));
        socket.write(`PROXY TCP4 ${client} 198.51.100.9 1 2\r\n`);
        tls.connect({ socket, servername: 'localhost', ca: caOf() }, () => { resolve(true); socket.destroy(); }).on('error', () => {});
    }));
    let met = 0;
    while (met < 200 && await meets('192.0.2.1')) {
        met++;
    }
    assert.ok(met >= 20 && met < 200, `${met}`);
    assert.ok(await meets('192.0.2.2'));
    await gateway.stop();
});
