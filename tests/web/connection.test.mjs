import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, Connection, followPage } from '../../web/client/connection.js';
import { Store } from '../../web/client/store.js';
import {
    EPOCH, FakeClock, fakeSockets, heartbeat, position, snapshot, subscribed, update, welcome,
} from './support/fakes.mjs';

/** A connection with a real store behind it, fake everything else. */
function linked(options = {}) {
    const clock = new FakeClock();
    const { FakeSocket, opened, newest } = fakeSockets();
    const store = new Store({ now: clock.now });
    const states = [];
    const errors = [];
    const connection = new Connection({
        url: 'wss://gateway.example/ws', client: 'test', WebSocketClass: FakeSocket, clock, random: () => 0.5,
        positionOf: (board) => store.positionOf(board), onMessage: (message) => store.receive(message),
        onState: (state) => states.push(state.name), onBoardError: (board, error) => errors.push([board, error.code]), ...options,
    });
    return { clock, opened, newest, store, states, errors, connection };
}

/** Up to live on the executive board at offset 10. */
function live(options) {
    const link = linked(options);
    link.connection.watch('executive');
    link.connection.start();
    link.newest().accept();
    link.newest().say(welcome(link.clock));
    link.newest().say(subscribed('snapshot'));
    link.newest().say(snapshot(10, { 'exec.a': { rev: 10, v: 1 } }));
    return link;
}

/** Lets what waits for a promise go on. */
const settled = () => new Promise((resolve) => { setImmediate(resolve); });

/** A heartbeat every 5 s for a while, as a healthy gateway sends them. */
function beatFor(link, seconds) {
    for (let i = 0; i < seconds; i += 5) {
        link.clock.advance(5000);
        link.newest().say(heartbeat(10));
    }
}

test('back-off is full jitter under a ceiling that doubles from 0.5 to 30 seconds', () => {
    const ceilings = [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000];
    ceilings.forEach((ceiling, i) => {
        assert.equal(backoffMs(i + 1, () => 0), 0);
        assert.equal(backoffMs(i + 1, () => 0.5), ceiling / 2);
        assert.ok(backoffMs(i + 1, () => 0.999999) < ceiling);
    });
    assert.equal(backoffMs(1000, () => 0.5), 15000);
});

test('hello goes first, subscribe right behind it, and no token is in the address', () => {
    const link = linked({ token: 'secret' });
    link.connection.watch('executive');
    link.connection.start();
    const socket = link.newest();
    assert.equal(socket.protocol, 'kpi.v1');
    assert.equal(socket.url, 'wss://gateway.example/ws');
    socket.accept();
    assert.deepEqual(socket.sent.map(({ type }) => type), ['hello', 'subscribe']);
    assert.equal(socket.sent[0].token, 'secret');
    assert.equal(socket.sent[1].position, undefined);
});

test('it is catching up until every board is whole, then live', () => {
    assert.equal(linked().connection.state.name, 'connecting');
    const link = live();
    assert.deepEqual(link.states.filter((name, i, all) => name !== all[i - 1]), ['catching_up', 'live']);
    link.connection.watch('competitive');
    assert.equal(link.connection.state.name, 'catching_up');
    link.newest().say(subscribed('whole', 'competitive'));
    assert.equal(link.connection.state.name, 'live');
});

test('a lost link is opened again with the position held', () => {
    const link = live();
    link.newest().say(update(10, 12, { 'exec.a': { rev: 12, v: 2 } }, { nonce: '0badcafe' }));
    link.newest().end(1006);
    assert.equal(link.connection.state.name, 'reconnecting');
    assert.equal(link.connection.state.attempt, 1);
    assert.equal(link.connection.state.retryAt, link.clock.now() + 250);
    link.clock.advance(250);
    assert.equal(link.opened.length, 2);
    link.newest().accept();
    assert.equal(link.newest().sentOf('subscribe')[0].position, `${EPOCH}.12.0badcafe`);
    link.newest().say(welcome(link.clock));
    link.newest().say(subscribed('whole'));
    assert.equal(link.connection.state.name, 'live');
});

test('a gateway that lets nobody in is left alone for as long as it wants', async () => {
    const wishes = [20000, 0, 86400000];
    const link = linked({ retryAfter: async () => wishes.shift() });
    link.connection.start();
    for (const [wait, what] of [[20250, 'its wish, and a little at random'], [500, 'no wish: the back-off'], [301000, 'for ever is too long']]) {
        link.newest().end(1006);
        await settled();
        assert.equal(link.connection.state.retryAt - link.clock.now(), wait, what);
        const count = link.opened.length;
        link.clock.advance(wait - 1);
        assert.equal(link.opened.length, count);
        link.clock.advance(1);
        assert.equal(link.opened.length, count + 1);
    }
});

test('nobody is asked for a wish when there was a connection, no answer is no wish, and a retry by hand does not wait', async () => {
    let asked = 0;
    const good = live({ retryAfter: async () => { asked++; return 60000; } });
    good.newest().end(1006);
    await settled();
    assert.equal(asked, 0);
    const dead = linked({ retryAfter: () => Promise.reject(new Error('refused')) });
    dead.connection.start();
    dead.newest().end(1006);
    await settled();
    assert.equal(dead.connection.state.retryAt - dead.clock.now(), 250);
    const given = [];
    const hasty = linked({ retryAfter: () => new Promise((resolve) => { given.push(resolve); }) });
    hasty.connection.start();
    hasty.newest().end(1006);
    hasty.connection.retry();
    given[0](60000);
    await settled();
    assert.deepEqual([hasty.opened.length, hasty.connection.state.name], [2, 'connecting']);
});

test('attempts go on for ever, and a good connection starts the back-off anew', () => {
    const link = linked();
    link.connection.start();
    const fail = (code) => {
        link.newest().end(code);
        link.clock.advance(link.connection.state.retryAt - link.clock.now());
    };
    for (let i = 0; i < 12; i++) {
        fail(1006);
    }
    assert.equal(link.opened.length, 13);
    link.newest().accept();
    link.newest().say(welcome(link.clock));
    fail(1011);
    assert.equal(link.connection.state.attempt, 13, 'a connection that failed at once was no good connection');
    link.newest().accept();
    link.newest().say(welcome(link.clock));
    beatFor(link, 15);
    link.newest().end(1006);
    assert.equal(link.connection.state.attempt, 1);
});

test('a handshake that never ends is given up after ten seconds', () => {
    const link = linked();
    link.connection.start();
    link.clock.advance(10000);
    assert.equal(link.connection.state.name, 'connecting');
    link.clock.advance(1250);
    assert.equal(link.opened.length, 2);
});

test('a handshake that is never answered is given up, whatever else is said', () => {
    const link = linked();
    link.connection.watch('executive');
    link.connection.start();
    link.newest().accept();
    for (let i = 0; i < 12; i++) {
        link.clock.advance(1000);
        link.opened[0].say(heartbeat(10));
    }
    assert.ok(link.opened[0].isClosed);
});

test('a board that never comes is asked for on a new connection, unless nobody looks', () => {
    for (const [isHidden, isGivenUp] of [[false, true], [true, false]]) {
        const link = live();
        link.connection.setHidden(isHidden);
        link.connection.watch('competitive');
        beatFor(link, 40);
        assert.equal(link.opened[0].isClosed, isGivenUp);
    }
});

test('silence is delayed at 1.5 and dead at 2.5 heartbeats', () => {
    const link = live();
    link.clock.advance(7000);
    assert.equal(link.connection.state.name, 'live');
    link.clock.advance(2000);
    assert.equal(link.connection.state.name, 'delayed');
    const socket = link.newest();
    link.clock.advance(3000);
    assert.equal(link.connection.state.name, 'delayed');
    link.clock.advance(1000);
    assert.equal(link.connection.state.name, 'reconnecting');
    assert.ok(socket.isClosed);
});

test('what a dead socket says afterwards is not heard', () => {
    const link = live();
    const socket = link.newest();
    link.clock.advance(13000);
    socket.say(update(10, 11, { 'exec.a': { rev: 11, v: 99 } }));
    assert.equal(link.store.board('executive').entry('exec.a').value.v, 1);
});

test('a page that was frozen asks before it gives up a link that may be well', () => {
    const link = live();
    link.clock.freeze(3600000);
    assert.equal(link.opened.length, 1);
    const { sent } = link.newest();
    assert.equal(sent.at(-1).type, 'ping');
    link.newest().say(update(10, 40, { 'exec.a': { rev: 40, v: 7 } }));
    link.clock.advance(2000);
    assert.equal(link.connection.state.name, 'live');
    assert.equal(link.opened.length, 1);
});

test('a page that was frozen gives up when the answer does not come', () => {
    const link = live();
    link.clock.freeze(3600000);
    link.clock.advance(7000);
    assert.notEqual(link.connection.state.name, 'live');
    assert.ok(link.opened[0].isClosed);
});

test('a clock that is set back does not look like silence', () => {
    const link = live();
    link.clock.time -= 7200000;
    link.connection.clock.timers.forEach((timer) => { timer.at -= 7200000; });
    beatFor(link, 20);
    assert.equal(link.connection.state.name, 'live');
});

test('moved: the old connection serves until the given moment, the new one resumes', () => {
    const link = live();
    link.newest().say({ type: 'moved', reconnect_in_ms: 3000, url: 'wss://other.example/ws' });
    assert.equal(link.connection.state.name, 'moved');
    link.newest().say(update(10, 11, { 'exec.a': { rev: 11, v: 5 } }));
    assert.equal(link.store.board('executive').entry('exec.a').value.v, 5);
    link.clock.advance(2999);
    assert.equal(link.opened.length, 1);
    link.clock.advance(1);
    assert.equal(link.newest().url, 'wss://other.example/ws');
    assert.ok(link.opened[0].isClosed);
    link.newest().accept();
    assert.equal(link.newest().sentOf('subscribe')[0].position, `${EPOCH}.11.9f3a2b1c`);
});

test('moved to an address that fails comes home with the next try', () => {
    const link = live();
    link.newest().say({ type: 'moved', reconnect_in_ms: 10, url: 'wss://other.example/ws' });
    link.clock.advance(10);
    link.newest().end(1006);
    link.clock.advance(500);
    assert.equal(link.newest().url, 'wss://gateway.example/ws');
});

test('moved never leads from wss to ws, nor to another kind of address', () => {
    for (const url of ['ws://other.example/ws', 'javascript:alert(1)', 'https://other.example/']) {
        const link = live();
        link.newest().say({ type: 'moved', reconnect_in_ms: 10, url });
        link.clock.advance(10);
        assert.equal(link.newest().url, 'wss://gateway.example/ws', url);
    }
});

test('a straggler closed with 4400 goes at once, with jitter, where it was told', () => {
    const link = live();
    link.newest().say({ type: 'moved', reconnect_in_ms: 60000, url: 'wss://other.example/ws' });
    link.newest().end(4400);
    assert.equal(link.connection.state.attempt, 0);
    link.clock.advance(250);
    assert.equal(link.newest().url, 'wss://other.example/ws');
});

for (const [code, kind] of [[1003, 'stop'], [1007, 'stop'], [1008, 'stop'], [1009, 'stop'], [4000, 'stop'], [4004, 'stop'], [4100, 'token'], [4101, 'token'], [4102, 'token']]) {
    test(`close ${code} is explained and not retried`, () => {
        const link = live();
        link.newest().end(code);
        assert.equal(link.connection.state.name, 'refused');
        assert.equal(link.connection.state.kind, kind);
        assert.match(link.connection.state.text, /\w/);
        link.clock.advance(3600000);
        assert.equal(link.opened.length, 1);
        link.connection.setToken('new');
        link.newest().accept();
        assert.equal(link.newest().sentOf('hello')[0].token, 'new');
    });
}

test('a token that ends is renewed in band, once at a time', async () => {
    const given = [];
    const link = live({ renewToken: () => new Promise((resolve) => { given.push(resolve); }) });
    link.newest().say({ type: 'expiring', expires_in_ms: 60000, closes_in_ms: 90000 });
    link.newest().say({ type: 'expiring', expires_in_ms: 59000, closes_in_ms: 89000 });
    assert.equal(given.length, 1);
    given[0]('second');
    await settled();
    assert.deepEqual(link.newest().sentOf('refresh'), [{ type: 'refresh', token: 'second' }]);
    link.newest().say({ type: 'refreshed' });
    assert.equal(link.connection.state.name, 'live');
    link.newest().end(1006);
    link.clock.advance(60000);
    link.newest().accept();
    assert.equal(link.newest().sentOf('hello')[0].token, 'second');
});

test('a refused token is renewed once; the second refusal is told', async () => {
    let count = 0;
    const link = live({ renewToken: async () => `token ${++count}` });
    link.newest().end(4102);
    await settled();
    assert.equal(link.opened.length, 2);
    link.newest().accept();
    assert.equal(link.newest().sentOf('hello')[0].token, 'token 1');
    link.newest().end(4101);
    await settled();
    assert.equal(link.connection.state.name, 'refused');
    assert.deepEqual([link.opened.length, count], [2, 1]);
});

test('a page that gets no token is told, and one that sleeps does not wake for it', async () => {
    const failing = live({ renewToken: () => Promise.reject(new Error('signed out')) });
    failing.newest().say({ type: 'expiring', expires_in_ms: 1, closes_in_ms: 2 });
    failing.newest().end(4102);
    await settled();
    assert.equal(failing.connection.state.name, 'refused');
    assert.equal(failing.opened.length, 1);

    const asleep = live({ renewToken: async () => 'late' });
    asleep.newest().say({ type: 'expiring', expires_in_ms: 1, closes_in_ms: 2 });
    asleep.connection.sleep();
    await settled();
    assert.deepEqual([asleep.connection.state.name, asleep.opened.length], ['asleep', 1]);
    asleep.connection.wake();
    asleep.newest().accept();
    assert.equal(asleep.newest().sentOf('hello')[0].token, 'late');
});

test('a gap asks again with the position, and ignores what is still in flight', () => {
    const link = live();
    const socket = link.newest();
    socket.say(update(12, 13, { 'exec.a': { rev: 13, v: 3 } }));
    assert.equal(link.connection.state.name, 'catching_up');
    assert.equal(socket.sentOf('subscribe').at(-1).position, `${EPOCH}.10.9f3a2b1c`);
    socket.say(update(13, 14, { 'exec.a': { rev: 14, v: 4 } }));
    assert.equal(socket.sentOf('subscribe').length, 2, 'an update of the old subscription is no new gap');
    socket.say(subscribed('update'));
    socket.say(update(10, 14, { 'exec.a': { rev: 14, v: 4 } }));
    assert.equal(link.store.board('executive').entry('exec.a').value.v, 4);
    assert.equal(link.connection.state.name, 'live');
});

test('a gap in the answer itself gives the position up', () => {
    const link = live();
    const socket = link.newest();
    socket.say(update(12, 13));
    socket.say(subscribed('update'));
    socket.say(update(12, 14));
    assert.equal(socket.sentOf('subscribe').at(-1).position, undefined);
});

test('a heartbeat of another history asks for everything, one that holds back says delayed', () => {
    const link = live();
    const socket = link.newest();
    socket.say(heartbeat(15));
    assert.equal(link.connection.state.name, 'delayed');
    assert.deepEqual(link.store.positionOf('executive'), position(10), 'a heartbeat never moves the position');
    socket.say(heartbeat(10));
    assert.equal(link.connection.state.name, 'live');
    socket.say(heartbeat(10, { nonce: '00000000' }));
    assert.equal(link.connection.state.name, 'catching_up');
    assert.equal(socket.sentOf('subscribe').at(-1).position, undefined);
});

test('a refused board keeps the connection and the other boards', () => {
    const link = live();
    link.connection.watch('marketing');
    link.newest().say({ type: 'error', code: 4200, name: 'unknown_board', message: 'There is no such board.', retry: false, board: 'marketing' });
    assert.deepEqual(link.errors, [['marketing', 4200]]);
    assert.equal(link.connection.state.name, 'live');
    assert.equal(link.opened.length, 1);
});

test('a hidden page says so, for each board, and asks how things are when it is seen again', () => {
    const link = live();
    const socket = link.newest();
    link.connection.setHidden(true);
    assert.deepEqual(socket.sentOf('quality'), [{ type: 'quality', board: 'executive', hidden: true }]);
    const pings = socket.sentOf('ping').length;
    link.connection.setHidden(false);
    assert.deepEqual(socket.sentOf('quality').at(-1), { type: 'quality', board: 'executive', hidden: false });
    assert.equal(socket.sentOf('ping').length, pings + 1);
});

test('a page in the back/forward cache holds no connection, and resumes when it is shown', () => {
    const link = live();
    link.connection.sleep();
    assert.equal(link.opened[0].closedWith, 1000);
    link.clock.advance(600000);
    assert.equal(link.opened.length, 1);
    link.connection.wake();
    link.newest().accept();
    assert.equal(link.newest().sentOf('subscribe')[0].position, `${EPOCH}.10.9f3a2b1c`);
});

/** As much of a browser's window as the connection listens to. */
function fakePage() {
    const listeners = new Map();
    const listen = (type, act) => listeners.set(type, act);
    return {
        navigator: { onLine: true }, document: { visibilityState: 'visible', addEventListener: listen }, addEventListener: listen,
        tell: (type) => listeners.get(type)(), listeners,
    };
}

test('a page that is hidden keeps its data right, and one that is put away closes and comes back', () => {
    const link = live();
    const page = fakePage();
    followPage(link.connection, page);
    page.document.visibilityState = 'hidden';
    page.tell('visibilitychange');
    assert.equal(link.newest().sentOf('quality').at(-1).hidden, true);
    link.newest().say(update(10, 11, { 'exec.a': { rev: 11, v: 2 } }));
    assert.equal(link.store.board('executive').entry('exec.a').value.v, 2);
    page.document.visibilityState = 'visible';
    page.tell('visibilitychange');
    assert.deepEqual(link.newest().sent.slice(-2).map(({ type, hidden }) => [type, hidden]), [['quality', false], ['ping', undefined]]);

    page.tell('pagehide');
    assert.deepEqual([link.opened[0].closedWith, link.connection.state.name, link.clock.timers.size], [1000, 'asleep', 0]);
    page.tell('pageshow');
    assert.equal(link.opened.length, 2);

    page.tell('offline');
    link.newest().end(1006);
    assert.equal(link.connection.state.name, 'offline');
    page.tell('online');
    assert.equal(link.opened.length, 3);
    assert.deepEqual([...page.listeners.keys()].sort(), ['offline', 'online', 'pagehide', 'pageshow', 'visibilitychange']);
});

test('a page that starts hidden or offline says so from the start', () => {
    const link = linked();
    const page = fakePage();
    page.navigator.onLine = false;
    page.document.visibilityState = 'hidden';
    followPage(link.connection, page);
    link.connection.watch('executive');
    link.connection.start();
    link.newest().accept();
    assert.equal(link.newest().sentOf('subscribe')[0].hidden, true);
    link.newest().end(1006);
    assert.equal(link.connection.state.name, 'offline');
});

test('a burst after a silence is taken in order, and what is older than what is held is dropped', () => {
    const link = live();
    link.clock.freeze(11000);
    const shown = [];
    link.store.onChange = () => shown.push(link.store.board('executive').entry('exec.a').value.v);
    for (const [from, to] of [[10, 12], [12, 13], [11, 12], [13, 20]]) {
        link.newest().say(update(from, to, { 'exec.a': { rev: to, v: to } }));
    }
    assert.deepEqual([...new Set(shown)], [12, 13, 20]);
    assert.deepEqual(link.store.positionOf('executive'), position(20));
    assert.equal(link.connection.counts.resyncs, 0);
});

test('a network that comes back is tried at once', () => {
    const link = live();
    link.connection.setOnline(false);
    link.newest().end(1006);
    assert.equal(link.connection.state.name, 'offline');
    link.connection.setOnline(true);
    assert.equal(link.opened.length, 2);
});

test('switching boards keeps the connection', () => {
    const link = live();
    link.connection.watch('competitive');
    link.connection.unwatch('executive');
    assert.equal(link.opened.length, 1);
    assert.deepEqual(link.newest().sentOf('unsubscribe'), [{ type: 'unsubscribe', board: 'executive' }]);
    link.connection.watch('executive');
    assert.equal(link.newest().sentOf('subscribe').at(-1).position, `${EPOCH}.10.9f3a2b1c`);
});

test('round trips are measured by ping and pong', () => {
    const link = live();
    const ping = link.newest().sentOf('ping')[0];
    link.clock.advance(40);
    link.newest().say({ type: 'pong', clock: ping.clock, now: link.clock.now() });
    assert.equal(link.connection.state.roundTripMs, 40);
});

/** Live, with pages that were 12 ms late each time they are asked. */
function reporting() {
    const link = live({ takeDelays: () => [12] });
    link.newest().sent.length = 0;
    return link;
}

test('a page reports its delays every ten seconds, and not while nobody looks', () => {
    const link = reporting();
    beatFor(link, 5);
    link.clock.advance(4000);
    assert.deepEqual(link.newest().sentOf('report'), []);
    beatFor(link, 50);
    const reports = link.newest().sentOf('report');
    assert.deepEqual(reports[0], { type: 'report', delay_ms: [12] });
    assert.ok(reports.length >= 4 && reports.length <= 5, `${reports.length} reports in 59 s`);
    link.connection.setHidden(true);
    beatFor(link, 30);
    assert.equal(link.newest().sentOf('report').length, reports.length);
});

test('a page with nothing to report says nothing, and one that may not report asks nobody', () => {
    const link = live({ takeDelays: () => [] });
    beatFor(link, 30);
    assert.deepEqual(link.newest().sentOf('report'), []);
    const silent = live();
    beatFor(silent, 30);
    assert.deepEqual(silent.newest().sentOf('report'), []);
});

test('a gateway that does not know reports gets one', () => {
    const link = reporting();
    beatFor(link, 10);
    assert.equal(link.newest().sentOf('report').length, 1);
    link.newest().say({ type: 'error', code: 4001, name: 'unknown_type', message: 'Unknown.', retry: false });
    beatFor(link, 60);
    assert.equal(link.newest().sentOf('report').length, 1);
});

test('frames, merged updates and resyncs are counted', () => {
    const link = live();
    const socket = link.newest();
    socket.say(update(10, 11));
    socket.say(update(11, 14));
    assert.deepEqual(link.connection.counts, { connections: 1, frames: 5, updates: 2, changes: 4, merged: 1, resyncs: 0 });
    socket.say(update(15, 16)); // a gap
    assert.equal(link.connection.counts.resyncs, 1);
    socket.say(subscribed('snapshot'));
    socket.say(snapshot(16));
    assert.equal(link.connection.counts.resyncs, 1, 'its answer is the same resync');
    socket.end(1006);
    link.clock.advance(1000);
    link.newest().accept();
    link.newest().say(welcome(link.clock));
    link.newest().say(subscribed('snapshot'));
    link.newest().say(snapshot(3));
    assert.deepEqual([link.connection.counts.connections, link.connection.counts.resyncs], [2, 2]);
    link.newest().say(heartbeat(2));
    assert.equal(link.connection.counts.resyncs, 3, 'another history');
});

test('a rate is asked for now, and again with every subscription', () => {
    const link = live();
    link.connection.setRate(0.2);
    assert.deepEqual(link.newest().sentOf('quality'), [{ type: 'quality', board: 'executive', max_rate: 0.2 }]);
    link.connection.watch('competitive');
    assert.equal(link.newest().sentOf('subscribe').at(-1).max_rate, 0.2);
    link.connection.setRate(0);
    assert.equal(link.newest().sentOf('quality').at(-1).max_rate, 0);
    link.connection.watch('knowledge');
    assert.equal(link.newest().sentOf('subscribe').at(-1).max_rate, undefined);
});

test('unknown message types are ignored, and a gateway that speaks nonsense is left', () => {
    const link = live();
    link.newest().say({ type: 'weather', board: 'executive' });
    assert.equal(link.connection.state.name, 'live');
    link.newest().say('[]');
    assert.equal(link.connection.state.name, 'reconnecting');
});
