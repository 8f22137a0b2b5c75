/*
 * Every provider, one table: what is genuine is taken once, and is not taken with one bit flipped in what proves it, with the
 * time of yesterday, or a second time. Signed here as the providers' documentation says. The count at the end is that of the
 * genuine ones.
 */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { request } from '../support/http_client.mjs';

const secret = 'a-secret-of-a-test-0123456789abcdef';
const standardKey = crypto.randomBytes(24);
const keys = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const MINUTE_MS = 60000;
const FLIPS = 12; // of one text, spread over it

const hmac = (text, { encoding = 'hex', digest = 'sha256', key = secret } = {}) => crypto.createHmac(digest, key).update(text).digest(encoding);
const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');
const urlOf = (name) => `https://kpi.example/hooks/${name}`;
const seconds = (ms) => Math.floor(ms / 1000);

let number = 0;
const oneObject = () => JSON.stringify({ id: `event-${++number}`, type: 'deal.won' });

function gongToken(body, expiryMs) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ exp: seconds(expiryMs), webhook_url: urlOf('gong'), body_sha256: sha256(body) })}`;
    return `${text}.${crypto.sign('sha256', Buffer.from(text), keys.privateKey).toString('base64url')}`;
}

/*
 * body(timeMs): a new one. sign(body, timeMs): its headers. proofs: the headers of which no bit may change, and the part of the
 * body, where that is not all of it. window_ms: how old what is signed may be; none where the provider signs no time: there only
 * memory stands against replay. changed: why a changed body is refused.
 */
const providers = {
    github: {
        sign: (body) => ({ 'x-hub-signature-256': `sha256=${hmac(body)}`, 'x-github-delivery': `d-${++number}`, 'x-github-event': 'push' }),
        proofs: ['x-hub-signature-256'], unsigned: 'x-github-delivery',
    },
    slack: {
        body: () => JSON.stringify({ type: 'event_callback', event_id: `Ev${++number}`, event: { type: 'message' } }),
        sign: (body, timeMs) => ({ 'x-slack-request-timestamp': seconds(timeMs), 'x-slack-signature': `v0=${hmac(`v0:${seconds(timeMs)}:${body}`)}` }),
        proofs: ['x-slack-signature', 'x-slack-request-timestamp'], window_ms: 5 * MINUTE_MS,
    },
    hubspot: {
        body: () => JSON.stringify([{ eventId: ++number, subscriptionId: 1, occurredAt: 1 }]),
        sign: (body, timeMs) => ({ 'x-hubspot-request-timestamp': timeMs, 'x-hubspot-signature-v3': hmac(`POST${urlOf('hubspot')}${body}${timeMs}`, { encoding: 'base64' }) }),
        proofs: ['x-hubspot-signature-v3', 'x-hubspot-request-timestamp'], window_ms: 5 * MINUTE_MS, options: { public_url: urlOf('hubspot') },
    },
    hubspot_v2: {
        body: () => JSON.stringify([{ eventId: ++number, subscriptionId: 2, occurredAt: 1 }]),
        sign: (body) => ({ 'x-hubspot-signature': sha256(`${secret}POST${urlOf('hubspot_v2')}${body}`) }),
        proofs: ['x-hubspot-signature'], options: { public_url: urlOf('hubspot_v2') },
    },
    hubspot_v1: {
        body: () => JSON.stringify([{ eventId: ++number, subscriptionId: 3, occurredAt: 1 }]),
        sign: (body) => ({ 'x-hubspot-signature': sha256(`${secret}${body}`) }),
        proofs: ['x-hubspot-signature'],
    },
    linear: {
        body: (timeMs) => JSON.stringify({ type: 'Issue', webhookTimestamp: timeMs, webhookId: `${++number}` }),
        sign: (body) => ({ 'linear-signature': hmac(body), 'linear-delivery': `l-${++number}` }),
        proofs: ['linear-signature'], unsigned: 'linear-delivery', window_ms: MINUTE_MS,
    },
    gong: {
        body: () => JSON.stringify({ callData: { metaData: { id: `${++number}` } } }),
        sign: (body, timeMs) => ({ authorization: `Bearer ${gongToken(body, timeMs + MINUTE_MS)}` }),
        proofs: ['authorization'], window_ms: MINUTE_MS, changed: 'wrong_claim', options: { public_url: urlOf('gong') },
        secret: keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    },
    asana: {
        body: () => JSON.stringify({ events: [{ action: 'added', resource: { gid: `${++number}` }, created_at: 'a', user: { gid: '1' } }] }),
        sign: (body) => ({ 'x-hook-signature': hmac(body) }),
        proofs: ['x-hook-signature'],
    },
    vercel: { sign: (body) => ({ 'x-vercel-signature': hmac(body, { digest: 'sha1' }) }), proofs: ['x-vercel-signature'] },
    figma: { // signs nothing: the passcode in the body is the proof
        body: () => JSON.stringify({ event_type: 'FILE_UPDATE', passcode: secret, webhook_id: `${++number}`, timestamp: 't', file_key: 'f' }),
        sign: () => ({}),
        proofs: [], proof: secret,
    },
    standard: {
        sign(body, timeMs) {
            const id = `msg_${++number}`;
            const text = `${id}.${seconds(timeMs)}.${body}`;
            return { 'webhook-id': id, 'webhook-timestamp': seconds(timeMs), 'webhook-signature': `v1,${hmac(text, { encoding: 'base64', key: standardKey })}` };
        },
        proofs: ['webhook-signature', 'webhook-timestamp', 'webhook-id'], window_ms: 5 * MINUTE_MS, secret: `whsec_${standardKey.toString('base64')}`,
    },
    hmac: {
        sign: (body, timeMs) => ({ 'x-relay-time': seconds(timeMs), 'x-relay-signature': `hmac ${hmac(`${seconds(timeMs)}.${body}`)}`, 'x-relay-id': `h-${++number}` }),
        proofs: ['x-relay-signature', 'x-relay-time'], unsigned: 'x-relay-id', window_ms: 5 * MINUTE_MS,
        options: { signature_header: 'X-Relay-Signature', signature_prefix: 'hmac ', time_header: 'X-Relay-Time', id_header: 'X-Relay-Id' },
    },
    bearer: { // signs nothing: the token is the proof, and the id what tells two deliveries apart
        sign: () => ({ authorization: `Bearer ${secret}`, 'x-relay-id': `b-${++number}` }),
        proofs: ['authorization'], proof: '', options: { id_header: 'X-Relay-Id' },
    },
};

let directory, gateway;
let genuine = 0;

before(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-forgeries-'));
    const hooks = Object.entries(providers).map(([name, provider]) => {
        const file = path.join(directory, name);
        fs.writeFileSync(file, provider.secret ?? secret, { mode: 0o600 });
        return { name, provider: name, secret_files: [file], fields: { 'test.count': 'count' }, ...provider.options };
    });
    gateway = await startGateway({ webhooks: { rate_per_s: 50, hooks } });
});
after(async () => {
    await stopAll();
    fs.rmSync(directory, { recursive: true, force: true });
});

const send = (name, body, headers) => request(gateway.port, `/hooks/${name}`,
    { method: 'POST', body, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers } });

/** Told nothing but that; and counted, for one of these reasons. */
async function refused(name, body, headers, reasons, what) {
    const before_ = await gateway.metrics();
    const answer = await send(name, body, headers);
    assert.deepEqual([answer.status, answer.json().code], [401, 'unauthenticated'], `${what}: ${answer.text}`);
    const now = await gateway.metrics();
    const rise = (reason) => now.get(`gw_webhooks_total{hook="${name}",result="${reason}"}`) - before_.get(`gw_webhooks_total{hook="${name}",result="${reason}"}`);
    assert.equal(reasons.reduce((sum, reason) => sum + rise(reason), 0), 1, `${what} was not counted as ${reasons}`);
}

async function taken(name, body, headers, result = 'accepted') {
    const answer = await send(name, body, headers);
    assert.deepEqual([answer.status, answer.json()], [200, { result }], answer.text);
    genuine += result === 'accepted' ? 1 : 0;
}

/** Copies of `text` with one bit flipped each, in letters spread over it: the lowest, which keeps a header a header. */
function flipped(text) {
    const count = Math.min(FLIPS, text.length);
    return Array.from({ length: count }, (_, i) => {
        const at = Math.floor((i * (text.length - 1)) / Math.max(1, count - 1));
        return `${text.slice(0, at)}${String.fromCharCode(text.charCodeAt(at) ^ 1)}${text.slice(at + 1)}`;
    });
}

const anyProof = ['wrong_signature', 'malformed_proof', 'malformed_time', 'wrong_algorithm', 'wrong_claim', 'too_old', 'too_new', 'missing_header'];

for (const [name, provider] of Object.entries(providers)) {
    const { sign, proofs, proof, window_ms: windowMs, unsigned, changed = 'wrong_signature' } = provider;
    const bodyAt = provider.body ?? oneObject;

    test(`${name}: one bit flipped in the body or in what proves it`, async () => {
        const now = Date.now();
        const body = bodyAt(now);
        const headers = sign(body, now);
        const part = proof ?? body;
        for (const other of part === '' ? [] : flipped(part)) {
            await refused(name, body.replace(part, () => other), headers, [changed], `body ${other}`);
        }
        for (const header of proofs) {
            for (const other of flipped(String(headers[header]))) {
                await refused(name, body, { ...headers, [header]: other }, anyProof, `${header}: ${other}`);
            }
        }
        await taken(name, body, headers);
    });

    if (windowMs !== undefined) {
        test(`${name}: signed too long ago`, async () => {
            for (const age of [windowMs + 2000, 86400000]) {
                const then = Date.now() - age;
                const body = bodyAt(then);
                await refused(name, body, sign(body, then), ['too_old'], `${age} ms ago`);
            }
            const recent = Date.now() - windowMs / 2;
            const body = bodyAt(recent);
            await taken(name, body, sign(body, recent));
        });
    }

    test(`${name}: replayed`, async () => {
        const now = Date.now();
        const body = bodyAt(now);
        const headers = sign(body, now);
        await taken(name, body, headers);
        await taken(name, body, headers, 'repeated');
        if (unsigned) {
            await taken(name, body, { ...headers, [unsigned]: 'another' }, 'repeated');
        }
    });
}

test('what was counted are the genuine ones', async () => {
    assert.ok(genuine >= 2 * Object.keys(providers).length);
    assert.equal((await gateway.snapshot('alpha')).set['test.count'].v, genuine);
    await gateway.stop();
});
