/*
 * What fan-out costs, next to what it costs at the least on this machine in the same minutes, and whether it is as cheap as we say.
 *
 *     node loadtest/bench.mjs [--runs 7] [--only NAME] [--quick] [--json FILE] [--build build]
 *
 * Every case has sides: floors (floor.c) and gateways (load.mjs with sophia-load). A round runs each side once, every other
 * round in reverse; ratios are made within a round, and medians over rounds. A run during which other processes or the
 * hypervisor took more than 5 % of the machine does not count. docs/performance.md says why.
 *
 * --only: cases whose name begins with this; several, separated by commas. --quick: two short rounds with few viewers, to see that everything
 * works; its numbers mean nothing and no bar is judged. --json: everything, for plot.mjs.
 * Ends with status 1 when a bar is missed or could not be decided, or a run was not sound.
 */
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isSanitized, plainBinary, root } from '../tests/support/gateway.mjs';
import { keepAwake } from './awake.mjs';
import { judge, measured, spread } from './bench_numbers.mjs';

const FLUSH_MS = 20;
const CPU = 'cpu_us_per_delivery';
const CPU_PER_CHANGE = 'cpu_us_per_change_viewer';

/* ---- the cases ---- */

/*
 * A side is { floor: path } or { gateway: sections of its configuration }, each with what it changes in the case's load.
 * `load` is a scenario of sophia-load (load_scenario.h). A change is told to every viewer of its board, so a floor makes as many rounds
 * in the same time.
 */
const send = { floor: 'send' };
const portable = { gateway: { fanout: { io_uring: false } } };
const uring = { gateway: { fanout: { io_uring: true } } };
const workers = (count) => ({ gateway: { workers: count, journal: { kind: 'redis' } } });

/** One board that all watch, changed so often that a floor of 5 us is busy for a third of the time. */
const steady = (viewers, valueBytes = 0) => ({
    viewers, producer: { kind: 'ingest', rate: Math.min(50, 60000 / viewers), value_bytes: valueBytes },
});
const manyBoards = (count) => ({
    viewers: 10000, boards: { count, prefix: 'load-' }, fields: 1, producer: { kind: 'ingest', rate: 5 * count, outstanding: count },
});
/** Changes that may gather for the flush window, as those of most KPIs may; elsewhere they are critical and go at once. */
const gathering = (viewers, producer) => ({ viewers, kpis: { priority: 'normal' }, producer: { kind: 'ingest', ...producer } });

const plain = (viewers, valueBytes, bars) => ({
    name: `plain-${viewers}-${valueBytes === 0 ? 'small' : valueBytes}`, about: 'One change at a time to everybody, over plain WebSocket.',
    load: steady(viewers, valueBytes), sides: { send, 'io_uring floor': { floor: 'uring' }, portable, io_uring: uring },
    bars: [{ ratio: ['portable', 'send'], member: CPU, most: 1.10 }, ...bars],
});
const uringAtMost = (most) => ({ ratio: ['io_uring', 'send'], member: CPU, most });
/*
 * Taking a change in costs some tens of microseconds, however many are told of it: with few viewers to a board that is most of a delivery.
 * So the same changes are also sent with one viewer, and `less` says what is left for telling the others.
 */
const scaling = (group, x, load) => ({
    name: `${group}-${x}`, about: `Does the cost of a delivery depend on how many ${group} there are?`, group, x, load,
    sides: { send, gateway: uring, 'one viewer': { ...uring, load: { viewers: 1 } } },
    bars: [{ ratio: ['gateway', 'send'], member: CPU }, { ratio: ['gateway', 'send'], member: CPU, less: 'one viewer' }],
});
const VALUE_BYTES = 400; // with what surrounds it, a frame of some 512 bytes
const STALLED = 0.05;

const cases = [
    plain(1000, 0, [uringAtMost(1.10)]),
    plain(1000, VALUE_BYTES, [uringAtMost(1.10)]),
    plain(10000, 0, [uringAtMost(0.92)]),
    plain(10000, VALUE_BYTES, [uringAtMost(0.92)]),
    {
        name: 'outstanding-8', about: 'Eight changes of one board at one moment, against a server that tells each of them.',
        load: { ...gathering(10000, { rate: 16, outstanding: 8 }), fields: 8 }, sides: { send: { floor: 'send', outstanding: 8 }, gateway: uring },
        bars: [{ ratio: ['gateway', 'send'], member: CPU_PER_CHANGE, most: 0.16 }],
    },
    {
        name: 'outstanding-1000-per-second', about: 'A board that changes a thousand times a second, against a server that tells each of them.',
        load: gathering(1000, { rate: 1000 }),
        sides: { send: { floor: 'send', outstanding: 20, every: 400 }, gateway: uring },
        bars: [
            { ratio: ['gateway', 'send'], member: CPU_PER_CHANGE, most: 0.05 },
            { value: 'gateway', member: 'latency_ms.p99', most: FLUSH_MS + 10 },
        ],
    },
    {
        name: 'idle-memory', about: 'Viewers of a board that does not change.', load: { viewers: 10000, producer: { kind: 'none' } },
        sides: { gateway: uring }, bars: [{ value: 'gateway', member: 'rss_kib.per_viewer', most: 2.0 }],
    },
    {
        name: 'storm', about: 'Ten thousand come back at one moment, and a thousand are there already.',
        load: { viewers: 11000, producer: { kind: 'ingest', rate: 5 } },
        sides: { quiet: uring, storm: { ...uring, load: { storm: { at_s: 2, viewers: 10000 } } } },
        bars: [
            { value: 'storm', member: 'connect.errors', most: 0 },
            { value: 'storm', member: 'connect.cpu_us_each', most: 70 },
            { ratio: ['storm', 'quiet'], member: 'latency_ms.p99', most: 2 },
        ],
    },
    {
        name: 'stalled', about: 'One viewer in twenty reads nothing.', load: steady(10000),
        sides: { quiet: uring, stalled: { ...uring, load: { slow: { share: STALLED, read_bytes_per_s: 0 } } } },
        bars: [
            { ratio: ['stalled', 'quiet'], member: 'latency_ms.p99', most: 1.2 },
            { growth: ['stalled', 'quiet'], member: 'rss_kib.end', per: 10000 * STALLED, most: 64 },
        ],
    },
    ...[100, 300, 1000, 3000, 10000, 19000].map((viewers) => scaling('viewers', viewers, steady(viewers))),
    ...[1, 10, 100, 1000].map((boards) => scaling('boards', boards, manyBoards(boards))),
    {
        name: 'workers', about: 'Two processes on one port instead of one, ordered by Redis.', load: steady(3000),
        sides: { one: workers(1), two: workers(2) },
        bars: [{ ratio: ['two', 'one'], member: CPU }, { ratio: ['two', 'one'], member: 'latency_ms.p99' }],
    },
];

/** Bars on several cases together: the ratio of a group, less what taking changes in costs, may rise by so much from its lowest to its highest. */
const groups = [{ group: 'viewers', most: 0.15 }, { group: 'boards', most: 0.15 }];

/* ---- running a side ---- */

const { values } = parseArgs({
    options: {
        runs: { type: 'string', default: '7' }, only: { type: 'string', default: '' }, quick: { type: 'boolean', default: false },
        json: { type: 'string' }, build: { type: 'string', default: 'build' },
        load: { type: 'string', default: fileURLToPath(new URL('load.mjs', import.meta.url)) }, // stands in for it in tests
    },
});
const ROUNDS = values.quick ? 2 : Number(values.runs);
const SECONDS = values.quick ? 1 : 6;
const QUICK_VIEWERS = 100;
const UNAVAILABLE = 77;
const PARTIAL_MOST = 0.001; // of the sends of a floor; more than that is another measurement
const floorProgram = path.resolve(root, values.build, 'loadtest/floor');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-bench-'));
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));

/** Resolves with { code, stdout, stderr } however the program ended. */
const run = (file, args) => new Promise((resolve, reject) => {
    execFile(file, args.map(String), { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        if (error && typeof error.code !== 'number') {
            reject(error); // it could not be started, or was killed
        } else {
            resolve({ code: error?.code ?? 0, stdout, stderr });
        }
    });
});

function scenarioOf(name, load, side) {
    const whole = { seconds: SECONDS, warmup_s: 1, transport: 'ws', boards: [{ board: 'load-1', share: 1 }], ...load, ...side.load };
    const viewers = values.quick ? Math.min(whole.viewers, QUICK_VIEWERS) : whole.viewers;
    const storm = whole.storm && { storm: { ...whole.storm, at_s: Math.min(whole.storm.at_s, SECONDS / 2), viewers: Math.min(whole.storm.viewers, viewers) } };
    const { fanout, ...sections } = side.gateway;
    return { name, about: 'Made by bench.mjs.', ...whole, viewers, ...storm, gateway: { fanout: { flush_ms: FLUSH_MS, ...fanout }, ...sections } };
}

/** What sophia-load reported; `failed` says what was not as it must be. */
async function gatewayRun(scenario) {
    const scenarioFile = path.join(directory, 'scenario.json');
    const resultFile = path.join(directory, 'result.json');
    fs.writeFileSync(scenarioFile, JSON.stringify(scenario));
    fs.rmSync(resultFile, { force: true });
    const { code, stdout, stderr } = await run(process.execPath, [values.load, scenarioFile, '--json', resultFile, '--build', values.build]);
    if (!fs.existsSync(resultFile)) {
        throw new Error(`load.mjs ended with ${code} and no result:\n${stderr}${stdout}`.slice(-2000));
    }
    const result = JSON.parse(fs.readFileSync(resultFile, 'utf8'));
    return code === 0 ? result : { ...result, failed: stdout.slice(-2000) };
}

/** What the floor reported; undefined where there is no such path. */
async function floorRun({ floor, outstanding: count = 1, every }, { viewers, producer, seconds }, bytes) {
    const ticksPerSecond = producer.rate / (producer.outstanding ?? 1);
    const everyMs = every ?? Math.max(1, Math.round(1000 / ticksPerSecond));
    const rounds = Math.max(5, Math.round((seconds * 1000) / everyMs));
    const { code, stdout, stderr } = await run(floorProgram, ['--path', floor, '--viewers', viewers, '--bytes', bytes, '--rounds', rounds,
        '--every', everyMs, '--outstanding', count]);
    if (code === UNAVAILABLE) {
        return undefined;
    }
    if (code !== 0) {
        throw new Error(`floor ended with ${code}: ${stderr}`);
    }
    return JSON.parse(stdout);
}

/** Length of a frame with one change of this case; the floor sends as much. Few viewers will do: frames are the same for all. */
async function frameBytes({ name, load, sides }) {
    const side = Object.values(sides).find(({ gateway }) => gateway);
    const single = { ...load, viewers: QUICK_VIEWERS, seconds: 1, producer: { ...load.producer, rate: 20, outstanding: 1 } };
    const { boards } = single;
    const scenario = scenarioOf(`${name}: frame`, { ...single, ...(boards?.count && { boards: { ...boards, count: Math.min(boards.count, QUICK_VIEWERS) } }) }, side);
    return Math.round((await gatewayRun(scenario)).frame_bytes);
}

/** One run of each side; what could not run is undefined, and a failure is told to `problems` so that an hour's work is not lost. */
async function roundOf(one, index, bytes, problems) {
    const order = Object.entries(one.sides);
    const round = {};
    for (const [name, side] of index % 2 === 0 ? order : order.reverse()) {
        const scenario = scenarioOf(`${one.name}: ${name}`, one.load, side.gateway ? side : { ...side, gateway: {} });
        round[name] = await (side.gateway ? gatewayRun(scenario) : floorRun(side, scenario, bytes))
            .catch((error) => { problems.push(`${name}, round ${index + 1}: ${error.message}`); });
    }
    return round;
}

/* ---- telling ---- */

const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(3));
const verdict = (held) => (values.quick ? 'not judged' : held === undefined ? 'UNDECIDED' : held ? 'holds' : 'MISSED');
const doubt = ({ isQuiet, dropped }) => `${dropped > 0 ? `, ${dropped} dropped` : ''}${isQuiet ? '' : ', TOO DISTURBED: the better half'}`;
const nameOf = (bar) => `${bar.member}${bar.ratio ? `, ${bar.ratio.join(' / ')}${bar.less ? `, less ${bar.less}` : ''}` : bar.growth ? `, ${bar.growth.join(' - ')}, each of ${bar.per}` : ` of ${bar.value}`}`;

function tell({ name, rounds, bars, problems, sides, frame_bytes: bytes }) {
    console.log(`\n${name}${bytes ? `, frames of ${bytes} bytes` : ''}`);
    for (const side of Object.keys(sides)) {
        const cpu = measured(rounds, side, CPU);
        const p99 = measured(rounds, side, 'latency_ms.p99');
        console.log(!rounds.some((round) => round[side]) ? `  ${side.padEnd(16)} not available` : cpu.count === 0 ? `  ${side.padEnd(16)} no deliveries` : `  ${side.padEnd(16)} ${number(cpu.median).padStart(8)} us per delivery `
            + `(${number(cpu.low)} .. ${number(cpu.high)}, ${cpu.count} runs${doubt(cpu)})${p99.count > 0 ? `, p99 ${number(p99.median)} ms` : ''}`);
    }
    for (const bar of bars) {
        const { got, most } = bar;
        console.log(got.count === 0 ? `  ${nameOf(bar)}: not measured` : `  ${nameOf(bar)}: ${number(got.median)} (${number(got.low)} .. ${number(got.high)}${doubt(got)})`
            + `${most === undefined ? '' : `, at most ${most}: ${verdict(bar.held)}`}`);
    }
    problems.forEach((problem) => console.log(`  NOT SOUND: ${problem}`));
}

function problemsOf(rounds) {
    return rounds.flatMap((round, index) => Object.entries(round).filter(([, result]) => result).flatMap(([side, result]) => [
        ...(result.failed ? [`${side}, round ${index + 1}: ${result.failed.trim()}`] : []),
        ...(result.partial > result.deliveries * PARTIAL_MOST ? [`${side}, round ${index + 1}: ${result.partial} sends found a full buffer`] : []),
    ]));
}

async function measureCase(one) {
    const problems = [];
    const hasFloor = Object.values(one.sides).some(({ floor }) => floor);
    const bytes = hasFloor ? await frameBytes(one).catch((error) => { problems.push(`length of a frame: ${error.message}`); }) : undefined;
    const rounds = [];
    while (rounds.length < ROUNDS && (bytes > 0 || !hasFloor)) {
        rounds.push(await roundOf(one, rounds.length, bytes, problems));
    }
    return { ...one, frame_bytes: bytes, rounds, bars: one.bars.map((bar) => judge(bar, rounds)), problems: [...problems, ...problemsOf(rounds)] };
}

/** Is the ratio of a group's cases about the same everywhere? */
function judgeGroup({ group, most }, done) {
    const members = done.filter((one) => one.group === group);
    const points = members.map((one) => ({ x: one.x, ...one.bars.at(-1).got })).filter(({ count }) => count > 0);
    if (points.length < 2) {
        return undefined;
    }
    const got = spread(points.map(({ median }) => median));
    return { group, most, points, got, held: points.every(({ isQuiet }) => isQuiet) ? got <= most : undefined };
}

const commit = () => {
    try {
        return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim();
    } catch {
        return 'unknown'; // not a checkout
    }
};

const names = values.only.split(',');
const wanted = cases.filter(({ name }) => names.some((some) => name.startsWith(some)));
if (wanted.length === 0 || !(ROUNDS > 0)) {
    console.error(`bench: nothing to do; the cases are ${cases.map(({ name }) => name).join(' ')}`);
    process.exit(2);
}
if (!values.quick && isSanitized(plainBinary)) {
    console.error(`bench: ${plainBinary} was built with sanitizers: its cost is not the product's`);
    process.exit(2);
}
keepAwake();
const done = [];
for (const one of wanted) {
    const result = await measureCase(one);
    tell(result);
    done.push(result);
}
const judged = groups.map((group) => judgeGroup(group, done)).filter(Boolean);
judged.forEach(({ group, got, most, held }) =>
    console.log(`\nfrom the fewest to the most ${group} that last ratio varies by ${(got * 100).toFixed(0)} %, at most ${most * 100} %: ${verdict(held)}`));
if (values.json) {
    const machine = { cpus: os.cpus().length, model: os.cpus()[0].model, kernel: os.release(), memory_gib: Math.round(os.totalmem() / 2 ** 30) };
    fs.writeFileSync(values.json, JSON.stringify({ commit: commit(), at: new Date().toISOString(), machine, runs: ROUNDS, is_quick: values.quick, cases: done, groups: judged }, null, 1));
}
const verdicts = [...done.flatMap(({ bars }) => bars), ...judged].filter(({ most }) => most !== undefined).map(({ held }) => verdict(held));
const count = (word) => verdicts.filter((one) => one === word).length;
const unsound = done.filter(({ problems }) => problems.length > 0).length;
console.log(`\n${count('holds')} bars hold, ${count('MISSED')} missed, ${count('UNDECIDED')} undecided, ${unsound} cases not sound`);
process.exitCode = count('MISSED') + count('UNDECIDED') + unsound > 0 ? 1 : 0;
