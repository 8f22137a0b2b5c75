/*
 * What the port speaks, asked with openssl s_client: every protocol, cipher suite, group and signature that the command knows, one by one,
 * against the list of those that are meant to be there. Hellos that the command will not send are made by hand.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { makeCertificate } from '../support/tls.mjs';
import { limited } from '../support/waiting.mjs';

/* The whole of what is meant. Order: the gateway's own. */
const CIPHERS = {
    ec: ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    rsa: ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-CHACHA20-POLY1305', 'ECDHE-RSA-AES256-GCM-SHA384'],
};
const SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_256_GCM_SHA384'];
const GROUPS = ['X25519', 'P-256', 'P-384'];
const NAMES = { ec: 'localhost', rsa: 'rsa.example' };

const environment = { ...process.env, OPENSSL_CONF: '/dev/null' };
let gateway;
before(async () => {
    const ec = makeCertificate('ec');
    const rsa = makeCertificate('rsa', { kind: ['rsa:2048'], names: ['rsa.example'] });
    gateway = await startGateway({
        tls: { certificate_file: ec.certificate, key_file: ec.key, certificates: [{ certificate_file: rsa.certificate, key_file: rsa.key }] },
    });
});
after(stopAll);

/** What s_client says; {protocol, cipher} are undefined when there is no connection. */
function sClient(words, { kind = 'ec', input = 'Q\n' } = {}) {
    return limited(`s_client ${words.join(' ')}`, new Promise((resolve) => {
        const all = ['s_client', '-connect', `127.0.0.1:${gateway.port}`, '-servername', NAMES[kind], ...words];
        const child = execFile('openssl', all, { env: environment, timeout: 10000 }, (error, stdout, stderr) => {
            const text = `${stdout}\n${stderr}`;
            const [, protocol, cipher] = text.match(/^New, (TLSv1\S*|SSLv3), Cipher is (\S+)$/m) ?? [];
            assert.doesNotMatch(text, /unknown option|Error with command|connect:errno/i, words.join(' '));
            resolve({ text, protocol: cipher === '(NONE)' ? undefined : protocol, cipher: cipher === '(NONE)' ? undefined : cipher });
        });
        child.stdin.on('error', () => {}); // it may have ended
        child.stdin.end(input);
    }), 15000);
}

const anything = ['-cipher', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'];

test('TLS 1.2 and 1.3, and nothing before', async () => {
    for (const [option, protocol] of [['-tls1_2', 'TLSv1.2'], ['-tls1_3', 'TLSv1.3']]) {
        assert.equal((await sClient([option])).protocol, protocol);
    }
    for (const option of ['-tls1', '-tls1_1']) {
        const { protocol, text } = await sClient([option, ...anything]);
        assert.equal(protocol, undefined, option);
        assert.match(text, /alert protocol version/, option);
    }
    assert.equal((await sClient([])).protocol, 'TLSv1.3');
});

for (const kind of ['ec', 'rsa']) {
    test(`cipher suites of TLS 1.2 with a key of kind ${kind}: those that are meant, of all there are`, async () => {
        const known = execFileSync('openssl', ['ciphers', '-s', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'], { encoding: 'utf8', env: environment }).trim().split(':');
        assert.ok(known.length > 60, `${known.length}`);
        const taken = [];
        for (const cipher of known) {
            const { cipher: agreed } = await sClient(['-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`], { kind });
            if (agreed) {
                taken.push(agreed);
            }
        }
        assert.deepEqual(taken.sort(), [...CIPHERS[kind]].sort());
        assert.equal((await sClient(['-tls1_2', ...anything], { kind })).cipher, CIPHERS[kind][0]); // ours comes first, whatever the client prefers
    });
}

test('cipher suites of TLS 1.3', async () => {
    const taken = [];
    for (const suite of [...SUITES, 'TLS_AES_128_CCM_SHA256', 'TLS_AES_128_CCM_8_SHA256']) {
        const { cipher } = await sClient(['-tls1_3', '-ciphersuites', suite]);
        if (cipher) {
            taken.push(cipher);
        }
    }
    assert.deepEqual(taken, SUITES);
});

test('groups', async () => {
    const known = [...GROUPS, 'P-521', 'X448', 'secp256k1', 'brainpoolP256r1', 'secp224r1', 'sect283k1'];
    for (const protocol of ['-tls1_2', '-tls1_3']) {
        const taken = [];
        for (const group of known) {
            // An ECDSA certificate needs its own curve to be offered in TLS 1.2: the RSA one has no such wishes.
            const { cipher, text } = await sClient([protocol, '-groups', group, '-cipher', 'ALL:@SECLEVEL=0'], { kind: 'rsa' });
            if (cipher) {
                taken.push(group);
                assert.match(text, new RegExp(`^Server Temp Key: .*${group.replace('P-', '')}`, 'm'));
            }
        }
        assert.deepEqual(taken, GROUPS, protocol);
    }
    for (const group of ['ffdhe2048', 'ffdhe3072']) {
        assert.equal((await sClient(['-tls1_3', '-groups', group])).cipher, undefined, group);
    }
});

test('no signature with SHA-1', async () => {
    for (const [kind, signature] of [['rsa', 'RSA+SHA1'], ['ec', 'ECDSA+SHA1']]) {
        const { cipher } = await sClient(['-tls1_2', '-sigalgs', signature, '-cipher', 'ALL:@SECLEVEL=0'], { kind });
        assert.equal(cipher, undefined, signature);
    }
});

test('no compression, no early data, and secure renegotiation is only said', async () => {
    const old = await sClient(['-tls1_2', '-comp']);
    assert.match(old.text, /^Compression: NONE$/m);
    assert.match(old.text, /^Secure Renegotiation IS supported$/m);
    const { text } = await sClient(['-tls1_3']);
    assert.match(text, /^Compression: NONE$/m);
    assert.doesNotMatch(text, /Max Early Data: [1-9]/);
});

test('renegotiation is refused', async () => {
    const { text, protocol } = await sClient(['-tls1_2'], { input: 'R\n' });
    assert.equal(protocol, 'TLSv1.2');
    assert.match(text, /^RENEGOTIATING$/m);
    assert.match(text, /no renegotiation|no_renegotiation/);
});

test('a client that was made to step down is told, and h2 is not spoken', async () => {
    assert.match((await sClient(['-tls1_2', '-fallback_scsv'])).text, /alert inappropriate fallback/);
    assert.match((await sClient(['-alpn', 'h2'])).text, /no application protocol/);
    assert.match((await sClient(['-alpn', 'h2,http/1.1'])).text, /^ALPN protocol: http\/1\.1$/m);
});

/* Hellos by hand. */

const be = (value, bytes) => Buffer.from(Array.from({ length: bytes }, (_, i) => (value >> (8 * (bytes - 1 - i))) & 255));
const sized = (body, bytes) => Buffer.concat([be(body.length, bytes), body]);

/** A ClientHello of this version, without extensions unless given. */
function helloOf(version, { ciphers = [0xc02b, 0xc02f, 0xc00a, 0x002f, 0x000a, 0x0005], compressions = [0], extensions } = {}) {
    const body = Buffer.concat([
        be(version, 2), Buffer.alloc(32, 7), Buffer.from([0]), sized(Buffer.concat(ciphers.map((cipher) => be(cipher, 2))), 2),
        sized(Buffer.from(compressions), 1), ...(extensions ? [sized(extensions, 2)] : []),
    ]);
    return Buffer.concat([Buffer.from([0x16]), be(version, 2), sized(Buffer.concat([Buffer.from([1]), sized(body, 3)]), 2)]);
}

/** What comes back: until the gateway closes, or says hello. */
async function answerTo(bytes) {
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1' });
    let heard = Buffer.alloc(0);
    socket.on('error', () => {}); // a reset is an end
    socket.write(bytes);
    await limited('an answer', new Promise((resolve) => {
        socket.on('data', (piece) => {
            heard = Buffer.concat([heard, piece]);
            if (heard[0] === 0x16 && heard.length > 48) {
                resolve();
            }
        });
        socket.on('close', resolve);
    }));
    socket.destroy();
    return heard;
}

const extension = (type, body) => Buffer.concat([be(type, 2), sized(body, 2)]);
const good = Buffer.concat([
    extension(10, sized(Buffer.from([0, 0x1d, 0, 0x17]), 2)), extension(11, Buffer.from([1, 0])), extension(13, sized(Buffer.from([4, 3, 8, 4, 4, 1]), 2)),
]);

test('SSL 3.0 and SSL 2.0 are refused', async () => {
    const answer = await answerTo(helloOf(0x0300, { extensions: good }));
    assert.deepEqual([answer[0], ...answer.subarray(5, 7)], [0x15, 2, 40], answer.toString('hex')); // fatal: SSL 3.0 has no word for "version"
    const ssl2 = Buffer.concat([Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]), Buffer.from('010080020080030080040080050080060040070'.padEnd(42, '0'), 'hex'), Buffer.alloc(16, 9)]);
    assert.notEqual((await answerTo(ssl2))[0], 0x16);
});

test('a client that offers compression gets none', async () => {
    const answer = await answerTo(helloOf(0x0303, { compressions: [1, 0], extensions: good }));
    assert.equal(answer[0], 0x16, answer.toString('hex'));
    const session = answer[43]; // length of the session id: the cipher and the compression method follow
    assert.equal(answer[44 + session + 2], 0);
    const only = await answerTo(helloOf(0x0303, { compressions: [1], extensions: good })); // the one that must always be there is not
    assert.equal(only[0], 0x15, only.toString('hex'));
});

test('after all of that the port still speaks', async () => {
    assert.equal((await gateway.get('/health/live')).status, 200);
    await gateway.stop();
});
