import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '../../web/client/store.js';
import { chipOf, statusOf } from '../../web/views/app.js';
import { FakeClock, heartbeat, position, snapshot, update, welcome } from './support/fakes.mjs';

const definition = {
    id: 'executive', title: 'Executive', question: '?', catalog: 'c0ffee12',
    layout: [{ row: [{ kpi: 'exec.a', span: 6 }, { kpi: 'exec.feed', span: 6 }] }],
    classes: { quick: { fresh_s: 60, stale_s: 300, expired_s: 3600 }, event: null },
    kpis: {
        'exec.a': { id: 'exec.a', title: 'A', type: 'gauge', unit: 'integer', class: 'quick', history: { points: 3, step_s: 60 }, source: { kind: 'pg' } },
        'exec.feed': { id: 'exec.feed', title: 'Feed', type: 'feed', class: 'event', cap: 2, source: { kind: 'http' } },
    },
};

function filled() {
    const clock = new FakeClock();
    const store = new Store({ now: clock.now });
    store.setDefinition(definition);
    store.receive(snapshot(10, {
        'exec.a': { rev: 9, v: 1, as_of: clock.now() }, 'exec.feed#x': { rev: 10, v: { title: 'first' }, as_of: clock.now() },
    }, { history: { 'exec.a': [[clock.now() - 120000, 5], [clock.now() - 60000, 6]] } }));
    store.setLink({ name: 'live', since: clock.now(), attempt: 0 });
    return { clock, store, board: store.board('executive') };
}

const change = (from, to, v, clock) => update(from, to, { 'exec.a': { rev: to, v, as_of: clock.now() } });

test('a change raises the version of its KPI and of no other', () => {
    const { store, board, clock } = filled();
    const before = board.entry('exec.feed').version;
    const { version } = board.entry('exec.a');
    store.receive(change(10, 11, 2, clock));
    assert.equal(board.entry('exec.a').value.v, 2);
    assert.equal(board.entry('exec.a').version, version + 1);
    assert.equal(board.entry('exec.a').changes, 1);
    assert.equal(board.entry('exec.feed').version, before);
});

test('a snapshot removes what it does not hold, and is no change to flash', () => {
    const { store, board } = filled();
    store.receive(snapshot(3, { 'exec.a': { rev: 3, v: 8 } }));
    assert.equal(board.entry('exec.feed').rows.size, 0);
    assert.equal(board.entry('exec.a').value.v, 8);
    assert.equal(board.entry('exec.a').changes, 0);
});

test('paused: the positions go on, what is shown stands still, and the withheld are counted', () => {
    const { store, board, clock } = filled();
    store.pause();
    assert.equal(store.receive(change(10, 11, 2, clock)), 'applied');
    store.receive(change(11, 12, 3, clock));
    store.receive(update(12, 13, { 'exec.feed#y': { rev: 13, v: { title: 'second' } } }));
    assert.equal(board.entry('exec.a').value.v, 1);
    assert.equal(board.entry('exec.feed').rows.size, 1);
    assert.equal(store.withheldCount, 3);
    assert.deepEqual(store.positionOf('executive'), position(13));
    assert.deepEqual(board.points('exec.a').map(([, v]) => v), [5, 6]);
    store.resume();
    assert.equal(board.entry('exec.a').value.v, 3);
    assert.equal(board.entry('exec.feed').rows.size, 2);
    assert.equal(store.withheldCount, 0);
    assert.deepEqual(board.points('exec.a').map(([, v]) => v), [5, 6, 3]);
});

test('paused: another view shows at once, because what it leaves out may not be seen any more', () => {
    const { store, board, clock } = filled();
    store.receive(snapshot(10, { 'exec.a': { rev: 9, v: 1 }, 'exec.feed#x': { rev: 10, v: {} } }, { view: '00000001' }));
    store.pause();
    store.receive(change(10, 11, 2, clock));
    store.receive(snapshot(11, { 'exec.a': { rev: 11, v: 2 } }, { view: '00000001' })); // the same eyes: what is shown stands still
    assert.equal(board.entry('exec.a').value.v, 1);
    assert.equal(board.entry('exec.feed').rows.size, 1);
    store.receive(snapshot(11, {}, { view: '00000002' }));
    assert.equal(board.entry('exec.a').value, undefined);
    assert.equal(board.entry('exec.feed').rows.size, 0);
    assert.equal(board.points('exec.a'), undefined);
});

test('a board that may not be watched any more is forgotten, its definition with it', () => {
    const { store, board } = filled();
    store.setBoardError('executive', { code: 4103, message: 'no', retry: false });
    assert.equal(board.definition, null);
    assert.equal(store.positionOf('executive'), null);
    assert.equal(board.entry('exec.a').value, undefined);
    assert.equal(board.points('exec.a'), undefined);
    store.setBoardError('executive', { code: 4200, message: 'no' });
    assert.equal(board.error.code, 4200);
});

test('a feed forgets its oldest rows on the screen too', () => {
    const { store, board } = filled();
    store.receive(update(10, 12, { 'exec.feed#y': { rev: 11, v: {} }, 'exec.feed#z': { rev: 12, v: {} } }));
    assert.deepEqual([...board.entry('exec.feed').rows.keys()].sort(), ['y', 'z']);
});

test('a definition that comes after the values trims them', () => {
    const store = new Store({ now: () => 0 });
    store.receive(snapshot(3, { 'exec.feed#a': { rev: 1, v: {} }, 'exec.feed#b': { rev: 2, v: {} }, 'exec.feed#c': { rev: 3, v: {} } }));
    assert.equal(store.board('executive').entry('exec.feed').rows.size, 3);
    store.setDefinition(definition);
    assert.deepEqual([...store.board('executive').entry('exec.feed').rows.keys()], ['b', 'c']);
});

test('recent points keep one per step and as many as the definition says', () => {
    const { store, board, clock } = filled();
    store.receive(change(10, 11, 7, clock));
    clock.advance(60000);
    store.receive(change(11, 12, 8, clock));
    store.receive(change(12, 13, 9, clock));
    assert.deepEqual(board.points('exec.a').map(([, v]) => v), [6, 7, 9]);
});

test('the gateway clock is learnt from the shortest round trip', () => {
    const clock = new FakeClock();
    const store = new Store({ now: clock.now });
    store.receive(welcome(clock, { now: clock.now() + 5000 }));
    assert.equal(store.now() - clock.now(), 5000);
    const sent = clock.now();
    clock.advance(40);
    store.receive({ type: 'pong', clock: sent, now: sent + 5020 });
    assert.equal(store.now() - clock.now(), 5000);
    const sentLate = clock.now();
    clock.advance(3000);
    store.receive({ type: 'pong', clock: sentLate, now: sentLate + 5000 });
    assert.equal(store.now() - clock.now(), 5000, 'a slow answer teaches nothing');
});

/** A store whose gateway's clock is `ahead` of ours, and whose pings take `trip` ms of which `there` on the way out. */
function pinged(store, clock, ahead, trip, there = trip / 2) {
    const sent = clock.now();
    clock.advance(there);
    const now = clock.now() + ahead;
    clock.advance(trip - there);
    store.receive({ type: 'pong', clock: sent, now });
    return store.now() - clock.now();
}

test('of many answers the quickest is believed, until it is long ago', () => {
    const clock = new FakeClock();
    const store = new Store({ now: clock.now });
    assert.equal(pinged(store, clock, 5000, 4), 5000);
    assert.equal(pinged(store, clock, 5000, 100, 90), 5000);
    for (let i = 0; i < 8; i++) {
        pinged(store, clock, 5000, 60, 50);
    }
    assert.equal(store.now() - clock.now(), 5000 - (30 - 50), 'no better than the answers that are left');
});

test('what was said cannot have been said later than it was heard', () => {
    const clock = new FakeClock();
    const store = new Store({ now: clock.now });
    assert.equal(pinged(store, clock, 5000, 200, 10), 4910);
    store.receive(heartbeat(10, { now: clock.now() + 5000 - 3 }));
    assert.equal(store.now() - clock.now(), 4997);
    store.receive(heartbeat(10, { now: clock.now() + 5000 - 400 }));
    assert.equal(store.now() - clock.now(), 4997, 'a late one teaches nothing');
    assert.equal(pinged(store, clock, 5000, 200, 10), 4997, 'nor does a lopsided answer make it forget');
});

test('a clock that was set is followed at the next answer', () => {
    const clock = new FakeClock();
    const store = new Store({ now: clock.now });
    assert.equal(pinged(store, clock, 0, 4), 0);
    clock.time += 3600000;
    assert.equal(pinged(store, clock, -3600000, 40), -3600000);
    clock.time -= 7200000;
    assert.equal(pinged(store, clock, 3600000, 40), 3600000);
});

test('a source that is down makes old values unreachable, not fresh ones', () => {
    const { store, clock, board } = filled();
    store.receive(heartbeat(10, { sources: { postgres: { up: false, heard: 0, reason: 'connection refused' } } }));
    assert.equal(store.isSourceUp(definition.kpis['exec.a']), false);
    assert.equal(store.isSourceUp(definition.kpis['exec.feed']), true);
    assert.equal(statusOf(store, board, store.now()).kind, 'calm');
    clock.advance(61000);
    assert.match(statusOf(store, board, store.now()).text, /^1 value unreachable: A$/);
});

test('the status line: calm, then stale by time alone, then the age of the page when the link is down', () => {
    const { store, clock, board } = filled();
    assert.match(statusOf(store, board, store.now()).text, /^All values current/);
    clock.advance(61000);
    assert.match(statusOf(store, board, store.now()).text, /^1 value ageing, none stale/);
    clock.advance(240000);
    assert.deepEqual([statusOf(store, board, store.now()).kind, statusOf(store, board, store.now()).text], ['trouble', '1 value stale: A']);
    store.setLink({ name: 'reconnecting', since: clock.now(), attempt: 2, retryAt: clock.now() + 4000 });
    const status = statusOf(store, board, store.now());
    assert.equal(status.kind, 'down');
    assert.match(status.text, /^Connection lost\. Values are from \d\d:\d\d:\d\d, 5\u202fmin ago\. Next try in 4 s\.$/);
});

test('the chip says paused only while the link is up, and signed out for a token', () => {
    const { store } = filled();
    store.pause();
    assert.equal(chipOf(store).word, 'Paused');
    store.setLink({ name: 'reconnecting', since: 0, attempt: 1, retryAt: 1 });
    assert.equal(chipOf(store).word, 'Reconnecting');
    store.setLink({ name: 'refused', kind: 'token', since: 0, attempt: 0 });
    assert.equal(chipOf(store).word, 'Signed out');
});

test('demo is what the newest message says', () => {
    const { store, clock } = filled();
    assert.equal(store.isDemo, false);
    store.receive({ ...change(10, 11, 2, clock), demo: true });
    assert.equal(store.isDemo, true);
});
