/*
 * Nobody sees what they may not: every role of the shipped definitions, on every board, by every way. What each may see is worked out here
 * from the definitions' files; values are planted that can be told apart, and looked for in all bytes that each role gets.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { Issuer } from '../support/tokens.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const shipped = path.join(root, 'deploy/definitions');
const readAll = (part) => fs.readdirSync(path.join(shipped, part)).sort()
    .map((name) => JSON.parse(fs.readFileSync(path.join(shipped, part, name), 'utf8')));

const kpis = new Map(readAll('kpis').flatMap((file) => file.kpis).map((kpi) => [kpi.id, kpi]));
const boards = readAll('boards').map((board) => {
    const own = [...board.layout.flatMap(({ row }) => row.map((tile) => tile.kpi)), ...(board.also ?? [])];
    return { id: board.id, roles: board.roles, kpis: [...new Set([...own, ...own.flatMap((id) => kpis.get(id).with ?? [])])] };
});
const roles = [...new Set([...boards, ...kpis.values()].flatMap((definition) => definition.roles))].filter((role) => role !== 'everybody');
const hasRows = ({ type }) => ['table', 'feed', 'series'].includes(type);

// ---- what each may see ----

const everyRole = [...roles, 'privacy'];
const personas = [[], ...roles.map((role) => [role]), ['executive', 'operator'], ['marketing', 'privacy'], ['operator', 'privacy'], ['privacy'], ['*']];

/** rights: of a gateway, which roles see business and personal content plain. */
function isPlain(privacy, own, rights) {
    const list = privacy === 'public' ? ['*'] : rights[privacy];
    return list.includes('*') || list.some((role) => own.includes(role) || role === 'everybody');
}
const covers = (definition, own) => definition.roles.some((role) => role === 'everybody' || own.includes(role));
const classesOf = (kpi) => (hasRows(kpi) ? kpi.columns.map(({ privacy }) => privacy ?? kpi.privacy) : [kpi.privacy]);

function isSeen(kpi, own, rights) {
    const isWhole = classesOf(kpi).every((privacy) => isPlain(privacy, own, rights));
    return covers(kpi, own) && (isWhole || hasRows(kpi) || (['gauge', 'counter'].includes(kpi.type) && kpi.unit === 'text'));
}

/** board -> the KPIs of it that are seen; boards that may not be watched are absent. */
function expected(own, rights) {
    return new Map(boards.filter((board) => covers(board, own))
        .map((board) => [board.id, board.kpis.filter((id) => isSeen(kpis.get(id), own, rights))]));
}

// ---- what is planted ----

let serial = 2000;

function numberFor({ unit, range, scale = 1 }) {
    serial++;
    const whole = ['integer', 'bytes'].includes(unit);
    const [low, high] = (range ?? [1e6, 9e6]).map((bound) => bound / scale);
    const value = Math.max(low, -9e6) + (Math.min(high, 9e6) - Math.max(low, -9e6)) * (0.3 + serial / 1e4);
    return whole ? Math.round(value) : Number(value.toPrecision(9));
}
const word = (tail) => `Zq${(++serial).toString(36)}${tail}X`;

function cellFor({ unit, decimals }) {
    switch (unit) {
    case 'text': return `${word('a')} met ${word('b')}`;
    case 'state': return word('s').toLowerCase();
    case 'severity': return 'info';
    case 'time': return 1763000000000 + ++serial;
    case 'money': return (700000 + ++serial).toFixed(decimals ?? 2);
    case 'integer': return 7300000 + ++serial;
    default: return Number((0.51 + ++serial / 1e5).toFixed(6));
    }
}

function valueFor(kpi) {
    if (hasRows(kpi)) {
        return Object.fromEntries(kpi.columns.map((column) => [column.key, cellFor(column)]));
    }
    if (kpi.type === 'mix') {
        return Object.fromEntries(kpi.parts.map(({ key }) => [key, numberFor(kpi)]));
    }
    if (kpi.type === 'state') {
        return Object.keys(kpi.states)[0];
    }
    return kpi.unit === 'text' ? word('t') : kpi.unit === 'money' ? (800000 + ++serial).toFixed(kpi.decimals ?? 2) : numberFor(kpi);
}

function changeFor(kpi) {
    const field = hasRows(kpi) ? `${kpi.id}#rk-${++serial}-q` : kpi.id;
    const points = kpi.history && kpi.unit !== 'money' ? { points: [1, 2].map((n) => [Date.now() - n * 86400000, numberFor(kpi)]) } : {};
    return { field, value: valueFor(kpi), ...points };
}

const planted = [...kpis.values()].filter(({ source, id }) => source.kind !== 'derived' && (source.kind !== 'internal' || id === 'ops.audit'));

// ---- who comes, and all bytes they get ----

const issuer = new Issuer().add('key', 'ES256').write();

class Witness {
    constructor(gateway, own, rights) {
        Object.assign(this, { gateway, own, rights, streams: new Map(), text: '', token: issuer.mint({ roles: own, sub: `s${own.join('-')}` }) });
        this.headers = { authorization: `Bearer ${this.token}` };
        this.expected = expected(own, rights);
    }

    hear(viewer, method) {
        const original = viewer[method].bind(viewer);
        viewer[method] = (text) => {
            this.text += text;
            return original(text);
        };
        return viewer;
    }

    async connect() {
        this.ws = this.hear(await WsViewer.open(this.gateway.port, { hello: { token: this.token } }), 'take');
        await Promise.all(boards.map(({ id }) => this.subscribe(id)));
    }

    async subscribe(board) {
        this.ws.subscribe(board);
        const stream = await SseViewer.open(this.gateway.port, board, { headers: this.headers });
        if (!this.expected.has(board)) {
            assert.equal(stream.response.statusCode, 403, `${this.own} ${board}`);
            stream.cut();
            await until(`4103 for ${board}`, () => this.ws.ofType('error').some((error) => error.board === board));
            const { code, name, retry } = this.ws.ofType('error').find((error) => error.board === board);
            assert.deepEqual([code, name, retry], [4103, 'forbidden', false]);
            return;
        }
        assert.equal(stream.response.statusCode, 200);
        this.streams.set(board, this.hear(stream, 'receive'));
        await Promise.all([this.ws, stream].map((viewer) => until(`${board} to come`, () => viewer.copy(board).offset !== undefined
            && viewer.ofType('snapshot').some((message) => message.board === board))));
    }

    async get(target) {
        const answer = await this.gateway.get(target, { headers: this.headers });
        this.text += answer.text;
        return answer;
    }

    /** Everything that is read rather than pushed. */
    async readAll() {
        const { dashboards } = (await this.get('/api/v1/dashboards')).json();
        assert.deepEqual(new Map(dashboards.map(({ id, kpis: list }) => [id, list.sort()])),
            new Map([...this.expected].map(([id, list]) => [id, [...list].sort()])), `list for ${this.own}`);
        for (const { id } of boards) {
            const isMine = this.expected.has(id);
            const answers = [await this.get(`/api/v1/dashboards/${id}`), await this.get(`/api/v1/dashboards/${id}/definition`)];
            answers.forEach(({ status, headers, json }) => {
                assert.equal(status, isMine ? 200 : 403, `${id} for ${this.own}`);
                assert.ok(isMine ? headers['cache-control'].includes('private') : json().code === 'forbidden');
            });
            if (isMine) {
                const [snapshot, definition] = answers.map((answer) => answer.json());
                this.checkFields(id, snapshot);
                assert.deepEqual(Object.keys(definition.kpis).sort(), [...this.expected.get(id)].sort(), `definition of ${id} for ${this.own}`);
                assert.equal(definition.view, snapshot.view);
                assert.equal(answers[1].headers.etag, `"${definition.catalog}-${definition.view}"`);
            }
        }
        const seen = new Set([...this.expected.values()].flat());
        for (const id of kpis.keys()) {
            assert.equal((await this.get(`/api/v1/kpis/${id}/history`)).status, seen.has(id) ? 200 : 404, `history of ${id} for ${this.own}`);
        }
        await this.get('/api/v1/data-flow/health');
    }

    /** Exactly the permitted KPIs are there, as far as they have values (`full`: what somebody holds who sees everything). */
    checkFields(board, { set, history }) {
        const found = new Set(Object.keys(set).map((field) => field.split('#')[0]));
        const mine = this.expected.get(board);
        const wanted = mine.filter((id) => planted.includes(kpis.get(id)) || (kpis.get(id).source.kind === 'derived' && found.has(id)));
        wanted.forEach((id) => assert.ok(found.has(id), `${id} of ${board} is missing for ${this.own}`));
        [...found, ...Object.keys(history)].forEach((id) => assert.ok(mine.includes(id), `${id} of ${board} came to ${this.own}`));
    }

    close() {
        this.ws.assertSound();
        this.ws.cut();
        this.streams.forEach((stream) => { stream.assertSound(); stream.cut(); });
    }
}

/** token -> [{kpi, privacy}]: where each planted text or number stands, as it is on the wire for somebody who sees all. */
function tokensOf(viewer) {
    const holders = new Map();
    const add = (token, kpi, privacy) => {
        if (String(token).length >= 6) {
            holders.set(String(token), [...(holders.get(String(token)) ?? []), { kpi, privacy }]);
        }
    };
    const addValue = (field, { v }) => {
        const kpi = kpis.get(field.split('#')[0]);
        if (kpi.source.kind === 'internal' && kpi.id !== 'ops.audit') {
            return;
        }
        if (field.includes('#')) {
            add(field.split('#')[1], kpi, 'public');
        }
        if (hasRows(kpi)) {
            kpi.columns.filter(({ key, unit }) => v?.[key] !== undefined && unit !== 'severity')
                .forEach(({ key, privacy }) => String(v[key]).split(' met ').forEach((token) => add(token, kpi, privacy ?? kpi.privacy)));
        } else if (v !== undefined && kpi.type !== 'state') {
            (typeof v === 'object' ? Object.values(v) : [v]).forEach((token) => add(token, kpi, kpi.privacy));
        }
    };
    for (const message of [...viewer.ofType('snapshot'), ...viewer.ofType('update')]) {
        Object.entries(message.set).forEach(([field, value]) => addValue(field, value));
        Object.entries(message.history ?? {}).forEach(([id, points]) => {
            if (kpis.get(id).source.kind !== 'internal') {
                points.forEach(([, v]) => add(v, kpis.get(id), kpis.get(id).privacy));
            }
        });
    }
    return holders;
}

function checkBytes(witness, holders) {
    const seen = new Set([...witness.expected.values()].flat());
    const counts = { present: 0, absent: 0 };
    const numbers = new Set(witness.text.match(/-?\d[\d.]*/g)); // whole ones: any number has others within
    const has = (token) => (/^-?[\d.]+$/.test(token) ? numbers.has(token) : witness.text.includes(token));
    for (const [token, where] of holders) {
        const isMine = where.some(({ kpi, privacy }) => seen.has(kpi.id) && isPlain(privacy, witness.own, witness.rights));
        assert.equal(has(token), isMine, `"${token}" of ${where.map(({ kpi }) => kpi.id)} and ${witness.own}`);
        counts[isMine ? 'present' : 'absent']++;
    }
    const watchesAll = seen.has('ops.freshness'); // which lists KPIs by name, for operators
    for (const id of kpis.keys()) {
        const at = witness.text.search(new RegExp(`"${id.replaceAll('.', '\\.')}["#]`));
        assert.ok(at < 0 || seen.has(id) || watchesAll, `the name ${id} came to ${witness.own}: ${witness.text.slice(at - 300, at + 60)}`);
    }
    return counts;
}

for (const rights of [{ personal: ['privacy'], business: ['*'] }, { personal: ['privacy'], business: ['executive', 'everybody-else'] }]) {
    test(`the role matrix, business plain for ${rights.business}: exactly what is permitted arrives, by every way`, { timeout: 120000 }, async (t) => {
        const auth = issuer.options({ personal_roles: rights.personal, business_roles: rights.business });
        const gateway = await startGateway({ auth, definitions: { dir: shipped }, limits: { fields_per_board: 2000 } });
        const post = async () => {
            const { items } = await gateway.post(planted.map(changeFor));
            assert.deepEqual(items.filter(({ result }) => result !== 'accepted'), []);
        };
        await post();
        const all = new Witness(gateway, everyRole, rights);
        const witnesses = personas.map((own) => new Witness(gateway, own, rights));
        await all.connect();
        await Promise.all(witnesses.map((witness) => witness.connect()));
        await post();
        await Promise.all(boards.map(({ id }) => until(`the update of ${id}`, () => all.ws.ofType('update').some(({ board, set }) =>
            board === id && Object.keys(set).some((field) => planted.includes(kpis.get(field.split('#')[0])))))));
        for (const witness of witnesses) {
            for (const board of witness.expected.keys()) {
                const { offset } = all.ws.copy(board);
                await Promise.all([witness.ws, witness.streams.get(board)].map((viewer) => viewer.reached(board, offset)));
            }
            await witness.readAll();
        }
        const holders = tokensOf(all.ws);
        const counts = witnesses.map((witness) => checkBytes(witness, holders));
        const sum = (name) => counts.reduce((total, count) => total + count[name], 0);
        t.diagnostic(`${boards.length} boards, ${kpis.size} KPIs, ${personas.length} personas, ${holders.size} planted tokens: ${sum('present')} seen, ${sum('absent')} not`);
        assert.ok(holders.size > 200 && sum('present') > 500 && sum('absent') > 500);
        assert.ok(await gateway.metric('gw_masked_values_total') > 0);
        assert.ok(await gateway.metric('gw_role_denials_total') > 0);
        [all, ...witnesses].forEach((witness) => witness.close());
        await gateway.stop();
    });
}

// ---- one encoding per view ----

const ROLE_KPIS = [
    ['t.open', { unit: 'integer', roles: ['everybody'], privacy: 'public' }],
    ['t.sales', { unit: 'integer', roles: ['sales'], privacy: 'business' }],
    ['t.note', { unit: 'text', roles: ['everybody'], privacy: 'personal', mask: 'prose' }],
];

/** A set of definitions of its own; who: board -> its roles. */
function writeSmall(directory, who, kpiList = ROLE_KPIS) {
    ['kpis', 'boards'].forEach((part) => fs.mkdirSync(path.join(directory, part), { recursive: true }));
    const limits = { fresh_s: 120, stale_s: 240, expired_s: 1200 };
    const write = (name, content) => fs.writeFileSync(path.join(directory, name), JSON.stringify(content));
    write('classes.json', { classes: { default: { about: 'All.', ...limits } } });
    write('kpis/t.json', { kpis: kpiList.map(([id, more]) =>
        ({ id, title: id, about: 'A test.', type: 'gauge', priority: 'critical', source: { kind: 'http' }, ...more })) });
    Object.entries(who).forEach(([id, list]) =>
        write(`boards/${id}.json`, { id, title: id, question: 'Well?', roles: list, layout: kpiList.map(([kpi]) => ({ row: [{ kpi, span: 12 }] })) }));
    return directory;
}

let small;
let directory;
before(async () => {
    directory = fs.mkdtempSync(path.join(issuer.directory, 'roles-'));
    small = await startGateway({ auth: issuer.options({ personal_roles: ['privacy'] }), definitions: { dir: writeSmall(directory, { main: ['everybody'], side: ['sales'] }) } });
    await small.post([{ field: 't.open', value: 1 }, { field: 't.sales', value: 2 }, { field: 't.note', value: 'ask Ada' }]);
});
after(stopAll);

const tokenOf = (own, more) => issuer.mint({ roles: own, ...more });

async function watcher(own, board = 'main', options = {}) {
    const viewer = await WsViewer.open(small.port, { hello: { token: tokenOf(own) } });
    await viewer.watch(board, options);
    return viewer;
}

test('who sees the same shares one encoding, whatever the roles; a masked value is masked once for all of them', async () => {
    const groups = [['a'], ['sales'], ['sales', 'b'], ['b', 'c'], ['privacy'], ['privacy', 'sales']]; // 4 views
    const viewers = await Promise.all(Array.from({ length: 36 }, (_, i) => watcher(groups[i % groups.length])));
    const figures = async () => [await small.metric('gw_encodes_total', { message: 'update' }), await small.metric('gw_masked_values_total')];
    const before = await figures();
    await small.post([{ field: 't.open', value: 3 }, { field: 't.sales', value: 4 }, { field: 't.note', value: 'ask Eve' }]);
    await Promise.all(viewers.map((viewer) => viewer.next('update')));
    const later = await figures();
    assert.deepEqual([later[0] - before[0], later[1] - before[1]], [4, 2]);
    const notes = viewers.map((viewer) => viewer.copy('main').fields.get('t.note').v);
    assert.deepEqual(notes, viewers.map((_, i) => (groups[i % groups.length].includes('privacy') ? 'ask Eve' : 'ask E*')));
    assert.equal(await small.metric('gw_views'), 4);
    viewers.forEach((viewer) => { viewer.assertSound(); viewer.cut(); });
});

test('an update in which nothing is to be seen says that the board moved on, and nothing else', async () => {
    const viewer = await watcher([]);
    await small.post({ field: 't.sales', value: 77001 });
    const { set, del } = await viewer.next('update');
    assert.deepEqual([set, del], [{}, []]);
    assert.ok(!JSON.stringify(viewer.messages).includes('77001'));
    viewer.assertSound();
    viewer.cut();
});

// ---- rights that change ----

async function timed(what, action, condition) {
    const from = performance.now();
    await action();
    await until(what, condition, { every: 2 });
    return performance.now() - from;
}

test('a refresh with fewer roles takes effect within a second: another snapshot, or the end of the subscription', async () => {
    const viewer = await watcher(['sales', 'privacy']);
    await viewer.watch('side');
    assert.equal(viewer.ofType('snapshot').at(-1).set['t.sales'].v, 77001);
    assert.equal(viewer.ofType('snapshot').at(-1).set['t.note'].v, 'ask Eve');
    const took = await timed('the narrower view', () => viewer.say({ type: 'refresh', token: tokenOf([]) }),
        () => viewer.ofType('error').length === 1 && viewer.ofType('snapshot').length === 3);
    assert.ok(took < 1000, `${took} ms`);
    const { code, board } = viewer.ofType('error')[0];
    assert.deepEqual([code, board], [4103, 'side']);
    assert.deepEqual(Object.keys(viewer.ofType('snapshot').at(-1).set).sort(), ['t.note', 't.open']);
    assert.match(viewer.ofType('snapshot').at(-1).set['t.note'].v, /^ask [A-Z]\*$/);
    const views = viewer.ofType('snapshot').filter((message) => message.board === 'main').map(({ view }) => view);
    assert.notEqual(views[0], views[1]);

    const heard = viewer.messages.length;
    await small.post([{ field: 't.sales', value: 88001 }, { field: 't.note', value: 'ask Grace' }]);
    await viewer.next('update', { matching: ({ set }) => set['t.note'] });
    const since = JSON.stringify(viewer.messages.slice(heard));
    assert.ok(!since.includes('88001') && !since.includes('Grace') && !since.includes('"side"'), since);

    viewer.say({ type: 'refresh', token: tokenOf(['sales']) });
    await until('the wider view', () => viewer.ofType('snapshot').length === 4);
    assert.equal(viewer.ofType('snapshot').at(-1).set['t.sales'].v, 88001);
    viewer.say({ type: 'refresh', token: tokenOf(['sales', 'b']) }); // sees the same: nothing but the answer
    await until('the answer', () => viewer.ofType('refreshed').length === 3);
    viewer.say({ type: 'ping' });
    await viewer.next('pong');
    assert.equal(viewer.ofType('snapshot').length, 4);
    viewer.assertSound();
    viewer.cut();
});

test('a reload of definitions takes effect within a second on who watches by WebSocket and by event stream', async () => {
    const viewer = await watcher(['sales']);
    await viewer.watch('side');
    const headers = { authorization: `Bearer ${tokenOf(['sales'])}` };
    const [main, side] = await Promise.all(['main', 'side'].map((board) => SseViewer.open(small.port, board, { headers })));
    await Promise.all([main, side].map((stream) => stream.next('snapshot')));
    const lead = ROLE_KPIS.map(([id, more]) => [id, id === 't.sales' ? { ...more, roles: ['lead'] } : more]);
    const before = await small.metric('gw_views_rejudged_total', { outcome: 'ended' });
    writeSmall(directory, { main: ['everybody'], side: ['lead'] }, lead);
    const took = await timed('both to lose it', () => small.signal('SIGHUP'), () =>
        viewer.ofType('snapshot').length === 3 && viewer.ofType('error').length === 1 && main.ofType('snapshot').length === 2 && side.isClosed);
    assert.ok(took < 1000, `${took} ms`);
    assert.equal(viewer.ofType('error')[0].code, 4103);
    assert.equal(side.ofType('error')[0].code, 4103);
    for (const one of [viewer, main]) {
        assert.equal(one.ofType('snapshot').at(-1).set['t.sales'], undefined);
        one.assertSound();
        one.cut();
    }
    assert.equal((await small.get('/api/v1/dashboards/side', { headers })).status, 403);
    assert.equal((await small.get('/api/v1/kpis/t.sales/history', { headers })).status, 404);
    assert.equal(await small.metric('gw_views_rejudged_total', { outcome: 'ended' }), before + 2);

    writeSmall(directory, { main: ['everybody'], side: ['sales'] });
    const loads = small.logged('definitions reloaded').length;
    small.signal('SIGHUP');
    await until('the first definitions again', () => small.logged('definitions reloaded').length > loads);
});

test('a position resumes under its own view only', async () => {
    const positionOf = (viewer) => { const { epoch, to, nonce } = viewer.ofType('snapshot')[0]; return `${epoch}.${to}.${nonce}`; };
    const wide = await watcher(['sales']);
    const narrow = await watcher([]);
    const [of, ofNarrow] = [wide, narrow].map(positionOf);
    assert.equal(of.split('.')[1], ofNarrow.split('.')[1]); // the same offset
    assert.notEqual(of, ofNarrow);
    await small.post({ field: 't.sales', value: 99001 });
    const outcomes = [];
    for (const [own, position] of [[['sales'], of], [['sales', 'b'], of], [['sales'], ofNarrow], [[], of], [[], ofNarrow]]) {
        const viewer = await WsViewer.open(small.port, { hello: { token: tokenOf(own) } });
        viewer.subscribe('main', { position });
        outcomes.push((await viewer.next('subscribed')).resume);
        viewer.cut();
    }
    assert.deepEqual(outcomes, ['update', 'update', 'snapshot', 'snapshot', 'update']);
    const headers = { authorization: `Bearer ${tokenOf([])}` };
    const stream = await SseViewer.open(small.port, 'main', { headers, lastEventId: of });
    assert.equal((await stream.next('snapshot')).set['t.sales'], undefined);
    const { headers: answer } = await small.get('/api/v1/dashboards/main', { headers: { authorization: `Bearer ${tokenOf(['sales'])}` } });
    assert.equal((await small.get('/api/v1/dashboards/main', { headers: { ...headers, 'if-none-match': answer.etag } })).status, 200);
    [wide, narrow, stream].forEach((viewer) => { viewer.assertSound(); viewer.cut(); });
});

test('roles come as a list or as one text; a claim of another form is no good token', async () => {
    const statusOf = async (claim) => (await small.get('/api/v1/dashboards/side', { headers: { authorization: `Bearer ${issuer.mint({ roles: claim })}` } })).status;
    const rows = [[['sales'], 200], ['sales', 200], ['x sales y', 200], [[], 403], ['', 403], [undefined, 403], [['Sales'], 403], [['*'], 403],
        [['x sales'], 401], [{ sales: true }, 401], [[1], 401], [7, 401], [Array(65).fill('r'), 401], ['r'.repeat(1025), 401], [['sal\nes'], 401]];
    for (const [claim, status] of rows) {
        assert.equal(await statusOf(claim), status, JSON.stringify([claim]).slice(0, 60));
    }
});

test('a board has at most 64 views at one time; who would need one more is refused, and is let in when another leaves', async () => {
    const many = Array.from({ length: 7 }, (_, i) => [`m.k${i}`, { unit: 'integer', roles: [`r${i}`], privacy: 'public' }]);
    const gateway = await startGateway({
        auth: issuer.options(), definitions: { dir: writeSmall(fs.mkdtempSync(path.join(issuer.directory, 'many-')), { main: ['everybody'] }, many) },
    });
    const rolesOf = (n) => many.map((_, i) => `r${i}`).filter((_, i) => (n >> i) & 1);
    const open = (n) => WsViewer.open(gateway.port, { hello: { token: tokenOf(rolesOf(n)) } });
    const viewers = await Promise.all(Array.from({ length: 64 }, (_, n) => open(n)));
    await Promise.all(viewers.map((viewer) => viewer.watch('main')));
    const late = await open(64);
    late.subscribe('main');
    assert.equal(await late.closed(), 4300);
    const answer = await gateway.get('/api/v1/dashboards/main', { headers: { authorization: `Bearer ${tokenOf(rolesOf(65))}` } });
    assert.deepEqual([answer.status, answer.json().code, answer.headers['retry-after']], [503, 'overloaded', '5']);
    assert.equal(await gateway.metric('gw_views_refused_total'), 2);
    assert.equal(await gateway.metric('gw_views'), 64);
    const again = await open(63);
    await again.watch('main');
    await viewers[0].close();
    await until('room', async () => await gateway.metric('gw_viewers', { form: 'ws' }) === 64);
    const next = await open(66);
    await next.watch('main');
    [...viewers.slice(1), again, next].forEach((viewer) => { viewer.assertSound(); viewer.cut(); });
    await gateway.stop();
});

test('without tokens: auth.open_roles decides, and the boards that ship are all there by default', async () => {
    const open = await startGateway({ demo: { enabled: true }, definitions: { dir: shipped } });
    assert.deepEqual((await open.get('/api/v1/dashboards')).json().dashboards.map(({ id }) => id).sort(), boards.map(({ id }) => id).sort());
    await open.stop();
    const shut = await startGateway({ auth: { open_roles: ['marketing'] }, definitions: { dir: shipped } });
    assert.deepEqual((await shut.get('/api/v1/dashboards')).json().dashboards.map(({ id }) => id).sort(), ['competitive', 'operations']);
    assert.equal((await shut.get('/api/v1/dashboards/executive')).status, 403);
    await shut.stop();
});
