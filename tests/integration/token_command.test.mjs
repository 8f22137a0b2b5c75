/* `sophia-gateway token`: what it mints is good elsewhere too, and it judges like the gateway. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { request } from '../support/http_client.mjs';
import { algorithms, Issuer, nowS } from '../support/tokens.mjs';

const issuer = new Issuer();
algorithms.forEach((algorithm) => issuer.add(algorithm.toLowerCase(), algorithm));
issuer.write();
const place = (name, text) => {
    const file = path.join(issuer.directory, name);
    fs.writeFileSync(file, text, { mode: 0o600 });
    return file;
};
const config = place('gateway.yaml', `auth: ${JSON.stringify(issuer.options())}\n`);
const keys = algorithms.map((algorithm) => {
    const { jwk, privateJwk } = issuer.keys.get(algorithm.toLowerCase());
    return { kid: algorithm.toLowerCase(), alg: algorithm, ...(privateJwk ?? jwk) };
});
const privateKeys = place('private.json', JSON.stringify({ keys }));
after(stopAll);

const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SOPHIA_')));
const run = (words, input = '') => spawnSync(strictBinary, ['token', ...words], { input, encoding: 'utf8', env: environment });
const mint = (...words) => {
    const { status, stdout, stderr } = run(['mint', ...words]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    return stdout.trim();
};
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

test('a minted token of each algorithm is good for the gateway it was minted for', async () => {
    const gateway = await startGateway({ auth: issuer.options() });
    for (const algorithm of algorithms) {
        const token = mint('--config', config, '--key', privateKeys, '--kid', algorithm.toLowerCase(), '--sub', 'alice "the" first');
        assert.match(run(['check', '--config', config], `${token}\n`).stdout, /^ok: sub alice "the" first, exp \d+, (3600|3599|359\d) s from now\n$/);
        const answer = await request(gateway.port, '/api/v1/dashboards/alpha', { headers: { authorization: `Bearer ${token}` } });
        assert.equal(answer.status, 200, `${algorithm}: ${answer.text}`);
    }
    await gateway.stop();
});

test('a minted token says what was asked for, and verifies elsewhere', () => {
    const before = nowS();
    const token = mint('--key', privateKeys, '--kid', 'eddsa', '--sub', 'wall-7', '--iss', 'me', '--aud', 'you', '--ttl', '60');
    const { iat, exp, jti, ...rest } = claimsOf(token);
    assert.deepEqual(rest, { sub: 'wall-7', iss: 'me', aud: 'you' });
    assert.equal(exp, iat + 60);
    assert.ok(iat >= before && iat <= nowS());
    assert.match(jti, /^[0-9a-f]{16}$/);
    const withRoles = mint('--config', config, '--key', privateKeys, '--kid', 'eddsa', '--sub', 'a', '--role', 'sales_lead', '--role', 'finance');
    assert.deepEqual(claimsOf(withRoles).roles, ['sales_lead', 'finance']);
    assert.match(run(['check', '--config', config], withRoles).stdout, /^ok: sub a, .*, roles sales_lead finance\n$/);
    const byScope = place('scope.yaml', `auth: ${JSON.stringify({ ...issuer.options(), roles_claim: 'scope' })}\n`);
    const scoped = mint('--config', byScope, '--key', privateKeys, '--kid', 'eddsa', '--sub', 'a', '--role', 'finance');
    assert.deepEqual([claimsOf(scoped).scope, claimsOf(scoped).roles], [['finance'], undefined]);
    assert.match(run(['check', '--config', byScope], scoped).stdout, /, roles finance\n$/);
    const [head, body, signature] = token.split('.');
    const key = createPublicKey({ key: issuer.keys.get('eddsa').jwk, format: 'jwk' });
    assert.ok(verify(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url')));
});

test('a screen on a wall has a subject of its own, a role, and twelve hours', () => {
    const sign = ['--key', privateKeys, '--kid', 'eddsa'];
    const { iat, exp, jti, ...rest } = claimsOf(mint(...sign, '--display', 'lobby'));
    assert.deepEqual(rest, { sub: 'display:lobby', roles: ['display'] });
    assert.equal(exp - iat, 43200);
    assert.ok(jti);
    const other = claimsOf(mint(...sign, '--display', 'lobby', '--ttl', '60', '--role', 'board "x"', '--role', 'b'));
    assert.deepEqual([other.roles, other.exp - other.iat], [['board "x"', 'b'], 60]);
    const person = claimsOf(mint(...sign, '--sub', 'alice', '--role', 'exec'));
    assert.deepEqual([person.sub, person.roles, person.exp - person.iat], ['alice', ['exec'], 3600]);
});

test('a secret in the configuration signs without --key, a public key does not', () => {
    issuer.write(['hs256']);
    assert.equal(run(['check', '--config', config], mint('--config', config, '--sub', 'a')).status, 0);
    issuer.write(['es256']);
    const { status, stderr } = run(['mint', '--config', config, '--sub', 'a']);
    assert.equal(status, 2);
    assert.match(stderr, /keys\.json key 1: has no "d"/);
    issuer.write();
});

test('check says why a token is refused', () => {
    const rows = [
        [issuer.mint({ exp: nowS() - 5 }), 'expired'],
        [issuer.mint({ aud: 'mail' }), 'wrong_audience'],
        [`${issuer.mint()}x`, 'bad_signature'],
        ['', 'malformed'],
        ['x'.repeat(10000), 'too_big'],
    ];
    for (const [token, reason] of rows) {
        const { status, stdout } = run(['check', '--config', config], token);
        assert.deepEqual([status, stdout], [1, `refused: ${reason}\n`]);
    }
});

test('a wrong command line is told', () => {
    const rows = [
        [[], /^Usage: /],
        [['forge'], /^Usage: /],
        [['mint', '--config', config], /needs --sub/],
        [['mint', '--sub', 'a', '--key', privateKeys, '--kid', 'none'], /no key named "none"/],
        [['mint', '--sub', 'a', '--key', privateKeys, '--ttl', '0'], /--ttl is not 1 to/],
        [['mint', '--sub', 'a', '--key', privateKeys, '--ttl', '9x'], /--ttl is not 1 to/],
        [['mint', '--key', privateKeys, '--display', ''], /needs --sub or --display/],
        [['mint', '--key', privateKeys, '--display', 'x'.repeat(201)], /--display is longer/],
        [['mint', '--sub', 'a', '--key', privateKeys, '--role', ''], /--role is empty/],
        [['mint', '--sub', 'a', '--key', privateKeys, ...Array(17).fill(['--role', 'r']).flat()], /more than 16 times/],
        [['mint', '--sub', 'a', '--key', '/nowhere.json'], /nowhere\.json cannot be read/],
        [['mint', '--sub', 'a'], /give --key, or a --config/],
        [['check', '--config', config, 'a.b.c'], /read from standard input/],
        [['check', '--config', '/nowhere.yaml'], /nowhere\.yaml: cannot be read/],
        [['check'], /give --key, or a --config/],
    ];
    for (const [words, expected] of rows) {
        const { status, stdout, stderr } = run(words);
        assert.equal(status, 2, words.join(' '));
        assert.equal(stdout, '');
        assert.match(stderr, expected);
    }
    assert.equal(run(['--help']).status, 0);
});
