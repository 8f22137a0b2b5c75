/*
 * Whatever viewers and producers do, in whatever order: in an epoch no viewer's board goes back, no gap is silent, and after
 * quiet every board equals what was posted. A failed run names its seed; SOPHIA_GATEWAY_SEED repeats the schedule.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startGateway, stopAll } from '../support/gateway.mjs';
import { Oracle } from '../support/oracle.mjs';
import { SseViewer, WsViewer } from '../support/viewer.mjs';
import { atRate, chance, seedOfRun, until } from '../support/waiting.mjs';

const RUN_MS = 20000;
const VIEWERS = 24;
const boards = ['alpha', 'beta'];

after(stopAll);

/** A change of any kind, sometimes one that is refused, older or says nothing new. */
function randomChange(dice, step) {
    const asOf = Date.now();
    const text = `step ${step} `.padEnd(20 + dice.below(600), 'x');
    return dice.pick([
        () => ({ field: 'test.count', value: step, as_of: asOf }),
        () => ({ field: 'test.level', value: dice.below(1000), as_of: asOf }),
        () => ({ field: 'test.level', value: null, as_of: asOf }),
        () => ({ field: 'test.money', value: `${dice.below(1000)}.${10 + dice.below(90)}`, as_of: asOf }),
        () => ({ field: 'test.share', num: dice.below(10), den: 10 + dice.below(2), as_of: asOf }),
        () => ({ field: 'test.mode', value: dice.pick(['on', 'slow', 'off']), as_of: asOf }),
        () => ({ field: 'test.mix', value: { left: dice.below(9), right: step }, as_of: asOf }),
        () => ({ field: 'test.other', value: step, version: Math.max(1, step - dice.below(30)), as_of: asOf }),
        () => ({ field: `test.rows#${dice.below(60)}`, value: { text, sent: step }, as_of: asOf }),
        () => ({ field: `test.rows#${dice.below(60)}`, value: { text }, as_of: asOf }),
        () => ({ field: `test.rows#${dice.below(60)}`, delete: true }),
        () => ({ field: `test.feed#${dice.below(30)}`, value: { text }, as_of: asOf }),
        () => ({ field: `test.series#${1000 + Math.floor(step / 5)}`, value: { value: step }, as_of: asOf }),
        () => ({ field: 'test.nothing', value: 1 }),
    ])();
}

/** One of the audience: it connects, watches, dawdles, hides, stops reading, leaves without a word and comes back. */
class Guest {
    constructor(gateway, dice, index) {
        Object.assign(this, { gateway, dice, index, viewer: null, copies: new Map(), violations: [], isPaused: false });
        this.isStream = index % 4 === 3;
    }

    async join() {
        const { dice } = this;
        const board = dice.pick(boards);
        const copy = dice.next() < 0.8 ? this.copies.get(board) : undefined;
        if (this.isStream) {
            const query = dice.next() < 0.3 ? `?max_rate=${1 + dice.below(20)}` : '';
            this.viewer = await SseViewer.open(this.gateway.port, board, { keeps: false, lastEventId: copy?.position, query, copy });
            this.watched = new Set([board]);
            return;
        }
        this.viewer = await WsViewer.open(this.gateway.port, { wire: dice.pick(['raw', 'ws']), keeps: false, copy });
        this.watched = new Set();
        this.subscribe(board);
    }

    subscribe(board) {
        const { dice, viewer } = this;
        const quality = dice.pick([{}, {}, { max_rate: 0.5 + dice.below(30) }, { hidden: true }, { max_rate: 5, hidden: false }]);
        const { position } = viewer.copy(board);
        viewer.subscribe(board, { ...quality, ...(position ? { position } : {}) });
        this.watched.add(board);
    }

    leave() {
        for (const [board, copy] of this.viewer.copies) {
            this.copies.set(board, copy.clone());
        }
        this.violations.push(...this.viewer.everyViolation());
        this.viewer.cut();
        this.viewer = null;
        this.isPaused = false;
    }

    async act() {
        const { dice, viewer } = this;
        if (!viewer) {
            await this.join();
            return;
        }
        const roll = dice.next();
        const board = dice.pick([...this.watched]);
        if (roll < 0.25) {
            this.leave();
        } else if (roll < 0.45) {
            this.pause(!this.isPaused);
        } else if (!this.isStream && roll < 0.7) {
            viewer.say({ type: 'quality', board, hidden: dice.next() < 0.5 });
        } else if (!this.isStream && roll < 0.85) {
            viewer.say({ type: 'quality', board, max_rate: dice.pick([0, 0.5, 3, 40]) });
        } else if (!this.isStream) {
            this.subscribe(dice.pick(boards));
        }
    }

    pause(isPaused) {
        this.isPaused = isPaused;
        const stream = this.isStream ? this.viewer.response : this.viewer;
        (isPaused ? stream.pause : stream.resume).call(stream);
    }

    /** Come back, read, look at everything. */
    async settle() {
        if (!this.viewer) {
            await this.join();
        }
        this.pause(false);
        if (!this.isStream && this.index % 2 === 0) {
            this.watched.forEach((board) => this.viewer.say({ type: 'quality', board, hidden: false, max_rate: 0 }));
        } else if (!this.isStream) {
            boards.forEach((board) => {
                const { position } = this.viewer.copy(board);
                this.viewer.subscribe(board, position ? { position } : {});
                this.watched.add(board);
            });
        }
    }
}

test('a random schedule of viewers and changes ends with every board as posted', { timeout: 90000 }, async (context) => {
    const seed = seedOfRun();
    context.diagnostic(`SOPHIA_GATEWAY_SEED=${seed}`);
    const dice = chance(seed); // of the viewers; the producer has its own, or their turns would mix
    const producerDice = chance(seed + 1);
    const gateway = await startGateway({
        fanout: { flush_ms: 10, heartbeat_ms: 300, send_buffer_bytes: 4096 },
        limits: { removed_rows_per_board: 4, positions_per_board: 64 },
    });
    const oracle = new Oracle();
    const guests = Array.from({ length: VIEWERS }, (_, index) => new Guest(gateway, dice, index));
    const end = Date.now() + RUN_MS;
    const isOver = () => Date.now() > end;
    let step = 0;
    const produce = atRate(100, Infinity, async () => {
        const changes = Array.from({ length: 1 + producerDice.below(8) }, () => randomChange(producerDice, ++step));
        oracle.apply(changes, await gateway.post(changes));
    }, isOver);
    const act = atRate(60, Infinity, () => dice.pick(guests).act(), isOver);
    await Promise.all([produce, act]);

    for (const guest of guests) {
        await guest.settle();
    }
    const say = `seed ${seed}`;
    for (const { viewer, watched, index, violations } of guests) {
        for (const board of watched) {
            await until(`guest ${index} to be at the end of ${board} (${say}; ${viewer.describe()})`,
                () => viewer.copy(board).offset === oracle.offset(board));
            oracle.assertEqual(board, viewer.copy(board).fields, `guest ${index} (${say})`);
        }
        assert.deepEqual([...violations, ...viewer.everyViolation()], [], say);
        assert.equal(viewer.counts.error, undefined, viewer.describe());
    }
    for (const board of boards) {
        oracle.assertEqual(board, (await gateway.snapshot(board)).set, `the snapshot (${say})`);
    }
    const metrics = await gateway.metrics();
    const of = (name) => metrics.get(name);
    context.diagnostic(`${step} changes, ${oracle.offset('alpha')} applied to alpha; ${of('gw_accepted_total')} connections, ` +
        `${of('gw_resumed_total')} resumed, ${of('gw_slow_total')} times slow, ${of('gw_coalesced_total')} merged`);
    assert.ok(of('gw_resumed_total') > 20 && of('gw_coalesced_total') > 100, 'the schedule was too tame to show anything');
    guests.forEach((guest) => guest.leave());
    await gateway.stop();
});
