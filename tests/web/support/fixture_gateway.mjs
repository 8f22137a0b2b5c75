/*
 * A stand-in for the gateway, for tests of the page only: the shipped definitions, invented values, kpi.v1 over ws,
 * and the security headers of the real thing. It keeps no order between producers and resumes from nothing but the
 * newest position; the page cannot tell.
 *
 *     node fixture_gateway.mjs [--port 8099] [--scenario normal|stale|empty|broken] [--live]
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { historyOf, valuesOf } from './fixture_values.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const { WebSocketServer } = createRequire(path.join(root, 'web/package.json'))('ws');

export const CONTENT_SECURITY_POLICY = [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "connect-src 'self'",
    "font-src 'self'", "manifest-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'self'",
    "frame-ancestors 'none'", "require-trusted-types-for 'script'",
].join('; ');

const mediaTypes = {
    '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
    '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json',
};
const compareLabels = {
    same_day_prev_month: 'same day last month', prev_day: 'yesterday', '7_days_ago': '7 days ago', '30_days_ago': '30 days ago',
};
const stepSeconds = { s: 1, m: 60, h: 3600, d: 86400 };

const readJson = async (...names) => JSON.parse(await readFile(path.join(root, 'deploy/definitions', ...names), 'utf8'));

/** A KPI as the gateway serves it: a copy without what only the gateway needs. */
function served(kpi) {
    const history = kpi.history && {
        points: kpi.history.points, step_s: parseInt(kpi.history.step, 10) * stepSeconds[kpi.history.step.at(-1)],
    };
    const label = kpi.compare_label ?? compareLabels[kpi.compare] ?? kpi.compare?.replaceAll('_', ' ');
    return {
        good: 'none', ...kpi, history, compare_label: label, class: kpi.class ?? 'default', source: { kind: kpi.source.kind },
        target: kpi.target && { kind: kpi.target.kind, label: kpi.target.label },
    };
}

async function loadDefinitions() {
    const { classes } = await readJson('classes.json');
    const kpis = {};
    for (const file of await readdir(path.join(root, 'deploy/definitions/kpis'))) {
        for (const kpi of (await readJson('kpis', file)).kpis) {
            kpis[kpi.id] = served(kpi);
        }
    }
    const limits = Object.fromEntries(Object.entries(classes).map(([name, { never_ages: neverAges, fresh_s, stale_s, expired_s }]) =>
        [name, neverAges ? null : { fresh_s, stale_s, expired_s }]));
    const boards = [];
    for (const file of await readdir(path.join(root, 'deploy/definitions/boards'))) {
        const board = await readJson('boards', file);
        const shown = board.layout.flatMap(({ row }) => row.map(({ kpi }) => kpi));
        const ids = shown.flatMap((id) => [id, ...(kpis[id].with ?? [])]);
        boards.push({ ...board, kpis: Object.fromEntries(ids.map((id) => [id, kpis[id]])), classes: limits });
    }
    return boards.sort((a, b) => a.order - b.order);
}

async function loadFiles(folder, base = folder) {
    const files = new Map();
    for (const item of await readdir(folder, { withFileTypes: true })) {
        const name = path.join(folder, item.name);
        if (item.isDirectory()) {
            (await loadFiles(name, base)).forEach((body, file) => files.set(file, body));
        } else {
            const body = await readFile(name);
            files.set(`/${path.relative(base, name)}`, { body, zipped: gzipSync(body, { level: 9 }), type: mediaTypes[path.extname(name)] });
        }
    }
    return files;
}

export class FixtureGateway {
    /** sharesClock: whatever `now` says, viewers are told that their own clock is right. */
    constructor({ port = 0, scenario = 'normal', now = () => Date.now(), heartbeatMs = 1000, isDemo = true, sharesClock = false } = {}) {
        Object.assign(this, { port, scenario, now, heartbeatMs, isDemo, sharesClock, catalog: 'f1c7fe5e00000001', sources: {} });
        this.viewers = new Set();
        this.heard = []; // every message of every viewer, for assertions
        this.requests = []; // every address that was asked for, likewise
        this.isSilent = false;
    }

    async start() {
        this.definitions = await loadDefinitions();
        this.files = await loadFiles(path.join(root, 'web/dist'));
        this.files.set('/', this.files.get('/index.html'));
        this.boards = new Map(this.definitions.map((definition) => [definition.id, this.#fill(definition)]));
        this.server = http.createServer((request, response) => this.#answer(request, response));
        this.sockets = new WebSocketServer({ server: this.server, path: '/ws', handleProtocols: () => 'kpi.v1' });
        this.sockets.on('connection', (socket) => this.#join(socket));
        await new Promise((resolve) => { this.server.listen(this.port, '127.0.0.1', resolve); });
        this.port = this.server.address().port;
        this.beat = setInterval(() => this.#heartbeat(), this.heartbeatMs).unref();
        this.server.unref(); // a test that failed halfway must not keep its process
        return this;
    }

    async stop() {
        clearInterval(this.beat);
        this.viewers.forEach(({ socket }) => socket.terminate());
        this.server.closeAllConnections?.();
        await new Promise((resolve) => { this.server.close(resolve); });
    }

    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    #fill(definition) {
        const { fields, history } = valuesOf(definition, this.now(), this.scenario);
        let rev = 0;
        for (const value of Object.values(fields)) {
            value.rev = ++rev;
            if (this.isDemo) {
                value.demo = true;
            }
        }
        return { fields: new Map(Object.entries(fields)), history, offset: rev, epoch: '00000000000f1c7e', nonce: '0000f1c7' };
    }

    #mark(message) {
        return this.isDemo ? { ...message, demo: true } : message;
    }

    // ---- what a producer would do ----

    /** Change values and tell the viewers, as one update. Members of `set` without v keep the ones they had. */
    publish(boardId, set, del = []) {
        const board = this.boards.get(boardId);
        const from = board.offset;
        const sent = {};
        for (const [field, change] of Object.entries(set)) {
            sent[field] = { as_of: this.now(), ...board.fields.get(field), ...change, rev: ++board.offset };
            board.fields.set(field, sent[field]);
        }
        del.forEach((field) => board.fields.delete(field) && board.offset++);
        board.nonce = (parseInt(board.nonce, 16) + 1).toString(16).padStart(8, '0');
        this.tell(boardId, this.#mark({
            type: 'update', board: boardId, epoch: board.epoch, from, to: board.offset, nonce: board.nonce, set: sent, del, changed_at: this.now(),
        }));
    }

    tell(boardId, message) {
        this.viewers.forEach((viewer) => viewer.boards.has(boardId) && this.#send(viewer, message));
    }

    /** Say nothing more, and keep the connections open: a dead link that nobody closes. */
    silence(isSilent = true) {
        this.isSilent = isSilent;
    }

    closeAll(code) {
        this.viewers.forEach(({ socket }) => socket.close(code));
    }

    // ---- kpi.v1 ----

    #send(viewer, message) {
        if (!this.isSilent) {
            viewer.socket.send(JSON.stringify(message));
        }
    }

    #join(socket) {
        const viewer = { socket, boards: new Set() };
        this.viewers.add(viewer);
        socket.on('close', () => this.viewers.delete(viewer));
        socket.on('message', (text) => this.#hear(viewer, JSON.parse(text)));
    }

    #clockFor({ clock }) {
        return this.sharesClock ? clock ?? this.now() : this.now();
    }

    #hear(viewer, message) {
        this.heard.push(message);
        switch (message.type) {
        case 'hello':
            this.#send(viewer, this.#mark({
                type: 'welcome', protocol: 'kpi.v1', now: this.#clockFor(message), node: 'fixture', build: '0.0.0-fixture', catalog: this.catalog,
                heartbeat_ms: this.heartbeatMs, limits: { message_bytes: 16384, subscriptions: 16, messages_per_second: 50 }, clock: message.clock,
            }));
            break;
        case 'ping':
            this.#send(viewer, { type: 'pong', clock: message.clock ?? 0, now: this.#clockFor(message) });
            break;
        case 'subscribe':
            this.#subscribe(viewer, message);
            break;
        case 'unsubscribe':
            viewer.boards.delete(message.board);
            this.#send(viewer, { type: 'unsubscribed', board: message.board });
            break;
        case 'quality':
            this.#send(viewer, { type: 'subscribed', board: message.board, resume: 'whole', max_rate: 0, hidden: message.hidden === true });
            break;
        default:
            break;
        }
    }

    #subscribe(viewer, { board: id, position }) {
        const board = this.boards.get(id);
        if (!board) {
            this.#send(viewer, { type: 'error', code: 4200, name: 'unknown_board', message: 'There is no such board.', retry: false, board: id });
            return;
        }
        viewer.boards.add(id);
        const isWhole = position === `${board.epoch}.${board.offset}.${board.nonce}`;
        this.#send(viewer, { type: 'subscribed', board: id, resume: isWhole ? 'whole' : 'snapshot', max_rate: 0, hidden: false });
        if (!isWhole) {
            this.#send(viewer, this.#snapshot(id));
        }
    }

    #snapshot(id) {
        const { epoch, offset, nonce, fields, history } = this.boards.get(id);
        return this.#mark({
            type: 'snapshot', board: id, epoch, to: offset, nonce, set: Object.fromEntries(fields), history, now: this.now(),
        });
    }

    #heartbeat() {
        for (const viewer of this.viewers) {
            for (const id of viewer.boards) {
                const { epoch, offset, nonce } = this.boards.get(id);
                this.#send(viewer, this.#mark({
                    type: 'heartbeat', now: this.now(), catalog: this.catalog, board: id, epoch, to: offset, nonce, sources: this.sources,
                }));
            }
        }
    }

    // ---- HTTP ----

    #answer(request, response) {
        const { pathname } = new URL(request.url, 'http://fixture');
        this.requests.push(request.url);
        if (request.method === 'POST' && pathname === '/api/v1/data-flow/ingest') {
            this.#ingest(request, response);
            return;
        }
        const file = this.files.get(pathname);
        if (file) {
            this.#answerFile(request, response, file, pathname);
            return;
        }
        const body = this.#json(pathname) ?? this.#history(request.url);
        const status = body ? 200 : 404;
        const text = JSON.stringify(body ?? { title: 'There is no such resource.', status, code: 'not_found' });
        const isZipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
        response.writeHead(status, {
            'content-type': body ? 'application/json' : 'application/problem+json', 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff',
            ...(isZipped ? { 'content-encoding': 'gzip' } : {}),
        });
        response.end(isZipped ? gzipSync(text) : text);
    }

    /** One change of one KPI, always accepted. */
    async #ingest(request, response) {
        let text = '';
        for await (const chunk of request) {
            text += chunk;
        }
        const { field, value } = JSON.parse(text);
        const board = this.definitions.find(({ kpis }) => Object.hasOwn(kpis, field));
        this.publish(board.id, { [field]: { v: value, as_of: this.now() } });
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ accepted: 1, unchanged: 0, older: 0, refused: 0, durable: false, items: [{ field, result: 'accepted' }] }));
    }

    #answerFile(request, response, { body, zipped, type }, pathname) {
        const isZipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
        response.writeHead(200, {
            'content-type': type, 'content-security-policy': CONTENT_SECURITY_POLICY, 'x-content-type-options': 'nosniff',
            'referrer-policy': 'no-referrer', 'cross-origin-opener-policy': 'same-origin', vary: 'accept-encoding',
            'cache-control': pathname.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
            etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`,
            ...(isZipped ? { 'content-encoding': 'gzip' } : {}),
        });
        response.end(isZipped ? zipped : body);
    }

    /** As many points as the days asked for hold, invented like those of the snapshot. */
    #history(url) {
        const { pathname, searchParams } = new URL(url, 'http://fixture');
        const [, id] = /^\/api\/v1\/kpis\/([a-z0-9_.]+)\/history$/.exec(pathname) ?? [];
        const board = this.definitions.find(({ kpis }) => kpis[id]?.history);
        if (!board) {
            return null;
        }
        const kpi = board.kpis[id];
        const days = Number(searchParams.get('days'));
        const points = days ? Math.min(4000, Math.ceil((days * 86400) / kpi.history.step_s)) : kpi.history.points;
        const value = this.boards.get(board.id).fields.get(id);
        return {
            kpi: id, step_ms: kpi.history.step_s * 1000, points: value?.v === undefined ? [] : historyOf({ ...kpi, history: { ...kpi.history, points } }, value.v, value.as_of),
            ...(days ? { cache: { status: 'fresh', age_ms: 1200, tier: 'l1' } } : {}),
        };
    }

    #json(pathname) {
        if (pathname === '/api/v1/dashboards') {
            return this.#mark({
                catalog: this.catalog,
                dashboards: this.definitions.map(({ id, title, question, kpis }) => ({ id, title, question, kpis: Object.keys(kpis) })),
            });
        }
        const [, id, what] = /^\/api\/v1\/dashboards\/([a-z_-]+)(\/definition)?$/.exec(pathname) ?? [];
        const definition = this.definitions.find((board) => board.id === id);
        if (!definition) {
            return null;
        }
        return what ? this.#mark({ ...definition, catalog: this.catalog }) : this.#snapshot(id);
    }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const argument = (name) => process.argv[process.argv.indexOf(`--${name}`) + 1];
    const has = (name) => process.argv.includes(`--${name}`);
    const gateway = await new FixtureGateway({
        port: has('port') ? Number(argument('port')) : 8099, scenario: has('scenario') ? argument('scenario') : 'normal',
    }).start();
    gateway.server.ref();
    console.log(gateway.url);
    if (has('live')) {
        let amount = 1284300;
        setInterval(() => {
            amount += 137;
            gateway.publish('executive', { 'exec.revenue_mtd': { v: `${amount}.50`, as_of: Date.now() } });
        }, 700);
    }
}
