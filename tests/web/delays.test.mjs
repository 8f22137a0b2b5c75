/* Which changes count as late, and how much of them is reported. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Delays } from '../../web/client/delays.js';
import { FakeClock, snapshot, subscribed, update, welcome } from './support/fakes.mjs';

/** A page that has looked since now; `random` draws what the reservoir throws out. */
function looking(random = () => 0.999) {
    const clock = new FakeClock();
    return { clock, delays: new Delays({ now: clock.now, random }) };
}

/** An update of a change that was accepted now. */
const changed = (clock, members = {}) => update(10, 11, {}, { changed_at: clock.now(), ...members });

/** A change that is on the screen after `ms`. */
function late({ clock, delays }, ms) {
    delays.note(changed(clock));
    clock.advance(ms);
    delays.painted();
}

test('a delay ends with the paint, and several changes may share one', () => {
    const page = looking();
    assert.equal(page.delays.summary(), null);
    page.delays.note(changed(page.clock));
    page.clock.advance(10);
    page.delays.note(changed(page.clock));
    page.clock.advance(20);
    page.delays.painted();
    page.delays.painted();
    assert.deepEqual(page.delays.recent, [30, 20]);
});

test('percentiles are of the newest 512', () => {
    const page = looking();
    for (let i = 0; i < 600; i++) {
        late(page, 5000);
    }
    for (let i = 1; i <= 512; i++) {
        late(page, i <= 480 ? 10 : 100 + i);
    }
    assert.deepEqual(page.delays.summary(), { count: 1112, p50: 10, p95: 587, max: 612 });
});

test('what was accepted before this page looked is late by nobody\u2019s fault', () => {
    const page = looking();
    const missed = changed(page.clock);
    page.clock.advance(30000);
    for (const begins of [welcome(page.clock), snapshot(10)]) {
        page.delays.note(begins);
        page.delays.note(missed);
        page.delays.painted();
        assert.deepEqual(page.delays.recent, []);
    }
    page.delays.note(changed(page.clock));
    page.clock.advance(60000); // hidden: nothing is painted
    page.delays.restart();
    page.delays.painted();
    assert.deepEqual(page.delays.recent, []);
});

test('a board that is slowed down as asked is not late, until it is not slowed any more', () => {
    const page = looking();
    page.delays.note({ ...subscribed('whole'), max_rate: 0.2 });
    late(page, 5000);
    assert.deepEqual(page.delays.recent, []);
    page.delays.note(subscribed('whole'));
    late(page, 7);
    assert.deepEqual(page.delays.recent, [7]);
});

test('a delay is within what a report may say, whatever the clocks do', () => {
    const page = looking();
    late(page, 100000);
    page.delays.note(changed(page.clock, { changed_at: page.clock.now() + 4 }));
    page.delays.painted();
    assert.deepEqual(page.delays.take(), [60000, 0]);
});

test('a report holds at most eight, drawn evenly from all since the last', () => {
    let state = 1;
    const page = looking(() => {
        state = (state * 1103515245 + 12345) % 2147483648;
        return state / 2147483648;
    });
    let early = 0;
    for (let round = 0; round < 300; round++) {
        for (let i = 1; i <= 80; i++) {
            late(page, i);
        }
        const taken = page.delays.take();
        assert.equal(taken.length, 8);
        early += taken.filter((delay) => delay <= 40).length;
        assert.deepEqual(page.delays.take(), []);
    }
    assert.ok(early > 1100 && early < 1300, `${early} of 2400 are of the first half`);
});

test('a page that does not paint keeps no more than it can use', () => {
    const page = looking();
    for (let i = 0; i < 10000; i++) {
        page.delays.note(changed(page.clock));
    }
    page.delays.painted();
    assert.equal(page.delays.count, 64);
});
