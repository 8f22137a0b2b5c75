/*
 * The door for signed tokens: what each kind of token gets at each door, and keys that come and go while the gateway runs.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { request } from '../support/http_client.mjs';
import { algorithms, base64url, Issuer, nowS } from '../support/tokens.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const issuer = new Issuer();
const stranger = new Issuer({ issuer: 'https://elsewhere.test' });
let gateway;

before(async () => {
    algorithms.forEach((algorithm) => issuer.add(algorithm.toLowerCase(), algorithm));
    issuer.add('retired', 'ES256');
    stranger.add('eddsa', 'EdDSA').add('theirs', 'EdDSA');
    issuer.write(algorithms.map((algorithm) => algorithm.toLowerCase()));
    gateway = await startGateway({ auth: issuer.options({ cookie: 'session' }) });
});
after(stopAll);

/** A token that is HMACed with something an outsider can know. */
function confuse(header, secret) {
    const text = `${base64url(header)}.${base64url(issuer.claims())}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** One member twice, as text: JSON.stringify() would not. */
const twice = (claims, member, value) => JSON.stringify(claims).replace(/\}$/, `,"${member}":${JSON.stringify(value)}}`);

/*
 * What is shown, the reason that is counted, and the code that is told. Codes are names: of the close, and of the problem.
 * hello: what a WebSocket says instead of closing, for what its decoder refuses before anybody looks at it.
 */
const good = algorithms.map((algorithm) =>
    ({ name: `valid, ${algorithm}`, token: () => issuer.mint({}, { kid: algorithm.toLowerCase() }), reason: 'ok' }));
const bad = [
    { name: 'expired', token: () => issuer.mint({ exp: nowS() - 1 }), reason: 'expired', code: 'token_expired' },
    { name: 'not yet valid', token: () => issuer.mint({ nbf: nowS() + 60 }), reason: 'not_yet_valid' },
    { name: 'issued in the future', token: () => issuer.mint({ iat: nowS() + 60 }), reason: 'issued_in_future' },
    { name: 'without an end', token: () => issuer.mint({ exp: undefined }), reason: 'missing_claim' },
    { name: 'without a subject', token: () => issuer.mint({ sub: undefined }), reason: 'missing_claim' },
    { name: 'for another audience', token: () => issuer.mint({ aud: ['mail', 'files'] }), reason: 'wrong_audience' },
    { name: 'for no audience', token: () => issuer.mint({ aud: undefined }), reason: 'missing_claim' },
    { name: 'of another issuer', token: () => issuer.mint({ iss: stranger.issuer }), reason: 'wrong_issuer' },
    { name: 'algorithm none', token: () => `${base64url({ alg: 'none', typ: 'JWT' })}.${base64url(issuer.claims())}.`, reason: 'algorithm_none' },
    { name: 'algorithm none, with a signature', token: () => issuer.mint({}, { header: { alg: 'None' } }), reason: 'algorithm_none' },
    { name: 'an algorithm that is not ours', token: () => issuer.mint({}, { header: { alg: 'HS512' } }), reason: 'unknown_algorithm' },
    {
        name: 'HS256 with the public RSA key as its secret',
        token: () => confuse({ alg: 'HS256', kid: 'rs256' }, issuer.keys.get('rs256').pem),
        reason: 'algorithm_mismatch',
    },
    { name: 'HS256 with the public key, and no kid', token: () => confuse({ alg: 'HS256' }, issuer.keys.get('rs256').pem), reason: 'bad_signature' },
    { name: 'PS256 by the key of RS256', token: () => issuer.mint({}, { kid: 'rs256', header: { alg: 'PS256' } }), reason: 'algorithm_mismatch' },
    { name: 'unknown kid', token: () => stranger.mint({}, { kid: 'theirs' }), reason: 'unknown_kid' },
    { name: 'retired kid', token: () => issuer.mint({}, { kid: 'retired' }), reason: 'unknown_kid' },
    { name: 'path-like kid', token: () => issuer.mint({}, { header: { kid: '../../../../dev/null' } }), reason: 'bad_kid' },
    { name: 'absolute path as kid', token: () => confuse({ alg: 'HS256', kid: '/dev/null' }, ''), reason: 'bad_kid' },
    { name: 'a kid of ours, signed by somebody else', token: () => stranger.mint({ iss: issuer.issuer }), reason: 'bad_signature' },
    { name: 'without its signature', token: () => issuer.mint().replace(/\.[^.]*$/, '.'), reason: 'bad_signature' },
    { name: 'without its last part', token: () => issuer.mint().replace(/\.[^.]*$/, ''), reason: 'malformed' },
    { name: 'cut in the middle', token: () => issuer.mint().slice(0, -23), reason: 'bad_signature' },
    { name: 'padded', token: () => `${issuer.mint()}=`, reason: 'bad_base64' },
    { name: 'duplicated claim', token: () => issuer.mint(twice(issuer.claims(), 'sub', 'root')), reason: 'duplicate_member' },
    { name: 'duplicated header', token: () => issuer.mint({}, { header: '{"alg":"HS256","kid":"hs256","alg":"none"}' }), reason: 'duplicate_member' },
    {
        name: 'claims that are not UTF-8',
        token: () => issuer.mint(Buffer.from(JSON.stringify(issuer.claims({ sub: 'zo\u00eb' })), 'latin1')),
        reason: 'not_utf8',
    },
    {
        name: 'a header that is not UTF-8',
        token: () => issuer.mint({}, { header: Buffer.from('{"alg":"HS256","kid":"hs256","x":"\u00eb"}', 'latin1') }),
        reason: 'not_utf8',
    },
    { name: 'duplicated audience', token: () => issuer.mint(twice(issuer.claims(), 'aud', 'mail')), reason: 'duplicate_member' },
    { name: 'a kid that is a list', token: () => issuer.mint({}, { header: { kid: ['hs256'] } }), reason: 'bad_kid' },
    { name: 'a key of its own in the header', token: () => stranger.mint({ iss: issuer.issuer }, { header: { jwk: stranger.keys.get('eddsa').jwk } }), reason: 'bad_signature' },
    { name: 'claims that are no object', token: () => issuer.mint('["alice"]'), reason: 'bad_json' },
    { name: 'crit', token: () => issuer.mint({}, { header: { crit: ['exp'] } }), reason: 'critical_header' },
    { name: 'b64=false', token: () => issuer.mint({}, { header: { b64: false, crit: ['b64'] } }), reason: 'unencoded_payload' },
    { name: 'another typ', token: () => issuer.mint({}, { header: { typ: 'dpop+jwt' } }), reason: 'wrong_type' },
    { name: 'nested too deep', token: () => issuer.mint({ x: [[[[[[[[1]]]]]]]] }), reason: 'too_deep' },
    { name: 'a header that is too big', token: () => issuer.mint({}, { header: { x: 'x'.repeat(2000) } }), reason: 'too_big' },
    { name: 'oversized', token: () => issuer.mint({ x: 'x'.repeat(6500) }), reason: 'too_big', hello: 'invalid_message' },
    { name: 'the text of something else', token: () => 'a-shared-key-of-somebody', reason: 'malformed' },
    { name: 'missing', token: () => undefined, code: 'token_required', hello: 'token_required', refresh: 'invalid_message' },
];
const codes = { token_required: 4100, token_invalid: 4101, token_expired: 4102, invalid_message: 4002 };
const codeOf = ({ reason, code }) => code ?? (reason === 'ok' ? 'ok' : 'token_invalid');

const board = '/api/v1/dashboards/alpha';
const bearer = (token) => (token === undefined ? {} : { authorization: `Bearer ${token}` });
const cookie = (token) => (token === undefined ? {} : { cookie: `theme=dark; session=${token}` });

/** What a viewer is told after hello or refresh: the name of the welcome, the error or the close. */
async function verdictOf(viewer, welcome) {
    await until('an answer', () => viewer.isClosed || viewer.ofType(welcome).length > 0 || viewer.ofType('error').length > 0);
    if (viewer.ofType(welcome).length > 0) {
        return 'ok';
    }
    const code = viewer.ofType('error')[0]?.code ?? viewer.code;
    return Object.keys(codes).find((name) => codes[name] === code) ?? String(code);
}

async function verdictOfRequest(path, headers) {
    const answer = await request(gateway.port, path, { headers });
    if (answer.status === 200) {
        return 'ok';
    }
    assert.equal(answer.status, 401);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    assert.equal(answer.headers['cache-control'], 'no-store');
    const challenge = answer.headers['www-authenticate'];
    assert.equal(challenge, answer.json().code === 'token_required' ? 'Bearer realm="viewer"' : 'Bearer realm="viewer", error="invalid_token"');
    return answer.json().code;
}

const doors = {
    connect: {
        expected: (row) => row.hello ?? codeOf(row),
        counts: (row) => !row.hello,
        async show(token) {
            const viewer = await WsViewer.open(gateway.port, { hello: { token } });
            const verdict = await verdictOf(viewer, 'welcome');
            viewer.cut();
            return verdict;
        },
    },
    refresh: {
        expected: (row) => row.refresh ?? row.hello ?? codeOf(row),
        counts: (row) => !row.hello,
        async show(token) {
            const viewer = await WsViewer.open(gateway.port, { hello: { token: issuer.mint() } });
            await viewer.next('welcome');
            viewer.say({ type: 'refresh', token });
            const verdict = await verdictOf(viewer, 'refreshed');
            viewer.cut();
            return verdict;
        },
    },
    SSE: {
        expected: codeOf,
        counts: ({ reason }) => reason !== undefined,
        async show(token) {
            const viewer = await SseViewer.open(gateway.port, 'alpha', { headers: bearer(token) });
            const { statusCode } = viewer.response;
            if (statusCode === 200) {
                viewer.cut();
                return 'ok';
            }
            assert.equal(statusCode, 401);
            await until('the end of the answer', () => viewer.isClosed);
            return JSON.parse(viewer.rest).code; // a problem has no line end, so nothing of it was taken for an event
        },
    },
    snapshot: { expected: codeOf, counts: ({ reason }) => reason !== undefined, show: (token) => verdictOfRequest(board, bearer(token)) },
    history: {
        expected: codeOf,
        counts: ({ reason }) => reason !== undefined,
        show: (token) => verdictOfRequest('/api/v1/kpis/test.level/history', bearer(token)),
    },
    cookie: {
        expected: (row) => (row.name === 'oversized' ? 'token_required' : codeOf(row)), // a cookie that long is not looked at
        counts: ({ name, reason }) => reason !== undefined && name !== 'oversized',
        show: (token) => verdictOfRequest(board, cookie(token)),
    },
};

const countOf = (reason) => gateway.metric('gw_auth_tokens_total', { result: reason });

for (const [door, { expected, counts, show }] of Object.entries(doors)) {
    test(`${door}: each token gets its documented code, and its reason is counted`, async () => {
        for (const row of [...good, ...bad]) {
            const before = row.reason ? await countOf(row.reason) : 0;
            const verdict = await show(row.token());
            assert.equal(verdict, expected(row), row.name);
            if (counts(row)) {
                const own = door === 'refresh' && row.reason === 'ok' ? 1 : 0; // the one it came in with
                assert.equal(await countOf(row.reason), before + 1 + own, `${row.name}: ${row.reason}`);
            }
        }
        await until('everybody to be gone', async () =>
            await gateway.metric('gw_viewers', { form: 'ws' }) + await gateway.metric('gw_viewers', { form: 'sse' }) === 0);
    });
}

test('a viewer with a token watches like any other; producers and operators need their own keys', async () => {
    const token = issuer.mint();
    const viewer = await WsViewer.open(gateway.port, { hello: { token } });
    await viewer.watch('alpha');
    await gateway.post({ field: 'test.level', value: 7 });
    assert.equal((await viewer.next('update')).set['test.level'].v, 7);
    await viewer.close();
    const stream = await SseViewer.open(gateway.port, 'alpha', { headers: bearer(token) });
    assert.equal((await stream.next('snapshot')).set['test.level'].v, 7);
    stream.cut();
    const clear = await request(gateway.port, '/api/v1/data-flow/cache/clear', {
        method: 'POST', body: '{}', headers: { 'content-type': 'application/json', 'content-length': 2, ...bearer(token) },
    });
    assert.equal(clear.status, 403);
    assert.equal((await gateway.get('/health?level=detailed')).status, 401);
    assert.equal((await gateway.get('/health?level=detailed', { headers: bearer(token) })).status, 200);
    viewer.assertSound();
});

test('a connection ends some time after its token: a warning, a grace period, 4102', async () => {
    const own = await startGateway({ auth: issuer.options({ expiry_warning_s: 4, expiry_grace_s: 1 }) });
    const exp = nowS() + 8;
    const token = issuer.mint({ exp });
    const viewer = await WsViewer.open(own.port, { hello: { token } });
    const stream = await SseViewer.open(own.port, 'alpha', { headers: bearer(token) });
    await viewer.watch('alpha');
    await until('both to be sessions', async () => await own.metric('gw_auth_sessions') === 2);
    for (const each of [viewer, stream]) {
        const warning = await each.next('expiring');
        assert.ok(warning.expires_in_ms <= 4000, `expires in ${warning.expires_in_ms} ms`);
        assert.equal(warning.closes_in_ms, warning.expires_in_ms + 1000);
        assert.equal(each.isClosed, false);
    }
    assert.equal(await viewer.closed(), 4102);
    assert.ok(Date.now() >= (exp + 1) * 1000, 'closed before the grace period was over');
    await until('the stream to end', () => stream.isClosed);
    assert.deepEqual([stream.ofType('error')[0].code, stream.ofType('error')[0].name], [4102, 'token_expired']);
    assert.equal(await own.metric('gw_auth_session_events_total', { event: 'warned' }), 2);
    assert.equal(await own.metric('gw_auth_session_events_total', { event: 'expired' }), 2);
    assert.equal(await own.metric('gw_viewer_closes_total', { reason: 'token_expired' }), 1);
    await until('the sessions to end', async () => await own.metric('gw_auth_sessions') === 0);
    viewer.assertSound();
    stream.assertSound();
    await own.stop();
});

test('a viewer that shows a later token in time stays, and misses nothing', async () => {
    const own = await startGateway({ auth: issuer.options({ expiry_warning_s: 5, expiry_grace_s: 0 }) });
    const exp = nowS() + 10; // half of it is left when the warning comes: a machine may be held up for a while
    const viewer = await WsViewer.open(own.port, { hello: { token: issuer.mint({ exp }) } });
    await viewer.watch('alpha');
    await viewer.next('expiring');
    viewer.say({ type: 'refresh', token: issuer.mint({ exp: exp + 600 }, { kid: 'eddsa' }) });
    await viewer.next('refreshed');
    await until('the first token to be over', () => Date.now() > (exp + 2) * 1000, { within: 20000 });
    await own.post({ field: 'test.level', value: 3 });
    assert.equal((await viewer.next('update')).set['test.level'].v, 3);
    assert.equal(viewer.ofType('expiring').length, 1);
    assert.equal(await own.metric('gw_auth_session_events_total', { event: 'renewed' }), 1);
    viewer.assertSound();
    await viewer.close();
    await own.stop();
});

test('a refresh never makes a connection somebody else\'s', async () => {
    const key = 'a-long-enough-viewer-key';
    const own = await startGateway({ auth: issuer.options(), viewer: { key } });
    const rows = [
        [issuer.mint(), issuer.mint({ sub: 'bob' }), 4101],
        [issuer.mint(), key, 4101],
        [key, issuer.mint(), 4101],
        [issuer.mint(), issuer.mint({ exp: nowS() - 1 }), 4102],
    ];
    for (const [first, second, code] of rows) {
        const viewer = await WsViewer.open(own.port, { hello: { token: first } });
        await viewer.next('welcome');
        viewer.say({ type: 'refresh', token: second });
        assert.equal(await viewer.closed(), code);
        assert.equal(viewer.ofType('refreshed').length, 0);
    }
    const keyed = await WsViewer.open(own.port, { hello: { token: key } });
    keyed.say({ type: 'refresh', token: key });
    await keyed.next('refreshed');
    await until('no session to be left: the shared key begins none', async () => await own.metric('gw_auth_sessions') === 0);
    await keyed.close();
    assert.equal(await own.metric('gw_auth_session_events_total', { event: 'other_subject' }), 1);
    await own.stop();
});

test('5,000 reconnects with tokens that are known cost no signature check', async () => {
    const own = await startGateway({ auth: issuer.options() });
    const tokens = Array.from({ length: 50 }, (_, i) => issuer.mint({ sub: `viewer ${i}` }, { kid: 'rs256' }));
    const cached = (result) => own.metric('gw_auth_token_cache_total', { result });
    const come = async (token) => {
        const viewer = await WsViewer.open(own.port, { hello: { token }, keeps: true });
        await viewer.next('welcome');
        viewer.cut();
    };
    await Promise.all(tokens.map(come));
    assert.deepEqual([await cached('miss'), await cached('hit')], [50, 0]);
    for (let round = 0; round < 100; round++) {
        await Promise.all(tokens.map(come));
    }
    assert.deepEqual([await cached('miss'), await cached('hit')], [50, 5000]);
    assert.equal(await own.metric('gw_auth_token_cache_entries'), 50);
    await own.stop();
});

test('keys come and go at SIGHUP; a broken file keeps those in force', async () => {
    const reload = async (message) => {
        const earlier = gateway.logged(message).length;
        gateway.signal('SIGHUP');
        await until(`the log to say "${message}"`, () => gateway.logged(message).length > earlier);
    };
    const names = [...issuer.keys.keys()].filter((kid) => kid !== 'retired');
    const ofNew = () => verdictOfRequest(board, bearer(issuer.mint({}, { kid: 'es256-next' })));
    const ofOld = () => verdictOfRequest(board, bearer(issuer.mint({}, { kid: 'es256' })));
    issuer.add('es256-next', 'ES256');
    assert.deepEqual([await ofOld(), await ofNew()], ['ok', 'token_invalid']);

    issuer.write([...names, 'es256-next']);
    await reload('token keys reloaded');
    assert.deepEqual([await ofOld(), await ofNew()], ['ok', 'ok'], 'both at once');

    fs.writeFileSync(issuer.file, '{"keys": [');
    await reload('token keys refused, the ones before stay');
    assert.equal(await gateway.metric('gw_auth_key_reloads_total', { result: 'refused' }), 1);
    assert.equal(await gateway.metric('gw_reload_failures_total'), 1);
    assert.deepEqual([await ofOld(), await ofNew()], ['ok', 'ok']);

    issuer.write([...names.filter((kid) => kid !== 'es256'), 'es256-next']);
    fs.utimesSync(issuer.file, nowS() - 5000, nowS() - 5000);
    await reload('token keys reloaded');
    assert.deepEqual([await ofOld(), await ofNew()], ['token_invalid', 'ok'], 'the old one is retired');
    const age = await gateway.metric('gw_auth_key_age_seconds');
    assert.ok(age >= 5000 && age < 5600, `key age ${age}`);
    issuer.write([...names, 'es256-next']);
    await reload('token keys reloaded');
});

test('a subject has so many viewers and no more, over WebSocket and event streams together', async () => {
    const own = await startGateway({ auth: issuer.options({ max_viewers_per_subject: 2 }) });
    const viewer = (sub) => WsViewer.open(own.port, { hello: { token: issuer.mint({ sub }) } });
    const as = (sub) => ({ headers: bearer(issuer.mint({ sub })) });
    const first = await viewer('alice');
    await first.next('welcome');
    const stream = await SseViewer.open(own.port, 'alpha', as('alice'));
    await stream.next('snapshot');
    const third = await viewer('alice');
    assert.equal(await third.closed(), 4300);
    const answer = await own.get('/api/v1/dashboards/alpha/events', as('alice'));
    assert.equal(answer.status, 503);
    assert.equal(await own.metric('gw_auth_session_events_total', { event: 'too_many' }), 2);
    assert.equal((await own.get('/api/v1/dashboards/alpha', as('alice'))).status, 200); // is nobody's connection
    const bob = await viewer('bob');
    await bob.next('welcome');
    first.cut();
    await until('the place to be free', async () => await own.metric('gw_auth_sessions') === 2);
    const again = await viewer('alice');
    await again.next('welcome');
    for (const each of [stream, bob, again]) {
        each.cut();
    }
    await own.stop();
});

test('the shared key opens beside tokens', async () => {
    const key = 'a-long-enough-viewer-key';
    const own = await startGateway({ auth: issuer.options(), viewer: { key } });
    const tokens = [key, issuer.mint(), 'wrong'];
    const answers = await Promise.all(tokens.map((token) => request(own.port, board, { headers: bearer(token) })));
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 401]);
    assert.equal((await request(own.port, board, { headers: cookie(issuer.mint()) })).status, 401, 'no cookie is named');
    await own.stop();
});

test('no token and no key ends up in the log', async () => {
    assert.ok(gateway.log.length > 0);
    const secrets = [...issuer.keys.values()].flatMap(({ jwk }) => [jwk.k, jwk.x, jwk.n].filter(Boolean));
    for (const secret of secrets) {
        assert.ok(!gateway.log.includes(secret), 'a key is in the log');
    }
    assert.doesNotMatch(gateway.log, /eyJ/);
    await gateway.stop();
});
