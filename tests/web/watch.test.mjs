/* Boards watched by a program: values with their freshness, definitions read and read again. Everything around it is fake. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watch } from '../../web/client/watch.mjs';
import { FakeClock, fakeSockets, heartbeat, snapshot, subscribed, update, welcome } from './support/fakes.mjs';

const definition = (members = {}) => ({
    id: 'executive', title: 'Executive', catalog: 'c0ffee12', layout: [], classes: { quick: { fresh_s: 60, stale_s: 300, expired_s: 3600 }, event: null },
    kpis: { 'exec.a': { id: 'exec.a', type: 'gauge', class: 'quick', source: { kind: 'pg' } }, 'exec.feed': { id: 'exec.feed', type: 'feed', class: 'event', cap: 2 } },
    ...members,
});

const answer = (status, body, headers = {}) => ({
    ok: status === 200, status, json: async () => body, headers: { get: (name) => headers[name] ?? null },
});

/** A program that watches the executive board; `answers` are what its requests are told, the last one for ever. */
function watching(answers = [answer(200, definition())], options = {}) {
    const clock = new FakeClock();
    const { FakeSocket, opened, newest } = fakeSockets();
    const asked = [];
    const changes = [];
    const problems = [];
    const gateway = watch({
        url: 'https://gateway.example/', boards: ['executive'], WebSocketClass: FakeSocket, clock, random: () => 0.5,
        fetch: async (address, request) => {
            asked.push({ address, request });
            const told = answers[Math.min(asked.length, answers.length) - 1];
            if (told instanceof Error) {
                throw told;
            }
            return told;
        },
        onChange: (change) => changes.push(change), onProblem: (problem) => problems.push(problem), ...options,
    });
    return { clock, opened, newest, asked, changes, problems, gateway };
}

/** Lets what waits for a promise go on. */
const settled = () => new Promise((resolve) => { setImmediate(resolve); });

function join(view) {
    view.newest().accept();
    view.newest().say(welcome(view.clock));
    view.newest().say(subscribed('snapshot'));
    view.newest().say(snapshot(10, { 'exec.a': { rev: 10, v: 1, as_of: view.clock.now() } }));
}

test('addresses: https or wss, with a path or /ws; anything else is refused', () => {
    for (const [url, socket, api] of [
        ['https://g.example', 'wss://g.example/ws', 'https://g.example/api'],
        ['http://g.example:8080/', 'ws://g.example:8080/ws', 'http://g.example:8080/api'],
        ['wss://g.example/boards/ws', 'wss://g.example/boards/ws', 'https://g.example/boards/api'],
        [new URL('ws://g.example'), 'ws://g.example/ws', 'http://g.example/api'],
    ]) {
        const view = watching(undefined, { url });
        assert.equal(view.newest().url, socket);
        assert.equal(view.asked[0].address, `${api}/v1/dashboards/executive/definition`);
    }
    for (const url of ['g.example', 'file:///etc/passwd', '', 'https://']) {
        assert.throws(() => watching(undefined, { url }), TypeError);
    }
});

test('a value tells its freshness as of now, and not before its definition is known', async () => {
    const view = watching();
    join(view);
    assert.equal(view.gateway.value('executive', 'exec.a').freshness, 'unknown');
    await settled();
    assert.deepEqual(view.changes, [{ board: 'executive', fields: ['exec.a'], isSnapshot: true }]);
    assert.deepEqual(view.gateway.fields('executive'), ['exec.a']);
    const { v, freshness, age_ms: age } = view.gateway.value('executive', 'exec.a');
    assert.deepEqual([v, freshness, age], [1, 'fresh', 0]);
    view.clock.time += 301000;
    assert.deepEqual([view.gateway.value('executive', 'exec.a').freshness, view.gateway.value('executive', 'exec.a').age_ms], ['stale', 301000]);
    view.newest().say(heartbeat(10, { sources: { pg: { up: false, heard: 0 } } }));
    assert.equal(view.gateway.value('executive', 'exec.a').freshness, 'unreachable');
    assert.equal(view.gateway.value('executive', 'exec.b'), undefined);
});

test('changes name the fields, removed ones too', async () => {
    const view = watching();
    join(view);
    view.newest().say(update(10, 12, { 'exec.b': { rev: 11, v: 2 } }, { del: ['exec.a'] }));
    assert.deepEqual(view.changes[1], { board: 'executive', fields: ['exec.b', 'exec.a'], isSnapshot: false });
    assert.equal(view.gateway.value('executive', 'exec.a'), undefined);
});

test('the token goes into headers and hello, never into an address', () => {
    const view = watching(undefined, { token: 'secret' });
    view.newest().accept();
    assert.equal(view.asked[0].request.headers.authorization, 'Bearer secret');
    assert.equal(view.newest().sent[0].token, 'secret');
    assert.doesNotMatch(view.newest().url + view.asked[0].address, /secret/);
});

test('a definition that cannot be read is asked for again, with back-off and not before Retry-After', async () => {
    const view = watching([new Error('refused'), answer(503, {}, { 'retry-after': '7' }), answer(503, { detail: 'draining' }), answer(200, definition())]);
    await settled();
    assert.deepEqual(view.problems, [{ board: 'executive', code: 0, message: 'refused' }]);
    for (const [wait, count] of [[250, 2], [7000, 3], [1000, 4]]) {
        view.clock.advance(wait - 1);
        await settled();
        assert.equal(view.asked.length, count - 1, `not before ${wait} ms`);
        view.clock.advance(1);
        await settled();
        assert.equal(view.asked.length, count);
    }
    assert.equal(view.problems.at(-1).message, 'draining');
    assert.equal(view.gateway.definition('executive').title, 'Executive');
});

test('a definition that is refused is asked for again only with another token, or another connection', async () => {
    const view = watching([answer(401, { title: 'Unauthorized' })]);
    await settled();
    view.clock.advance(9000);
    await settled();
    assert.deepEqual([view.asked.length, view.problems[0].code], [1, 401]);
    view.gateway.setToken('new');
    await settled();
    assert.equal(view.asked.length, 2);
    join(view);
    await settled();
    assert.equal(view.asked.length, 3);
});

test('definitions that change are read once more, and a board whose rows are kept otherwise is asked for anew', async () => {
    const other = { ...definition().kpis, 'exec.feed': { ...definition().kpis['exec.feed'], cap: 5 } };
    const view = watching([answer(200, definition()), answer(200, definition({ catalog: 'beef', kpis: other }))]);
    await settled();
    join(view);
    view.newest().say(heartbeat(10, { catalog: 'beef' }));
    view.newest().say(heartbeat(10, { catalog: 'beef' }));
    await settled();
    assert.equal(view.asked.length, 2);
    assert.deepEqual(view.newest().sentOf('subscribe').map(({ position }) => position), [undefined, undefined]);
    view.newest().say(heartbeat(10, { catalog: 'cafe' }));
    view.newest().say(heartbeat(10, { catalog: 'cafe' }));
    await settled();
    assert.equal(view.asked.length, 3, 'a gateway that goes on sending the old ones is asked once');
});

test('a gateway that lets nobody in is asked for how long', async () => {
    const view = watching([answer(200, definition()), answer(503, {}, { 'retry-after': '9' })]);
    await settled();
    view.newest().end(1006);
    await settled();
    assert.equal(view.asked[1].address, 'https://gateway.example/health/ready');
    assert.equal(view.gateway.link.retryAt - view.clock.now(), 9250);
});

test('a board that is refused is told', () => {
    const view = watching();
    view.newest().accept();
    view.newest().say(welcome(view.clock));
    view.newest().say({ type: 'error', code: 4200, name: 'unknown_board', message: 'There is no such board.', retry: false, board: 'executive' });
    assert.deepEqual(view.problems, [{ board: 'executive', code: 4200, message: 'There is no such board.' }]);
});

test('a rate is asked for with the first subscription', () => {
    const view = watching(undefined, { maxRate: 2 });
    view.newest().accept();
    assert.equal(view.newest().sentOf('subscribe')[0].max_rate, 2);
});

test('closed is closed: no socket, no timer, no request', async () => {
    const view = watching([new Error('refused')]);
    join(view);
    await settled();
    view.gateway.close();
    assert.equal(view.opened[0].closedWith, 1000);
    assert.equal(view.clock.timers.size, 0);
    const late = watching();
    late.gateway.close();
    await settled();
    assert.equal(late.gateway.definition('executive'), null);
    assert.equal(late.clock.timers.size, 0);
});
