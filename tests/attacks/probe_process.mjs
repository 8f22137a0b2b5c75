/*
 * The process behind probe.mjs: a producer, and a viewer that subscribed before anything happened. A value carries when it
 * was sent; its delay ends when the viewer has it.
 */
import { keptAlive, post } from '../support/http_client.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { percentile, sleep, until } from '../support/waiting.mjs';

const ROWS = 50; // by turns, so that an update that was late has every value that it is late with
const HEARD_WITHIN_MS = 30000; // of a machine that does many other things

let port, viewer, agent;
let sent = 0, heard = 0;
let delays = [], failures = [];
let isOver = false, posting;

const now = () => performance.now();

function take(message, at) {
    const rows = message.type === 'update' ? Object.entries(message.set).filter(([name]) => name.startsWith('test.rows#probe')) : [];
    for (const [, { v }] of rows) {
        heard = Math.max(heard, Number(v.text));
        delays.push(at - v.sent);
    }
}

/** One value; the next is due whatever becomes of it. */
async function produce() {
    const change = { field: `test.rows#probe-${++sent % ROWS}`, value: { text: `${sent}`, sent: now() } };
    const answer = await post(port, change, { agent }).catch((error) => ({ status: 0, text: error.message }));
    if (answer.status !== 200 || answer.json().accepted !== 1) {
        failures.push(`${answer.status} ${answer.text}`.slice(0, 200));
    }
}

/* By the clock and not one after the other: a gateway that is late must not be asked less. */
async function keepProducing(perSecond) {
    const began = now();
    const under = new Set();
    for (let i = 0; !isOver; i++) {
        await sleep(Math.max(1, began + (i * 1000) / perSecond - now()));
        const one = produce().finally(() => under.delete(one));
        under.add(one);
    }
    await Promise.all(under);
}

const calls = {
    async open({ port: at, perSecond }) {
        port = at;
        agent = keptAlive(port, { maxSockets: 1 });
        viewer = await WsViewer.open(port, { wire: 'raw', keeps: false });
        viewer.subscribe('alpha');
        await until('the board', () => viewer.counts.snapshot === 1);
        viewer.onMessage = take;
        posting = keepProducing(perSecond);
        await until('the first value', () => heard > 0);
    },

    begin() {
        delays = [];
        failures = [];
    },

    /** What was seen since begin(), once at least `count` values were and the newest one is there. */
    async report({ count }) {
        await until(`${count} values`, () => delays.length >= count || viewer.isClosed, { within: HEARD_WITHIN_MS });
        const last = sent;
        await until(`value ${last} (${failures.at(-1) ?? 'all were taken'})`, () => heard >= last || viewer.isClosed,
            { within: HEARD_WITHIN_MS });
        return {
            count: delays.length, p50: percentile(delays, 0.5), p99: percentile(delays, 0.99), most: Math.max(...delays),
            failures, isClosed: viewer.isClosed, code: viewer.code, violations: viewer.everyViolation(),
        };
    },

    async close() {
        isOver = true;
        await posting;
        await viewer.close();
        agent.destroy();
    },
};

process.on('message', async ({ id, name, options }) => {
    try {
        process.send({ id, answer: (await calls[name](options)) ?? null });
    } catch (error) {
        process.send({ id, error: error.stack });
    }
});
process.on('disconnect', () => process.exit());
