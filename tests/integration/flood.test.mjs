/*
 * 10,000 things that no well-behaved peer sends: messages, frames, requests and handshakes, the vectors' bad ones and
 * mutations of good ones, while a viewer watches. The gateway lives, the viewer is served, memory stays, and the counters
 * say, reason by reason, what the peers were told. SOPHIA_GATEWAY_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { isSanitized, plainBinary, root, startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { sendRaw } from '../support/http_client.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { chance, percentile, seedOfRun, sleep, until } from '../support/waiting.mjs';
import { frameOf, handshakeOf, RawWebSocket } from '../support/websockets.mjs';

const MESSAGES = 6000, FRAMES = 1000, REQUESTS = 2500, HANDSHAKES = 500;
const PER_CONNECTION = 40; // with a ping behind each: under the burst that is allowed
const AT_ONCE = 16;
const SERVED_WITHIN_MS = 2000;
const GROWTH_BYTES = 6 << 20;

after(stopAll);

/** The code's name, from the table of PROTOCOL.md. */
const names = new Map([...fs.readFileSync(path.join(root, 'protocol/PROTOCOL.md'), 'utf8').matchAll(/^\| (\d{4}) \| (\w+) \|/gm)]
    .map(([, code, name]) => [Number(code), name]));

const vectors = ['viewer', 'gateway'].flatMap((kind) => {
    const directory = path.join(root, 'protocol/vectors', kind);
    return fs.readdirSync(directory).map((file) => JSON.parse(fs.readFileSync(path.join(directory, file), 'utf8')))
        .map(({ text, hex }) => (hex === undefined ? Buffer.from(text) : Buffer.from(hex, 'hex')));
});

const splinters = ['"', '{', '[', ',', '\\', '\0', '\xff', '1e999', 'null', '\r\n', ': '];

/** Some bytes changed, dropped, doubled or put in. */
function mutate(dice, bytes) {
    let result = Buffer.from(bytes);
    for (let i = dice.below(4); i >= 0; i--) {
        const at = dice.below(result.length + 1);
        const piece = result.subarray(at, at + 1 + dice.below(8));
        result = dice.pick([
            () => { result[at % Math.max(1, result.length)] = dice.below(256); return result; },
            () => { result[at % Math.max(1, result.length)] ^= 1 << dice.below(8); return result; },
            () => result.subarray(0, at),
            () => Buffer.concat([result.subarray(0, at), result.subarray(at + piece.length)]),
            () => Buffer.concat([result.subarray(0, at), piece, result.subarray(at)]),
            () => Buffer.concat([result.subarray(0, at), Buffer.from(dice.pick(splinters)), result.subarray(at)]),
        ])();
    }
    return result;
}

function badMessage(dice) {
    const bytes = dice.pick(vectors);
    return dice.next() < 0.6 ? mutate(dice, bytes) : bytes;
}

/** As one frame, or in fragments, or as the binary that it must not be. */
function framesOf(dice, bytes) {
    const roll = dice.next();
    if (roll < 0.02) {
        return frameOf(bytes, { opcode: 2 });
    }
    if (roll < 0.8 || bytes.length < 2) {
        return frameOf(bytes);
    }
    const cut = 1 + dice.below(bytes.length - 1);
    return Buffer.concat([frameOf(bytes.subarray(0, cut), { fin: false }), frameOf(bytes.subarray(cut), { opcode: 0 })]);
}

/** What the peers were told: error and close codes, statuses. */
class Tally {
    constructor() {
        this.errors = new Map();
        this.closes = new Map();
        this.statuses = new Map();
        this.sent = 0;
        this.silent = 0;
    }

    count(kind, what) {
        this[kind].set(what, (this[kind].get(what) ?? 0) + 1);
    }

    toString() {
        const say = (map) => [...map].sort(([a], [b]) => a - b).map(([code, count]) => `${code}: ${count}`).join(', ');
        return `${this.sent} (errors {${say(this.errors)}}, closes {${say(this.closes)}}, statuses {${say(this.statuses)}}, ` +
            `open ${this.silent})`;
    }
}

/** Runs `work` AT_ONCE times side by side until `count` things were sent. */
async function side(count, work) {
    let left = count;
    const take = () => left-- > 0;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (left > 0) {
            await work(take);
        }
    }));
}

async function greet(gateway, tally) {
    const socket = await RawWebSocket.open(gateway.port);
    const pongs = { last: 0, asked: 0 };
    socket.onText = (text) => {
        const message = JSON.parse(text);
        if (message.type === 'error') {
            tally.count('errors', message.code);
        } else if (message.type === 'pong' && message.clock > 1e9) {
            pongs.last = message.clock;
        }
    };
    socket.onClose = (code) => tally.count('closes', code);
    socket.text('{"type":"hello"}');
    /** Was everything before judged? Then a question is answered, or the connection is over. */
    pongs.judged = async (within) => {
        const clock = 1e9 + ++pongs.asked;
        socket.text(`{"type":"ping","clock":${clock}}`);
        await until('a pong or the end', () => pongs.last === clock || socket.isClosed, { within, every: 1 });
    };
    return { socket, pongs };
}

/** Messages on one connection until it is closed, each judged before the next: so the codes can be told apart. */
async function floodMessages(gateway, dice, tally, take) {
    const { socket, pongs } = await greet(gateway, tally);
    for (let i = 0; i < PER_CONNECTION && !socket.isClosed && take(); i++) {
        socket.bytes(framesOf(dice, badMessage(dice)));
        tally.sent++;
        await pongs.judged(10000);
    }
    await leave(socket);
}

/** Frames whose own bytes are broken: the gateway may wait for more of them for ever, so the peer hangs up. */
async function floodFrames(gateway, dice, tally, take) {
    if (!take()) {
        return;
    }
    const { socket, pongs } = await greet(gateway, tally);
    const bytes = framesOf(dice, dice.pick(vectors));
    socket.bytes(Buffer.concat([mutate(dice, bytes.subarray(0, 14)), bytes.subarray(14)]));
    tally.sent++;
    await pongs.judged(150).catch(() => { tally.silent++; });
    await leave(socket);
}

/** Closed by us: not an answer to anything. */
async function leave(socket) {
    if (!socket.isClosed) {
        const told = socket.onClose;
        socket.onClose = (code) => (code >= 1002 && code !== 1005 && code !== 1006 ? told(code) : undefined);
        socket.destroy();
        await until('the end', () => socket.isClosed, { every: 1 });
    }
}

const post = (body, length = Buffer.byteLength(body)) =>
    `POST /api/v1/data-flow/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;

const requests = [
    'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /api/v1/dashboards/alpha HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "x"\r\n\r\n',
    'GET /api/v1/dashboards/%00/events HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /api/v1/dashboards/nobody/events?max_rate=x HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /api/v1/kpis/test.count/history?points=-1 HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: y\r\n'.repeat(80)}\r\n`,
    'GET /api/v1/data-flow/ingest HTTP/1.1\r\nHost: localhost\r\n\r\n',
    post('{"field":"test.words","value":"x"}'), post('[{"field":"test.nothing","value":1}]'),
    post('{"field":'), post('[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]'), post('{}', 5000000),
    post('{}', '-1'), post('{"field":"test.level","value":1e308}'),
    post('{}').replace('application/json', 'text/xml'),
    'POST /api/v1/data-flow/ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET / HTTP/1.1\nHost: localhost\n\n', '\x16\x03\x01\x02\x00\x01\x00', '\0\0\0\0', '',
];

async function floodRequests(gateway, dice, tally, take) {
    if (!take()) {
        return;
    }
    const bytes = Buffer.from(dice.pick(requests), 'latin1');
    const { text } = await sendRaw(gateway.port, dice.next() < 0.6 ? mutate(dice, bytes) : bytes, { end: true, within: 5000 });
    tally.sent++;
    [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].forEach(([, status]) => tally.count('statuses', Number(status)));
}

async function floodHandshakes(gateway, dice, tally, take) {
    if (!take()) {
        return;
    }
    const bytes = mutate(dice, Buffer.from(handshakeOf('dGhlIHNhbXBsZSBub25jZQ==')));
    const { text } = await sendRaw(gateway.port, bytes, { end: true, within: 5000 });
    tally.sent++;
    [...text.matchAll(/HTTP\/1\.1 ([2-5]\d{2}) /g)].forEach(([, status]) => tally.count('statuses', Number(status)));
}

/** A viewer beside, and how long each of its values took. */
class Bystander {
    async join(gateway) {
        Object.assign(this, { gateway, delays: [], count: 0, isOver: false });
        this.viewer = await WsViewer.open(gateway.port, { keeps: false });
        this.viewer.subscribe('beta');
        this.watching = this.watch();
        this.watching.catch(() => {}); // told by leave()
    }

    async watch() {
        while (!this.isOver) {
            const began = performance.now();
            const value = ++this.count;
            await this.gateway.post({ field: 'test.other', value });
            await until(`value ${value}`, () => this.viewer.copy('beta').fields.get('test.other')?.v === value,
                { within: SERVED_WITHIN_MS, every: 1 });
            this.delays.push(performance.now() - began);
            await sleep(25);
        }
    }

    async leave() {
        this.isOver = true;
        await this.watching;
        this.viewer.assertSound();
        assert.ok(!this.viewer.isClosed);
        await this.viewer.close();
    }
}

/** Reason by reason: the counters rose by what the peers were told of their messages. */
function assertMessagesCounted(rise, tally) {
    for (const [code, count] of tally.errors) {
        assert.equal(rise(`gw_viewer_refused_total{reason="${names.get(code)}"}`), count, `errors ${code}`);
    }
    for (const [code, count] of tally.closes) {
        assert.ok(names.has(code), `${count} closes ${code}: not a code of PROTOCOL.md`);
        assert.equal(rise(`gw_viewer_closes_total{reason="${names.get(code)}"}`), count, `closes ${code}`);
    }
}

function assertRequestsCounted(rise, sum, tally) {
    const of = (low) => [...tally.statuses].filter(([status]) => Math.floor(status / 100) === low)
        .reduce((total, [, count]) => total + count, 0);
    const said = JSON.stringify([...tally.statuses]);
    assert.equal(rise('gw_http_requests_total{code="4xx"}'), of(4), said);
    assert.equal(rise('gw_http_requests_total{code="5xx"}'), of(5), said);
    /* Each has its reason: the listener's, a route's, or the ingest's own. */
    const reasons = sum('gw_refused_total') + sum('gw_ingest_requests_total') - rise('gw_ingest_requests_total{answer="judged"}');
    assert.ok(reasons >= of(4) + of(5), `${reasons} reasons for ${said}`);
}

/** Functions of what changed between two readings of the metrics: of one sample, and of all samples of a name. */
function between(before, later) {
    const rise = (name) => later.get(name) - before.get(name);
    const sum = (prefix) => [...later.keys()].filter((name) => name.startsWith(prefix)).reduce((total, name) => total + rise(name), 0);
    return { rise, sum };
}

async function flood(binary, context) {
    const seed = seedOfRun();
    const dice = chance(seed);
    context.diagnostic(`SOPHIA_GATEWAY_SEED=${seed}`);
    const gateway = await startGateway({ fanout: { flush_ms: 5 } }, { binary });
    const bystander = new Bystander();
    const ofMessages = new Tally(), ofFrames = new Tally(), ofRequests = new Tally();
    const isQuiet = () => until('all to be gone', async () => await gateway.metric('gw_connections', { kind: 'ws' }) === 1,
        { within: 15000, every: 50 });
    await bystander.join(gateway);
    await side(400, (take) => floodMessages(gateway, dice, new Tally(), take)); // warm: what is allocated once
    await side(100, (take) => floodRequests(gateway, dice, new Tally(), take));
    await isQuiet();
    const rss = gateway.rss();

    const first = await gateway.metrics();
    await side(MESSAGES, (take) => floodMessages(gateway, dice, ofMessages, take));
    await isQuiet();
    const second = await gateway.metrics();
    assertMessagesCounted(between(first, second).rise, ofMessages);
    await side(FRAMES, (take) => floodFrames(gateway, dice, ofFrames, take));
    await isQuiet();
    const third = await gateway.metrics();
    await side(REQUESTS, (take) => floodRequests(gateway, dice, ofRequests, take));
    await side(HANDSHAKES, (take) => floodHandshakes(gateway, dice, ofRequests, take));
    await isQuiet();
    const fourth = await gateway.metrics();
    const { rise, sum } = between(third, fourth);
    assertRequestsCounted(rise, sum, ofRequests);

    await bystander.leave();
    assert.equal(ofMessages.sent + ofFrames.sent + ofRequests.sent, 10000);
    assert.ok(bystander.delays.length > 20);
    assert.deepEqual(gateway.records().filter(({ level }) => level === 'error'), []);
    context.diagnostic(`messages: ${ofMessages}; broken frames: ${ofFrames}; requests: ${ofRequests}`);
    context.diagnostic(`the viewer beside: p99 ${percentile(bystander.delays, 0.99).toFixed(0)} ms of ${bystander.delays.length} values`);
    const growth = gateway.rss() - rss;
    if (!isSanitized(binary)) {
        context.diagnostic(`memory grew by ${(growth / 1024).toFixed(0)} KiB`);
        assert.ok(growth < GROWTH_BYTES, `memory grew by ${growth} bytes`);
    }
    await gateway.stop();
}

for (const binary of new Set([strictBinary, plainBinary])) {
    test(`10,000 malformed messages, frames, requests and handshakes (${isSanitized(binary) ? 'sanitized' : 'plain'})`, { timeout: 180000 },
        (context) => flood(binary, context));
}
