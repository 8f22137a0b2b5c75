/*
 * Viewers that stop reading harm nobody: 50 viewers at 200 changes a second, five of which stop for 15 s. The others' delay
 * (from the post to the frame in a viewer's hands) is compared with the same run before and after, without stalled ones.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { isSanitized, plainBinary, startGateway, stopAll } from '../support/gateway.mjs';
import { Oracle } from '../support/oracle.mjs';
import { SseViewer } from '../support/viewer.mjs';
import { atRate, until } from '../support/waiting.mjs';

const VIEWERS = 50;
const STALLED = 5;
const PER_SECOND = 200;
const ROWS = 250;
const STALL_S = 15; // their buffers are full after a few seconds: the test sees to it
const PLAIN_S = 6;
const HEALTHY = { from: STALLED, to: VIEWERS };
const SLEEPERS = { from: 0, to: STALLED };

const wallNow = () => performance.timeOrigin + performance.now();

after(async () => {
    endCrowds();
    await stopAll();
});

/** A gateway with its viewers and its stream of changes, and what they must come to. */
class Scene {
    static async open(binary) {
        const scene = new Scene();
        scene.gateway = await startGateway({ fanout: { flush_ms: 0, heartbeat_ms: 5000 } }, { binary });
        scene.oracle = new Oracle();
        scene.crowd = new Crowd();
        scene.step = 0;
        const rows = Array.from({ length: ROWS }, (_, i) => scene.change(i));
        scene.oracle.apply(rows, await scene.gateway.post(rows));
        await scene.crowd.call('open', { port: scene.gateway.port, count: VIEWERS, board: 'alpha', stamp: 'test.rows#' });
        return scene;
    }

    /** About 1 KB, so that a stalled viewer's kernel buffers are full within seconds. */
    change(row) {
        this.step++;
        const text = `${this.step} `.padEnd(1000, 'abcdefgh ');
        return { field: `test.rows#${row}`, value: { text, sent: Number(wallNow().toFixed(2)) }, as_of: Date.now() };
    }

    /** Changes for `seconds`; resolves with the span of time in which they were posted. */
    async run(seconds) {
        const began = wallNow();
        await atRate(PER_SECOND, seconds * PER_SECOND, async (i) => {
            const changes = [this.change(i % ROWS)];
            this.oracle.apply(changes, await this.gateway.post(changes));
        });
        const ended = wallNow();
        await this.settled(HEALTHY);
        return [began, ended];
    }

    delays(spans) {
        return this.crowd.call('delays', { spans, ...HEALTHY });
    }

    settled(range) {
        return this.crowd.call('reached', { board: 'alpha', offset: this.oracle.offset('alpha'), ...range });
    }

    async assertSound() {
        const reports = await this.crowd.call('reports');
        reports.forEach(({ violations, isClosed }, i) => assert.deepEqual([violations, isClosed], [[], false], `viewer ${i}`));
        const { first, differing } = await this.crowd.call('fields', { board: 'alpha' });
        assert.equal(differing, 0);
        this.oracle.assertEqual('alpha', first);
    }

    async close() {
        this.crowd.end();
        await this.gateway.stop();
    }
}

const told = ({ p50, p99, p99OfSecond }) => [p50, p99, p99OfSecond].map((ms) => ms.toFixed(2)).join(' / ');

test('five stalled viewers of 50: the others are as fast, memory stays, each wakes to the final state', { timeout: 240000 }, async (context) => {
    const scene = await Scene.open(plainBinary);
    const { gateway, crowd } = scene;
    await scene.run(2); // warm
    const before = await scene.run(PLAIN_S);
    const rss = gateway.rss();
    await crowd.call('pause', SLEEPERS);
    const during = await scene.run(STALL_S);
    const growth = (gateway.rss() - rss) / STALLED;
    assert.ok(await gateway.metric('gw_slow_total') >= STALLED, 'the buffers did not fill');

    /*
     * Nobody posts while they wake: what the gateway hands out now is for them. Before it they read what the kernel's
     * buffers took while they still had room; the gateway could not take that back, so it is not counted here.
     */
    const handed = await gateway.metric('gw_frames_total', { kind: 'update' });
    await crowd.call('resume', SLEEPERS);
    await scene.settled(SLEEPERS);
    const afterWake = await gateway.metric('gw_frames_total', { kind: 'update' }) - handed;
    await scene.assertSound();
    assert.ok(afterWake >= STALLED && afterWake <= STALLED * 5, `${afterWake} update frames for ${STALLED} woken viewers`);

    const plain = await scene.delays([before, await scene.run(PLAIN_S)]);
    const stalled = await scene.delays([during]);
    assert.ok(stalled.count >= STALL_S * PER_SECOND * (VIEWERS - STALLED) / 4, `${stalled.count} updates`);
    context.diagnostic(`ms, p50 / p99 / p99 of a second: without ${told(plain)}, with ${told(stalled)}; ` +
        `${(growth / 1024).toFixed(1)} KiB per stalled viewer; ${afterWake} frames handed out after waking`);
    if (isSanitized(plainBinary)) {
        context.diagnostic('sanitized binary: memory and delays are not judged');
    } else {
        assert.ok(growth < 64 * 1024, `${(growth / 1024).toFixed(1)} KiB per stalled viewer`);
        /* Coarsely: who waited for a stalled viewer would wait for seconds. How much p99 moves is the case "stalled" of loadtest/bench.mjs. */
        assert.ok(stalled.p50 <= plain.p50 * 2 + 10, `p50 ${told(stalled)} ms with stalled viewers, ${told(plain)} ms without`);
    }
    await scene.close();
});

test('a stalled event stream catches up with few frames as well', { timeout: 60000 }, async () => {
    const gateway = await startGateway({ fanout: { flush_ms: 0 } });
    const oracle = new Oracle();
    const stream = await SseViewer.open(gateway.port, 'alpha');
    await stream.next('snapshot');
    stream.response.pause();
    let i = 0;
    await until('the stream to be slow', async () => {
        const text = `${i}`.padEnd(1000, 'x');
        const changes = Array.from({ length: 100 }, () => ({ field: `test.rows#${i++ % 200}`, value: { text }, as_of: Date.now() }));
        oracle.apply(changes, await gateway.post(changes));
        return await gateway.metric('gw_slow_total') > 0;
    }, { within: 30000 });
    for (let more = 0; more < 100; more++) {
        const changes = [{ field: 'test.count', value: more, as_of: Date.now() }];
        oracle.apply(changes, await gateway.post(changes));
    }
    const before = await gateway.metric('gw_frames_total', { kind: 'update' });
    stream.response.resume();
    await stream.reached('alpha', oracle.offset('alpha'));
    const handed = await gateway.metric('gw_frames_total', { kind: 'update' }) - before;
    assert.ok(handed >= 1 && handed <= 5, `${handed} frames`);
    oracle.assertEqual('alpha', stream.copy('alpha').fields);
    stream.assertSound();
    stream.cut();
    await gateway.stop();
});
