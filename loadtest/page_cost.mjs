/*
 * What the page costs the machine it is looked at on: a real gateway, a real Chromium on the executive board, and changes at
 * a fixed rate.
 *
 *     node loadtest/page_cost.mjs [--seconds 60] [--rate 200] [--build build] [--profile FILE]
 *     node loadtest/page_cost.mjs --soak MINUTES [--rate 50]
 *
 * The first: main thread time per frame (everything the main thread does between two frames, of Chromium's own trace) and from the
 * moment a change is sent until it was painted. Changes go round the KPIs of the board, and round the rows of each, and every tenth is a counter in a tile
 * that has to show it. --profile leaves a .cpuprofile of the run for Chromium's developer tools; it slows the page down.
 *
 * The second: the heap after collecting garbage and the number of nodes, each minute, with the values of the start on the board: a
 * pill that comes with a threshold is no growth. The first minute is for warming up.
 *
 * Ends with status 1 when something is above its limit. Says how much of the machine others took: above a few percent the
 * times are theirs too.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { plainBinary, root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { atRate, percentile, sleep, until } from '../tests/support/waiting.mjs';
import { openBrowser, openPage, showBoard } from '../tests/web/support/browser.mjs';
import { valuesOf } from '../tests/web/support/fixture_values.mjs';

export const LIMITS = { frame_p95_ms: 4, paint_p95_ms: 50, heap_growth_bytes: 5e6 };
const BOARD = 'executive';
const COUNTER = 'exec.revenue_mtd';
const COUNTER_EVERY = 10;
const FIRST = 1000000;
/** What a frame's time goes to, by the names of Chromium's trace. FunctionCall is in FireAnimationFrame too. */
const PARTS = ['FireAnimationFrame', 'FunctionCall', 'UpdateLayoutTree', 'Layout', 'PrePaint', 'Paint', 'Layerize', 'Commit', 'MinorGC', 'MajorGC'];
const CATEGORIES = ['disabled-by-default-devtools.timeline', 'devtools.timeline'];

// ---- changes ----

const varied = (value, i) => (typeof value === 'number' && !Number.isInteger(value) ? Math.round(value * (1 + (i % 7) / 100) * 1000) / 1000 :
    typeof value === 'number' ? value + (i % 5) : value);

/** The same value a little different, of any type that the board shows. */
function variedValue(value, i) {
    if (typeof value === 'string' && /^\d+\.\d\d$/.test(value)) {
        return (Number(value) + (i % 97)).toFixed(2);
    }
    if (value && typeof value === 'object') {
        return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, variedValue(member, i)]));
    }
    return varied(value, i);
}

/** Fields of the board with values that its definitions take, by KPI. */
async function fieldsOf(gateway) {
    const definition = (await gateway.get(`/api/v1/dashboards/${BOARD}/definition`)).json();
    const { fields } = valuesOf(definition, Date.now(), 'normal');
    const changes = Object.entries(fields).filter(([field]) => field !== COUNTER).map(([field, { v }]) => ({ field, value: v }));
    const { items } = await gateway.post([...changes, { field: COUNTER, value: `${FIRST}.00` }]);
    const byKpi = new Map();
    for (const change of changes.filter((_, i) => items[i].result === 'accepted')) {
        const [kpi] = change.field.split('#');
        byKpi.set(kpi, [...(byKpi.get(kpi) ?? []), change]);
    }
    return [...byKpi.values()];
}

/** Sends changes at a rate; `sent` holds when each count of the counter was sent. */
class Producer {
    constructor(gateway, changes, rate) {
        Object.assign(this, { gateway, changes, rate, sent: [], refused: 0, pending: 0, pause: null, isOver: false });
    }

    #change(i) {
        if (i % COUNTER_EVERY === 0) {
            this.sent.push(Date.now());
            return { field: COUNTER, value: `${FIRST + this.sent.length}.00` };
        }
        const fields = this.changes[i % this.changes.length];
        const { field, value } = fields[Math.floor(i / this.changes.length) % fields.length];
        return { field, value: variedValue(value, i) };
    }

    async run(seconds) {
        await atRate(this.rate, seconds * this.rate, async (i) => {
            await this.pause;
            this.pending++;
            // Not waited for: a rate is a rate.
            this.gateway.post(this.#change(i)).then(({ refused }) => { this.refused += refused; }, () => { this.refused++; })
                .finally(() => { this.pending--; });
        }, () => this.isOver);
    }

    /** The board as it was at the start, with the next count; `act` looks at it, and then the changes go on. */
    async atRest(page, act) {
        let goOn;
        this.pause = new Promise((resolve) => { goOn = resolve; });
        await until('every change answered', () => this.pending === 0);
        this.sent.push(Date.now());
        const amount = FIRST + this.sent.length;
        await this.gateway.post([...this.changes.flat(), { field: COUNTER, value: `${amount}.00` }]);
        await page.waitForFunction(([kpi, wanted]) => Number(document.querySelector(`[data-kpi="${kpi}"] data`).value.replace(/[^\d.]/g, '')) === wanted, [COUNTER, amount]);
        const seen = await act();
        this.pause = null;
        goOn();
        return seen;
    }
}

// ---- what the page did ----

/** Remember when each count was on the screen: a task queued in the frame that changed it runs after its paint. */
const watchCounter = (page) => page.evaluate((kpi) => {
    const tile = document.querySelector(`[data-kpi="${kpi}"]`);
    const { port1, port2 } = new MessageChannel();
    window.painted = []; // [count, at]
    port1.onmessage = ({ data }) => window.painted.push([data, Date.now()]);
    new MutationObserver(() => port2.postMessage(Number(tile.querySelector('data').value.replace(/[^\d.]/g, ''))))
        .observe(tile, { subtree: true, childList: true, characterData: true, attributes: true });
}, COUNTER);

/** Each count waits for the first paint that shows it or a later one. */
function paintDelays(sent, painted) {
    let next = 0;
    return sent.map((at, i) => {
        while (next < painted.length && painted[next][0] < FIRST + i + 1) {
            next++;
        }
        return next < painted.length ? painted[next][1] - at : Infinity;
    });
}

/**
 * Main thread time per frame in ms, by the clock and what of it was spent on the processor: the tasks since the frame before, and
 * the one that this frame was made in.
 */
function frameCosts(events) {
    const frames = events.filter(({ name }) => name === 'PrePaint').sort((a, b) => a.ts - b.ts);
    const tasks = events.filter(({ name, tid, pid }) => name === 'RunTask' && tid === frames[0]?.tid && pid === frames[0]?.pid).sort((a, b) => a.ts - b.ts);
    let next = 0;
    return frames.map((frame) => {
        let [wall, busy] = [0, 0];
        for (; next < tasks.length && tasks[next].ts <= frame.ts; next++) {
            wall += tasks[next].dur;
            busy += tasks[next].tdur;
        }
        return { wall: wall / 1000, busy: busy / 1000 };
    }).slice(1);
}

/** Mean milliseconds per frame of each part. Parts may hold each other. */
function partsOf(events, frameCount) {
    const { pid, tid } = events.find(({ name }) => name === 'PrePaint') ?? {};
    const own = events.filter((event) => event.pid === pid && event.tid === tid);
    return Object.fromEntries(PARTS.map((part) => [part, own.filter(({ name }) => name === part).reduce((sum, { dur }) => sum + dur, 0) / 1000 / frameCount]));
}

async function traced(page, act) {
    const session = await page.context().newCDPSession(page);
    const events = [];
    const isKept = ({ name, ph }) => ph === 'X' && (name === 'RunTask' || PARTS.includes(name));
    session.on('Tracing.dataCollected', ({ value }) => value.filter(isKept).forEach((event) => events.push(event)));
    const complete = new Promise((resolve) => { session.once('Tracing.tracingComplete', resolve); });
    await session.send('Tracing.start', {
        transferMode: 'ReportEvents',
        traceConfig: { recordMode: 'recordAsMuchAsPossible', includedCategories: CATEGORIES, excludedCategories: ['*'] },
    });
    await act();
    await session.send('Tracing.end');
    await complete;
    return events;
}

async function profiled(page, file, act) {
    const session = await page.context().newCDPSession(page);
    await session.send('Profiler.enable');
    await session.send('Profiler.start');
    await act();
    const { profile } = await session.send('Profiler.stop');
    fs.writeFileSync(file, JSON.stringify(profile));
}

const processors = () => fs.readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1, 9).map(Number);

/** Share of the machine that was busy, and that the hypervisor took, while something ran. */
async function machineWhile(act) {
    const before = processors();
    await act();
    const [user, nice, system, idle, wait, irq, soft, steal] = processors().map((ticks, i) => ticks - before[i]);
    const all = user + nice + system + idle + wait + irq + soft + steal;
    return { busy: (all - idle - wait) / all, stolen: steal / all };
}

const quantiles = (numbers) => ({ p50: percentile(numbers, 0.5), p95: percentile(numbers, 0.95), p99: percentile(numbers, 0.99), max: Math.max(...numbers) });

// ---- the two measurements ----

async function withPage(binary, measure) {
    const definitions = { dir: path.join(root, 'deploy/definitions') };
    const [browser, gateway] = await Promise.all([openBrowser(), startGateway({ definitions }, { binary })]);
    try {
        const changes = await fieldsOf(gateway);
        const { page, troubles, close } = await openPage(browser);
        await showBoard(page, `http://127.0.0.1:${gateway.port}`, BOARD);
        await page.waitForFunction((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`)?.value, COUNTER);
        const result = await measure({ page, gateway, changes });
        await close();
        return { ...result, troubles };
    } finally {
        await browser.close();
        await gateway.stop();
    }
}

/** {frames, frame_ms, busy_ms, parts_ms, paint_ms, refused, lost, machine, troubles}; times in ms. */
export const pageCost = ({ seconds, rate, binary = plainBinary, profile }) => withPage(binary, async ({ page, gateway, changes }) => {
    await new Producer(gateway, changes, rate).run(2); // fonts, charts, compiled code
    const producer = new Producer(gateway, changes, rate);
    await watchCounter(page);
    let events = [];
    const machine = await machineWhile(async () => {
        const act = async () => {
            await producer.run(seconds);
            const last = FIRST + producer.sent.length;
            await until('the last count on the screen', () => page.evaluate((count) => window.painted.some(([each]) => each >= count), last));
        };
        if (profile) {
            await profiled(page, profile, act);
        } else {
            events = await traced(page, act);
        }
    });
    const delays = paintDelays(producer.sent, await page.evaluate(() => window.painted));
    const costs = frameCosts(events);
    return {
        frames: costs.length, frame_ms: quantiles(costs.map(({ wall }) => wall)), busy_ms: quantiles(costs.map(({ busy }) => busy)),
        parts_ms: partsOf(events, costs.length), paint_ms: quantiles(delays), counts: delays.length, refused: producer.refused, machine,
    };
});

async function heapOf(page, session) {
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    return { bytes: usedSize, nodes: await page.evaluate(() => document.querySelectorAll('*').length) };
}

/** {samples: [{minute, bytes, nodes}], growth_bytes, nodes: [lowest, highest], refused, troubles}, from the end of the first minute on. */
export const pageSoak = ({ minutes, rate, minuteMs = 60000, binary = plainBinary, onSample = () => {} }) => withPage(binary, async ({ page, gateway, changes }) => {
    const session = await page.context().newCDPSession(page);
    await session.send('HeapProfiler.enable');
    const producer = new Producer(gateway, changes, rate);
    const running = producer.run(((minutes + 2) * minuteMs) / 1000);
    const samples = [];
    for (let minute = 1; minute <= minutes + 1; minute++) {
        await sleep(minuteMs);
        samples.push({ minute, ...await producer.atRest(page, () => heapOf(page, session)) });
        onSample(samples.at(-1));
    }
    producer.isOver = true;
    await running;
    const nodes = samples.map((sample) => sample.nodes);
    return { samples, growth_bytes: samples.at(-1).bytes - samples[0].bytes, nodes: [Math.min(...nodes), Math.max(...nodes)], refused: producer.refused };
});

// ---- as a program ----

const shown = ({ p50, p95, p99, max }) => `p50 ${p50.toFixed(1)}  p95 ${p95.toFixed(1)}  p99 ${p99.toFixed(1)}  max ${max.toFixed(1)} ms`;

async function tellCost({ seconds, rate, binary, profile }) {
    const result = await pageCost({ seconds, rate, binary, profile });
    const { machine } = result;
    console.log(`${rate} changes/s for ${seconds} s; machine ${(machine.busy * 100).toFixed(0)} % busy, ${(machine.stolen * 100).toFixed(1)} % stolen`);
    if (!profile) {
        console.log(`main thread per frame  ${shown(result.frame_ms)}  of ${result.frames} frames; on the processor ${shown(result.busy_ms)}`);
        console.log(`of that, on average    ${Object.entries(result.parts_ms).map(([part, ms]) => `${part} ${ms.toFixed(2)}`).join('  ')} ms`);
    }
    console.log(`sent to painted        ${shown(result.paint_ms)}  of ${result.counts} counts; refused ${result.refused}`);
    result.troubles.forEach((trouble) => console.log(trouble));
    const isFast = profile || result.frame_ms.p95 <= LIMITS.frame_p95_ms;
    return isFast && result.paint_ms.p95 <= LIMITS.paint_p95_ms && result.refused === 0 && result.troubles.length === 0;
}

async function tellSoak({ minutes, rate, binary }) {
    const tell = ({ minute, bytes, nodes }) => console.log(`minute ${minute}: heap ${(bytes / 1e6).toFixed(2)} MB, ${nodes} nodes`);
    const result = await pageSoak({ minutes, rate, binary, onSample: tell });
    console.log(`${rate} changes/s for ${minutes} minutes: heap grew by ${(result.growth_bytes / 1e6).toFixed(2)} MB, nodes ${result.nodes.join(' to ')}; refused ${result.refused}`);
    result.troubles.forEach((trouble) => console.log(trouble));
    return result.growth_bytes < LIMITS.heap_growth_bytes && result.nodes[0] === result.nodes[1] && result.refused === 0 && result.troubles.length === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const { values } = parseArgs({
        options: {
            seconds: { type: 'string', default: '60' }, rate: { type: 'string' }, build: { type: 'string', default: 'build' },
            soak: { type: 'string' }, profile: { type: 'string' },
        },
    });
    const binary = path.resolve(root, values.build, 'gateway/sophia-gateway');
    const isGood = values.soak ? await tellSoak({ minutes: Number(values.soak), rate: Number(values.rate ?? 50), binary }) :
        await tellCost({ seconds: Number(values.seconds), rate: Number(values.rate ?? 200), binary, profile: values.profile });
    await stopAll();
    process.exitCode = isGood ? 0 : 1;
}
