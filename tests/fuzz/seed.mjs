// Turns protocol/vectors/, the shipped definitions and the broken configurations into one corpus directory per
// fuzz harness.
// usage: node seed.mjs SOURCE_ROOT CORPUS_DIR [STAMP_FILE]
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, deflateRawSync } from 'node:zlib';

const [root, corpus, stamp] = process.argv.slice(2);
if (!root || !corpus) {
  console.error('usage: node seed.mjs SOURCE_ROOT CORPUS_DIR [STAMP_FILE]');
  process.exit(2);
}

const vectors = join(root, 'protocol', 'vectors');
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));
const cases = (name) => readJson(join(vectors, `${name}.json`)).cases;

function messages(kind) {
  const folder = join(vectors, kind);
  return readdirSync(folder).filter((file) => file.endsWith('.json')).sort().map((file) => {
    const vector = readJson(join(folder, file));
    return vector.hex === undefined ? vector.text : Buffer.from(vector.hex, 'hex');
  });
}

/** Every file below a folder whose name ends so. */
function files(folder, ending) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return files(path, ending);
    }
    return entry.name.endsWith(ending) ? [readFileSync(path)] : [];
  });
}

/** A KPI definition and changes for it, a line each. */
function definitions() {
  const folder = join(root, 'deploy', 'definitions', 'kpis');
  return readdirSync(folder).flatMap((file) => readJson(join(folder, file)).kpis).map((kpi) => [
    kpi,
    { field: kpi.id, value: 12.5, target: 10, base: 11, version: 3 },
    { field: kpi.id, num: 3, den: 4, as_of: '2026-11-21T10:00:00Z' },
    { field: `${kpi.id}#row`, value: Object.fromEntries((kpi.columns ?? kpi.parts ?? []).map(({ key }) => [key, '1'])) },
  ].map((line) => JSON.stringify(line)).join('\n'));
}

const head = (...lines) => `${lines.join('\r\n')}\r\n\r\n`;
const requests = [
  head('GET / HTTP/1.1', 'Host: a'),
  head('GET /api/v1/dashboards/executive/events?max_rate=2&position=%20 HTTP/1.1', 'Host: a', 'Last-Event-ID: x'),
  head('POST /api/v1/data-flow/ingest HTTP/1.1', 'Host: a', 'Content-Type: application/json', 'Content-Length: 12'),
  head('GET /ws HTTP/1.1', 'Host: a', 'Connection: keep-alive, Upgrade', 'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Protocol: kpi.v1'),
  head('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Content-Length: 5'),
  head('GET /../%2e%2e/etc HTTP/1.0', 'A: 1'),
];

/** As gateway/journal/redis_journal.lua writes them. */
const publications = [
  '1 P executive 6f1c0d9e2b7a4455 4 7 2671369228 2\n5 17 18 40\nexec.revenue_mtd#x{"as_of":1763719200123,"v":"1284300.50"}7 0 3 -\nk#a',
  '1 M executive 6f1c0d9e2b7a4455\n',
  '17 16 5 v{"as_of":1763719200123,"state":"invalid","reason":"\\u20ac","v":[1,-2.5e3,null]}',
  '3 3 9 d',
  '7-2671369228',
];

/** The first byte chooses the form and what is fed (fuzz_redis_payload.c). */
const payloads = [
  ...['41.5', '"1.50"', 'null', '{"value":41.5,"as_of":1763719200123,"version":7}', '{"num":3,"den":4}'].map((text) => `\0${text}`),
  ...['{"healthy":78,"attention":15,"at_risk":7}', '{"value":{"healthy":1},"version":2}'].map((text) => `\x02${text}`),
  ...['{"id":17,"title":"Churn","body":"b","type":"trend","at":"2026-11-21T10:00:00Z","nonsense":1}',
    '[{"key":"a","value":{"title":"t"},"as_of":1},{"key":"old","delete":true}]'].map((text) => `\x04${text}`),
  ...['{"state":"ok"}'].map((text) => `\x48${text}`),
  ...messages('change').map((text) => `\x01${text}`),
];

/** The first byte chooses the cap (fuzz_inflate.c); the payload is a message without the four bytes of its last block. */
const deflated = (text, options) => Buffer.concat([
  Buffer.from([1]), deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH, ...options }).subarray(0, -4),
]);

/** The first byte says in which pieces the rest is read (fuzz_ws_reader.c). */
const clientFrame = (first, payload, mask = [1, 2, 3, 4]) => {
  const bytes = Buffer.from(payload);
  const length = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255];
  length[0] |= 0x80;
  return Buffer.from([first, ...length, ...mask, ...bytes.map((byte, i) => byte ^ mask[i & 3])]);
};
const frames = [
  ...messages('viewer').map((text) => clientFrame(0x81, text)),
  Buffer.concat([clientFrame(0x01, '{"type":'), clientFrame(0x89, 'p'), clientFrame(0x80, '"hello"}')]),
  Buffer.concat([clientFrame(0xc2, 'x'.repeat(200)), clientFrame(0x8a, ''), clientFrame(0x88, Buffer.from([3, 232, 98]))]),
  Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]),
].map((bytes) => Buffer.concat([Buffer.from([6]), bytes]));

/** The first byte chooses the provider, then come header values, a line each; the rest is the body (fuzz_webhook.c). */
const hex = '0123456789abcdef'.repeat(4);
const token = ['{"alg":"RS256"}', '{"exp":1700000060,"webhook_url":"https://kpi.example/hooks/a","body_sha256":""}', 'x'.repeat(256)]
  .map((part) => Buffer.from(part).toString('base64url')).join('.');
const webhooks = [
  [`sha256=${hex}`, '72d3162e', 'push', '{"zen":"...","ref":"refs/heads/main"}'],
  [`v0=${hex}`, '1700000000', '{"type":"url_verification","challenge":"3eZbrw1a"}'],
  ['rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=', '1700000000000', '[{"eventId":1,"subscriptionId":2,"occurredAt":3,"subscriptionType":"a.b"}]'],
  [hex, '[{"eventId":1}]'],
  [hex, '{"eventId":1}'],
  [hex, '234d1a4e', '{"type":"Issue","webhookTimestamp":1700000000000}'],
  [`Bearer ${token}`, '{"callData":{"metaData":{"id":"1"}}}'],
  [hex, '{"events":[{"action":"changed","resource":{"gid":"1"},"user":null}]}'],
  [hex.slice(0, 40), '{"id":"evt_1","type":"deployment.succeeded"}'],
  ['{"passcode":"x","event_type":"PING","webhook_id":"1","timestamp":"t"}'],
  ['v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,x', '1614265330', 'msg_1', '{"type":"invoice.paid"}'],
  [hex, 'a=1'],
  ['Bearer token', '{"type":"a"}'],
].map((lines, provider) => `${String.fromCharCode(provider)}${lines.join('\n')}`);

/** Signed texts of the RFCs, each header with claims of ours, and the claims alone: they get a signature (fuzz_jwt.c). */
const tokenTests = join(root, 'tests', 'unit', 'access');
const signedTexts = readJson(join(tokenTests, 'jws_vectors.json')).cases;
const claims = [
  { sub: 'alice', iss: 'issuer', aud: ['a', 'b'], exp: 1800000100, nbf: 1799999000, iat: 1799999000.5, jti: 'one' },
  { sub: '', iss: 7, aud: {}, exp: 'soon' },
].map((object) => JSON.stringify(object));
const tokens = [
  ...signedTexts.map(({ token }) => token),
  ...['{"alg":"HS256","kid":"hs","typ":"JWT"}', '{"alg":"none"}', '{"alg":"RS256","kid":"../rs","crit":["b64"],"b64":false}']
    .map((header) => [header, claims[0], 'x'.repeat(32)].map((part) => Buffer.from(part).toString('base64url')).join('.')),
  ...claims,
];

/** A good header of either version, and one of each that ends early. */
const proxySignature = '\r\n\r\n\0\r\nQUIT\n';
const proxyHeaders = [
  'PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\nGET / HTTP/1.1\r\n',
  'PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n',
  'PROXY UNKNOWN and more\r\n',
  'PROXY TCP4 192.0.2.1',
  `${proxySignature}\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x09\xdc\x04\x01\xbb\x04\x00\x01\x00`,
  `${proxySignature}\x21\x21\x00\x24${'\x20\x01\x0d\xb8'.repeat(8)}\x00\x01\x00\x02`,
  `${proxySignature}\x20\x00\x00\x00`,
  `${proxySignature}\x21\x11\x00\x0c\xc0`,
].map((text) => Buffer.from(text, 'latin1'));

const seeds = {
  proxy_header: proxyHeaders,
  forwarded: [
    '203.0.113.66, 192.0.2.1:4711, [2001:db8::1]:80, unknown,10.0.0.1',
    'for=192.0.2.60;proto=http;by=203.0.113.43, for="[2001:db8:cafe::17]:4711"',
    'for="a\\"b, c";host="x;y', 'for=_hidden;;,', '2001:db8::/32',
  ],
  jwk: [
    ...['signing_keys.json', 'verifying_keys.json'].map((file) => readFileSync(join(tokenTests, file))),
    ...signedTexts.map(({ keys }) => JSON.stringify(keys[0])),
  ],
  jwt: tokens,
  webhook: webhooks,
  catalog: definitions(),
  config: [...files(join(root, 'deploy'), '.yaml'), ...files(join(root, 'tests', 'check_config', 'cases'), '.yaml')],
  redis_payload: payloads,
  redis_wire: publications,
  revocations: ['# left\n\njti:4e1c0fd2\nsub:alice@example.com  \r\nsub:bob before 1795258800\n', 'sub:a before 9\nsub:a\n', 'alice\n', 'jti:a'],
  request: requests,
  viewer_message: messages('viewer'),
  ws_reader: frames,
  change: messages('change'),
  clear_request: ['{"class":"executive_kpis"}', '{"key":"default:history:exec.revenue_mtd:90"}', '{"class":7,"key":null}'],
  position: cases('positions').map(({ text }) => text),
  decimal_time: [
    ...cases('times').map(({ text }) => text),
    ...cases('decimals').map(({ value }) => value).filter((value) => typeof value !== 'object').map(String),
  ],
  error_message: messages('viewer'),
  inflate: [
    ...messages('viewer').map((text) => deflated(text)),
    deflated(messages('viewer').join(' '), { strategy: constants.Z_FIXED }),
    deflated('x'.repeat(100), { level: 0 }),
    deflated('\0'.repeat(1 << 20)),
    Buffer.concat([Buffer.from([1]), deflateRawSync('{"type":"hello"}'), Buffer.from([0])]),
  ],
  masking: [
    'Maria Müller of ACME asked about pricing, maria@acme.com, +49 30 1234567',
    '{"as_of":5,"v":{"who":"Ada","n":1,"odd":[]},"reason":"Ada","level":"warn","state":"ok","ver":3}',
    '{"as_of":{"n":1},"v":"Ada"}',
    '田中さん called (555) 123-4567',
  ],
  deflate_offer: [
    'permessage-deflate; client_max_window_bits',
    'permessage-deflate; server_max_window_bits=12; client_max_window_bits="15", permessage-deflate',
    'foo; a="b\\"c,;", permessage-deflate ; server_no_context_takeover;client_no_context_takeover',
  ],
};

for (const [harness, inputs] of Object.entries(seeds)) {
  const folder = join(corpus, harness);
  mkdirSync(folder, { recursive: true });
  inputs.forEach((input, index) => {
    writeFileSync(join(folder, `seed-${String(index).padStart(3, '0')}`), input);
  });
}
if (stamp) {
  writeFileSync(stamp, '');
}
