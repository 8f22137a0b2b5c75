/*
 * The port speaks TLS: https, server-sent events and wss; who may come in, how sessions are resumed, and what becomes of
 * those who do not keep the rules. Clients are Node's own, with a certificate authority of the run.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { caOf, makeCertificate } from '../support/tls.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { limited, until } from '../support/waiting.mjs';
import { deflated, frameOf, handshakeOf } from '../support/websockets.mjs';

const TIMEOUT_S = 2;
const STEPS = 400; // of 30 KB: more than the kernel keeps for one who does not read
let pair;
let gateway;
let count = 0;

before(async () => {
    pair = makeCertificate();
    gateway = await startGateway({
        tls: { certificate_file: pair.certificate, key_file: pair.key },
        listen: { request_timeout_s: TIMEOUT_S },
        fanout: { flush_ms: 0 },
    });
});
after(async () => {
    await stopAll();
    await destroyServers();
});

const change = () => gateway.post({ field: 'test.level', value: ++count });
const failures = (reason) => gateway.metric('gw_tls_failures_total', { reason });

/** A TLS socket after its handshake, which must succeed. */
function connect(options = {}, { port = gateway.port } = {}) {
    return limited('a TLS handshake', new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: caOf(), ...options }, () => resolve(socket));
        socket.on('error', reject);
    }));
}

/** The error with which a TLS handshake fails; it must. */
function refusal(options) {
    return limited('a refused handshake', new Promise((resolve, reject) => {
        const socket = tls.connect({ port: gateway.port, host: '127.0.0.1', servername: 'localhost', ca: caOf(), ...options },
            () => reject(new Error('the handshake succeeded')));
        socket.on('error', resolve);
    }));
}

/** Everything the other side says until it closes. */
function heardOf(socket) {
    const pieces = [];
    socket.on('data', (piece) => pieces.push(piece));
    return limited('the end of an answer', new Promise((resolve) => {
        for (const end of ['end', 'close']) {
            socket.on(end, () => resolve(Buffer.concat(pieces)));
        }
    }));
}

const ended = (socket) => limited('the gateway to hang up', new Promise((resolve) => { socket.on('close', resolve); socket.resume(); }));

const oldestPossible = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' };

test('https answers as http does, with TLS 1.3 and 1.2 and ciphers that are good', async () => {
    for (const version of ['TLSv1.3', 'TLSv1.2']) {
        const socket = await connect({ maxVersion: version, ALPNProtocols: ['h2', 'http/1.1'] });
        assert.equal(socket.getProtocol(), version);
        assert.equal(socket.alpnProtocol, 'http/1.1');
        assert.match(socket.getCipher().standardName, /^TLS_(ECDHE_ECDSA_WITH_)?(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA(256|384)$/);
        const heard = heardOf(socket);
        socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
        const answers = (await heard).toString();
        assert.match(answers, /^HTTP\/1\.1 200 OK\r\n[^]*HTTP\/1\.1 404 Not Found\r\n/);
        assert.doesNotMatch(answers, /strict-transport-security/i);
    }
    const whole = await gateway.get('/api/v1/dashboards/alpha');
    assert.equal(whole.status, 200);
    assert.equal(whole.json().board, 'alpha');
});

test('a body in many records arrives, and so does an answer of many', async () => {
    const rows = Array.from({ length: 200 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: 'x'.repeat(1000) } }));
    const { items } = await gateway.post(rows);
    assert.equal(items.filter(({ result }) => result === 'accepted').length, 200, JSON.stringify(items.slice(0, 2)));
    const { bytes } = await gateway.get('/api/v1/dashboards/alpha');
    assert.ok(bytes.length > 200000, `${bytes.length}`);
});

test('server-sent events come over https', async () => {
    const viewer = await SseViewer.open(gateway.port, 'alpha');
    await viewer.next('snapshot');
    await change();
    assert.equal((await viewer.next('update')).set['test.level'].v, count);
    viewer.assertSound();
    viewer.cut();
});

for (const wire of ['ws', 'raw']) {
    test(`a viewer over wss gets the board and its updates (${wire})`, async () => {
        const viewer = await WsViewer.open(gateway.port, { wire });
        await viewer.watch('alpha');
        for (let i = 0; i < 20; i++) {
            await change();
        }
        await until('the newest value', () => viewer.copy('alpha').fields.get('test.level')?.v === count);
        viewer.say({ type: 'ping', clock: 5 });
        assert.equal((await viewer.next('pong')).clock, 5);
        viewer.assertSound();
        await viewer.close();
        assert.equal(viewer.code, 1000);
    });
}

test('messages arrive however they are cut: many in one record, fragments, bytes one by one', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
    await viewer.next('welcome');
    const ping = (clock, options) => frameOf(JSON.stringify({ type: 'ping', clock }), options);
    const many = Array.from({ length: 60 }, (_, i) => ping(i + 1));
    viewer.socket.bytes(Buffer.concat(many));
    await until('all answers', () => viewer.counts.pong === 60);
    assert.deepEqual(viewer.ofType('pong').map(({ clock }) => clock), many.map((_, i) => i + 1));

    const text = JSON.stringify({ type: 'ping', clock: 4711, padding: 'p'.repeat(9000) });
    const parts = text.match(/[^]{1,1000}/g);
    viewer.socket.bytes(Buffer.concat(parts.flatMap((part, i) => [
        frameOf(part, { opcode: i === 0 ? 1 : 0, fin: i === parts.length - 1 }),
        frameOf(`${i}`, { opcode: 9 }),
    ])));
    await viewer.next('pong', { matching: ({ clock }) => clock === 4711 });

    for (const byte of ping(4712)) {
        viewer.socket.bytes(Buffer.from([byte])); // a record each
    }
    await viewer.next('pong', { matching: ({ clock }) => clock === 4712 });
    viewer.assertSound();
    await viewer.close();
});

test('compression is agreed on over wss as well', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw', headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
    await viewer.next('welcome');
    assert.match(viewer.socket.extensions, /^permessage-deflate; /);
    viewer.socket.frame(deflated(JSON.stringify({ type: 'ping', clock: 9 })), { rsv: 4 });
    assert.equal((await viewer.next('pong')).clock, 9);
    await viewer.watch('alpha');
    await gateway.post(Array.from({ length: 20 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: `row ${i} of many that are alike` } })));
    await viewer.next('update');
    assert.ok(viewer.socket.deflated > 0);
    viewer.assertSound();
    await viewer.close();
});

test('frames right behind the handshake are heard', async () => {
    const socket = await connect();
    let heard = '';
    socket.on('data', (piece) => { heard += piece.toString('latin1'); });
    const hello = frameOf(JSON.stringify({ type: 'hello', client: 'test' }));
    socket.write(Buffer.concat([Buffer.from(handshakeOf(crypto.randomBytes(16).toString('base64'))), hello]));
    await until('the welcome', () => heard.includes('"type":"welcome"'));
    assert.match(heard, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    socket.destroy();
});

const breaches = [
    ['an unmasked frame', frameOf('{}', { masked: false }), 1002, 'protocol_error'],
    ['RSV1 that was not agreed on', frameOf('{}', { rsv: 4 }), 1002, 'protocol_error'],
    ['RSV2', frameOf('{}', { rsv: 2 }), 1002, 'protocol_error'],
    ['an unknown opcode', frameOf('{}', { opcode: 5 }), 1002, 'protocol_error'],
    ['a continuation of nothing', frameOf('{}', { opcode: 0 }), 1002, 'protocol_error'],
    ['a message inside a message', Buffer.concat([frameOf('{', { fin: false }), frameOf('{}')]), 1002, 'protocol_error'],
    ['a ping in fragments', frameOf('', { opcode: 9, fin: false }), 1002, 'protocol_error'],
    ['a ping that is too long', frameOf('p'.repeat(126), { opcode: 9 }), 1002, 'protocol_error'],
    ['a close code that may not be sent', frameOf(Buffer.from([3, 237]), { opcode: 8 }), 1002, 'protocol_error'],
    ['a binary message', frameOf('{}', { opcode: 2 }), 1003, 'unsupported_data'],
    ['a message that is too big', frameOf('x'.repeat(16385)), 1009, 'too_big'],
    ['too many fragments', Buffer.concat(Array.from({ length: 66 }, (_, i) => frameOf('', { opcode: i === 0 ? 1 : 0, fin: false }))), 1009, 'too_big'],
];
for (const [name, bytes, code, reason] of breaches) {
    test(`${name} ends a wss connection with ${code}`, async () => {
        const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
        await viewer.next('welcome');
        const earlier = await gateway.metric('gw_viewer_refused_total', { reason });
        viewer.socket.bytes(bytes);
        assert.equal(await viewer.closed(), code);
        assert.equal(viewer.reason, reason);
        assert.equal(await gateway.metric('gw_viewer_refused_total', { reason }) - earlier, 1);
        viewer.assertSound();
    });
}

test('a viewer that closes hears its own code, and no connection is left', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
    viewer.socket.close(4999);
    assert.equal(await viewer.closed(), 4999);
    await until('no viewers', async () => await gateway.metric('gw_connections', { kind: 'ws' }) === 0);
});

test('plain HTTP is answered in plain words', async () => {
    const earlier = await failures('http_request');
    const socket = net.connect(gateway.port, '127.0.0.1');
    const heard = heardOf(socket);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answer = (await limited('the answer', heard)).toString();
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.match(answer, /"code":"tls_required","detail":"this port speaks TLS: use https:\/\/ or wss:\/\/"/);
    assert.equal(await failures('http_request') - earlier, 1);
});

test('old versions and weak ciphers are refused, and each is counted for what it is', async () => {
    const [version, cipher] = [await failures('version'), await failures('no_shared_cipher')];
    assert.match((await refusal({ ...oldestPossible, maxVersion: 'TLSv1.1' })).message, /protocol version/i);
    await refusal({ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' });
    await refusal({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' });
    await refusal({ ALPNProtocols: ['h2'] });
    assert.equal(await failures('version') - version, 1);
    assert.equal(await failures('no_shared_cipher') - cipher, 2);
    assert.equal(await failures('no_shared_protocol'), 1);
});

test('a client that does not know our authority goes, and is counted', async () => {
    // Not Node, which judges after the handshake and then just hangs up.
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${gateway.port}`, '-verify_return_error'], { stdio: 'ignore' });
    await new Promise((resolve) => { client.on('exit', resolve); });
    await until('it to be counted', async () => await failures('certificate_refused') === 1);
});

test('garbage instead of a handshake is dropped, and a handshake that does not go on is cut in time', async () => {
    const garbage = net.connect(gateway.port, '127.0.0.1');
    garbage.on('error', () => {});
    garbage.write(crypto.randomBytes(512));
    await ended(garbage);
    const [late, began] = [await failures('timeout'), performance.now()];
    const silent = net.connect(gateway.port, '127.0.0.1');
    const halting = net.connect(gateway.port, '127.0.0.1');
    halting.write(Buffer.from('16030100ff010000fb0303', 'hex')); // the start of a ClientHello
    await Promise.all([ended(silent), ended(halting)]);
    const took = performance.now() - began;
    assert.ok(took >= TIMEOUT_S * 1000 - 200 && took < TIMEOUT_S * 1000 + 3000, `${took} ms`);
    assert.equal(await failures('timeout') - late, 2);
});

test('garbage behind the handshake ends that connection and no other', async () => {
    const [viewer, earlier] = [await WsViewer.open(gateway.port), await failures('bad_record')];
    await viewer.watch('alpha');
    const wire = net.connect(gateway.port, '127.0.0.1');
    const socket = tls.connect({ socket: wire, servername: 'localhost', ca: caOf() });
    await new Promise((resolve) => { socket.once('secureConnect', resolve); });
    socket.on('error', () => {});
    wire.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), crypto.randomBytes(64)]));
    await ended(socket);
    assert.equal(await failures('bad_record') - earlier, 1);
    await change();
    await viewer.next('update');
    viewer.assertSound();
    await viewer.close();
});

test('a session is resumed by its ticket, also after a reload', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const first = await connect({ maxVersion: version });
        let session = first.getSession();
        first.on('session', (fresh) => { session = fresh; }); // TLS 1.3 brings it later
        const heard = heardOf(first);
        first.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
        await heard;
        for (const step of ['at once', 'after a reload']) {
            const earlier = await gateway.metric('gw_tls_handshakes_total', { kind: 'resumed' });
            const again = await connect({ maxVersion: version, session });
            assert.equal(again.isSessionReused(), true, `${version} ${step}`);
            const answer = heardOf(again);
            again.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
            assert.match((await answer).toString(), /^HTTP\/1\.1 200 /);
            assert.ok(await gateway.metric('gw_tls_handshakes_total', { kind: 'resumed' }) > earlier);
            const reloads = gateway.logged('certificate reloaded').length;
            gateway.signal('SIGHUP');
            await until('the reload', () => gateway.logged('certificate reloaded').length > reloads);
        }
    }
});

test('a reload brings the new certificate to new connections; viewers stay; a bad pair changes nothing', async () => {
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('alpha');
    const nameNow = async () => {
        const socket = await connect();
        const { CN } = socket.getPeerCertificate().subject;
        socket.destroy();
        return CN;
    };
    const reload = async (message) => {
        const earlier = gateway.logged(message).length;
        gateway.signal('SIGHUP');
        await until(`"${message}"`, () => gateway.logged(message).length > earlier);
    };
    const [before1, other] = [fs.readFileSync(pair.certificate), makeCertificate('second')];
    assert.equal(await nameNow(), 'gateway');
    const oldKey = fs.readFileSync(pair.key);
    fs.copyFileSync(other.certificate, pair.certificate); // without its key
    await reload('certificate refused, the one before stays');
    assert.equal(await nameNow(), 'gateway');
    assert.equal(await gateway.metric('gw_tls_reloads_total', { result: 'refused' }), 1);
    fs.copyFileSync(other.key, pair.key);
    await reload('certificate reloaded');
    assert.equal(await nameNow(), 'second');
    assert.ok(await gateway.metric('gw_tls_certificate_left_seconds') > 28 * 86400);
    await change();
    await viewer.next('update');
    viewer.assertSound();
    await viewer.close();
    fs.writeFileSync(pair.certificate, before1);
    fs.writeFileSync(pair.key, oldKey);
    await reload('certificate reloaded');
});

test('the name that a client asks for chooses the certificate; files that change are read again without being asked', async () => {
    const [first, second] = [makeCertificate('first'), makeCertificate('second', { names: ['dash.example', '*.wall.example'] })];
    const named = await startGateway({
        tls: { certificate_file: first.certificate, key_file: first.key, certificates: [{ certificate_file: second.certificate, key_file: second.key }] },
    });
    const subjectFor = async (servername, options) => {
        const socket = await connect({ servername, checkServerIdentity: () => undefined, ...options }, { port: named.port });
        const { subject } = socket.getPeerCertificate();
        socket.destroy();
        return subject.CN;
    };
    const cases = [['localhost', 'first'], ['dash.example', 'second'], ['DASH.example', 'second'], ['a.wall.example', 'second'], ['a.b.wall.example', 'first'],
        ['wall.example', 'first'], ['elsewhere.example', 'first'], ['', 'first']];
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        for (const [servername, subject] of cases) {
            assert.equal(await subjectFor(servername, { maxVersion }), subject, `${servername} ${maxVersion}`);
        }
    }

    const reloads = (result) => named.metric('gw_tls_reloads_total', { result });
    const third = makeCertificate('third', { names: ['dash.example'], days: 3 });
    fs.copyFileSync(third.certificate, second.certificate); // whose key is another one
    await until('the mismatch to be refused', async () => await reloads('refused') === 1, { within: 20000, every: 100 });
    assert.equal(await subjectFor('dash.example'), 'second');
    fs.copyFileSync(third.key, second.key);
    await until('the new pair', async () => await reloads('ok') === 1, { within: 20000, every: 100 });
    assert.equal(await subjectFor('dash.example'), 'third');
    assert.equal(await subjectFor('localhost'), 'first');
    const left = await named.metric('gw_tls_certificate_left_seconds'); // of the one that is the first to go
    assert.ok(left > 2.9 * 86400 && left <= 3 * 86400, `${left}`);
    await named.stop();
});

test('a viewer over wss that does not read gets one merged update when it does', async () => {
    const slow = await WsViewer.open(gateway.port, { wire: 'raw', keeps: false });
    const brisk = await WsViewer.open(gateway.port, { wire: 'raw', keeps: false });
    const isThere = (viewer) => until('the board', () => viewer.counts.snapshot === 1);
    for (const viewer of [slow, brisk]) {
        viewer.subscribe('alpha');
        await isThere(viewer);
    }
    slow.pause();
    for (let step = 0; step < STEPS; step++) {
        await gateway.post(Array.from({ length: 30 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: `${step} `.padEnd(1000, 'abc ') } })));
    }
    const { to } = await gateway.snapshot('alpha');
    await brisk.reached('alpha', to);
    assert.ok(brisk.counts.update >= STEPS / 2, `${brisk.counts.update} updates`);
    slow.resume();
    await slow.reached('alpha', to);
    assert.deepEqual([...slow.copy('alpha').fields], [...brisk.copy('alpha').fields]);
    assert.ok(slow.counts.update < brisk.counts.update / 2, `${slow.counts.update} of ${brisk.counts.update}`);
    slow.assertSound();
    brisk.assertSound();
    await slow.close();
    await brisk.close();
});

test('of many pings that a viewer sends while it does not read, the newest is answered', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw', keeps: false });
    viewer.subscribe('alpha');
    await until('the board', () => viewer.counts.snapshot === 1);
    viewer.socket.frame('first', { opcode: 9 });
    await until('its answer', () => viewer.socket.pongs.length === 1);
    viewer.pause();
    for (let step = 0; step < STEPS; step++) {
        await gateway.post(Array.from({ length: 30 }, (_, i) => ({ field: `test.rows#${i}`, value: { text: `${step} `.padEnd(1000, 'ping ') } })));
    }
    for (let i = 1; i <= 500; i++) {
        viewer.socket.frame(`number ${i}`, { opcode: 9 });
    }
    const heard = () => gateway.metric('gw_viewer_messages_total', { type: 'ping' });
    const earlier = await heard();
    viewer.say({ type: 'ping' }); // behind all the others
    await until('the gateway to have read them', async () => await heard() > earlier);
    const { to } = await gateway.snapshot('alpha');
    viewer.resume();
    await viewer.reached('alpha', to);
    await until('the newest answer', () => viewer.socket.pongs.at(-1) === 'number 500');
    assert.equal(viewer.socket.pongs[0], 'first');
    assert.ok(viewer.socket.pongs.length < 100, `${viewer.socket.pongs.length} answers`);
    viewer.assertSound();
    await viewer.close();
});

test('of many pings in one record the newest is answered', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
    await viewer.next('welcome');
    viewer.socket.bytes(Buffer.concat(Array.from({ length: 1000 }, (_, i) => frameOf(`${i}`, { opcode: 9 })))); // one record: below 16 KiB
    viewer.say({ type: 'ping' });
    await viewer.next('pong'); // in a record behind it: all of the first was read
    assert.deepEqual(viewer.socket.pongs, ['999']);
    viewer.socket.frame('again', { opcode: 9 });
    await until('another answer', () => viewer.socket.pongs.length === 2);
    assert.equal(viewer.socket.pongs[1], 'again');
    viewer.assertSound();
    await viewer.close();
});

/** A way to the gateway that lets every byte through by itself. */
class Dribble extends Duplex {
    constructor() {
        super();
        this.wire = net.connect({ port: gateway.port, host: '127.0.0.1', noDelay: true });
        this.wire.on('data', (piece) => this.push(piece));
        this.wire.on('close', () => this.push(null));
        this.wire.on('error', () => {});
    }

    _read() {}

    _write(bytes, encoding, done) {
        const next = (at) => (at === bytes.length ? done() : this.wire.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1)));
        next(0);
    }

    _destroy(error, done) {
        this.wire.destroy();
        done(error);
    }
}

test('a handshake may come byte by byte', async () => {
    const wire = new Dribble();
    const socket = await connect({ socket: wire });
    const heard = heardOf(socket);
    socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.match((await heard).toString(), /^HTTP\/1\.1 200 OK\r\n/);
    socket.destroy();
    wire.destroy();
});

test('only TLS 1.3 when told so, and Strict-Transport-Security when asked for', async () => {
    const own = await startGateway({ tls: { certificate_file: pair.certificate, key_file: pair.key, min_version: '1.3', hsts_max_age_s: 300 } });
    await assert.rejects(connect({ maxVersion: 'TLSv1.2' }, own));
    const { headers } = await own.get('/health/live');
    assert.equal(headers['strict-transport-security'], 'max-age=300');
    await own.stop();
});

test('workers resume the sessions of each other', async () => {
    const redis = await startRedis();
    const own = await startGateway({
        workers: 3,
        journal: { kind: 'redis' },
        redis: { host: '127.0.0.1', port: redis.port },
        tls: { certificate_file: pair.certificate, key_file: pair.key },
    });
    /** The answer names its worker. */
    const ask = async (session) => {
        const socket = await connect({ maxVersion: 'TLSv1.2', session }, own);
        const heard = heardOf(socket);
        socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
        const answer = { session: socket.getSession(), isReused: socket.isSessionReused() };
        return { ...answer, node: (await heard).toString().match(/node="([^"]+)"/)[1] };
    };
    const first = await ask();
    assert.equal(first.isReused, false);
    const seen = new Set();
    for (let i = 0; i < 100 && seen.size < 3; i++) { // the kernel decides who answers
        const again = await ask(first.session);
        assert.equal(again.isReused, true, `${again.node} did not resume what ${first.node} began`);
        seen.add(again.node);
    }
    assert.equal(seen.size, 3);
    await own.stop();
});

test('--check-config tells what is wrong with certificate and key', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-tls-check-'));
    const definitions = gateway.definitions;
    const other = makeCertificate('other');
    const old = makeCertificate('old', { days: -1 });
    const open = makeCertificate('open');
    fs.chmodSync(open.key, 0o644);
    const check = (options) => {
        const file = path.join(directory, 'gateway.yaml');
        const lines = Object.entries(options).map(([key, value]) => `  ${key}: ${value}\n`).join('');
        fs.writeFileSync(file, `definitions:\n  dir: ${definitions}\ntls:\n${lines}`);
        const { status, stderr } = spawnSync(strictBinary, ['--config', file, '--check-config'], { encoding: 'utf8', env: { PATH: process.env.PATH } });
        return { status, said: stderr };
    };
    const cases = [
        [{ certificate_file: pair.certificate, key_file: pair.key }, 0, /^$/],
        [{ certificate_file: pair.certificate }, 2, /gateway\.yaml:4:\d+: tls\.certificate_file: needs tls\.key_file, which is not set/],
        [{ key_file: pair.key }, 2, /tls\.key_file: needs tls\.certificate_file, which is not set/],
        [{ certificate_file: 'gone.pem', key_file: pair.key }, 2, /gone\.pem cannot be read: No such file or directory/],
        [{ certificate_file: pair.certificate, key_file: 'gone.key' }, 2, /tls\.key_file: .*gone\.key cannot be read: No such file or directory/],
        [{ certificate_file: pair.certificate, key_file: other.key }, 2, /tls\.key_file: .*other\.key is not the key of the certificate/],
        [{ certificate_file: old.certificate, key_file: old.key }, 0, /tls\.certificate_file: .*old\.pem has expired: clients will refuse it/],
        [{ certificate_file: open.certificate, key_file: open.key }, 0, /tls\.key_file: .*open\.key can be read by everybody on this machine/],
        [{ min_version: 1.1 }, 2, /tls\.min_version: "1\.1" is not one of: 1\.2, 1\.3/],
    ];
    for (const [options, status, words] of cases) {
        const found = check(options);
        assert.equal(found.status, status, found.said);
        assert.match(found.said, words);
        assert.doesNotMatch(found.said, /PRIVATE KEY/);
    }
    fs.rmSync(directory, { recursive: true });
});

test('the gateway stops cleanly with viewers in every state', async () => {
    const viewer = await WsViewer.open(gateway.port, { wire: 'raw' });
    await viewer.watch('alpha');
    const stream = await SseViewer.open(gateway.port, 'alpha');
    const shaking = net.connect(gateway.port, '127.0.0.1');
    shaking.on('error', () => {});
    await new Promise((resolve) => { shaking.on('connect', resolve); });
    await gateway.stop();
    assert.equal(await viewer.closed(), 4400);
    stream.cut();
    shaking.destroy();
});
