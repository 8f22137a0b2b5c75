/* The programs behind `./dev bench`: the sums, the floor with a few viewers, the pictures, and the report with a load generator of which all is known. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { DISTURBED_ABOVE, growth, judge, median, numberAt, quietRounds, ratio, spread } from '../../loadtest/bench_numbers.mjs';
import { drawings, roundUp } from '../../loadtest/plot.mjs';
import { root, strictBinary } from '../support/gateway.mjs';
import { until } from '../support/waiting.mjs';

const build = path.resolve(path.dirname(strictBinary), '..');
const floor = path.join(build, 'loadtest/floor');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-bench-test-'));
after(() => fs.rmSync(directory, { recursive: true, force: true }));

const run = (file, args) => new Promise((resolve) => {
    execFile(file, args.map(String), { cwd: root }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
});

const quiet = (cpu) => ({ cpu, stolen: 0.01, other_cpu: 0.02 });
const disturbed = (cpu, by = 0.2) => ({ cpu, stolen: by, other_cpu: 0.02 });

test('the median of an even number of runs is between the middle two', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.ok(Number.isNaN(median([])));
    assert.equal(numberAt({ a: { b: 4 } }, 'a.b'), 4);
    assert.ok(Number.isNaN(numberAt({ a: null }, 'a.b')));
});

test('a ratio is made within each round, and rounds that were disturbed do not count', () => {
    const rounds = [
        { floor: quiet(2), gateway: quiet(2.2) },
        { floor: quiet(4), gateway: quiet(4.8) }, // a slow minute: 1.2 all the same
        { floor: quiet(2), gateway: disturbed(20) },
        { floor: quiet(2), gateway: quiet(2.6) },
    ];
    const got = ratio(rounds, ['gateway', 'floor'], 'cpu');
    assert.deepEqual([got.median.toFixed(6), got.count, got.dropped, got.isQuiet], ['1.200000', 3, 1, true]);
    assert.equal(judge({ ratio: ['gateway', 'floor'], member: 'cpu', most: 1.25 }, rounds).held, true);
    assert.equal(judge({ ratio: ['gateway', 'floor'], member: 'cpu', most: 1.15 }, rounds).held, false);
    assert.equal(judge({ ratio: ['gateway', 'floor'], member: 'cpu' }, rounds).held, undefined);
});

test('a round counts for one side when only another was disturbed', () => {
    const rounds = [{ a: quiet(1), b: quiet(1), c: disturbed(9) }, { a: quiet(1), b: disturbed(9), c: quiet(1) }];
    assert.equal(quietRounds(rounds, ['a', 'b']).kept.length, 1);
    assert.equal(quietRounds(rounds, ['a']).kept.length, 2);
    assert.ok(disturbed(1).stolen > DISTURBED_ABOVE);
});

test('when too few rounds were quiet the better half counts, and it is said', () => {
    const rounds = [disturbed(5, 0.5), disturbed(1, 0.1), disturbed(2, 0.2), disturbed(6, 0.6), quiet(3)].map((gateway) => ({ gateway }));
    const { kept, dropped, isQuiet } = quietRounds(rounds, ['gateway']);
    assert.deepEqual([kept.map(({ gateway }) => gateway.cpu), dropped, isQuiet], [[3, 1, 2], 2, false]);
    const { got, held } = judge({ value: 'gateway', member: 'cpu', most: 9 }, rounds);
    assert.deepEqual([got.median, held], [2, undefined], 'such a number decides nothing');
});

test('a side that could not run has no number, and its bar is neither held nor missed', () => {
    const { got, held } = judge({ ratio: ['gateway', 'uring'], member: 'cpu', most: 1 }, [{ gateway: quiet(1), uring: undefined }]);
    assert.deepEqual([got.count, got.isQuiet, held], [0, false, undefined]);
});

test('what taking changes in costs can be left out of a ratio', () => {
    const gateway = { server_cpu: 0.5, seconds: 2, deliveries: 100000, cpu: 10, stolen: 0, other_cpu: 0 };
    const rounds = [{ floor: quiet(4), gateway, idle: { ...gateway, server_cpu: 0.2, deliveries: 1 } }];
    assert.equal(ratio(rounds, ['gateway', 'floor'], 'cpu').median, 2.5);
    assert.equal(ratio(rounds, ['gateway', 'floor'], 'cpu', 'idle').median.toFixed(6), '1.500000'); // (1 s - 0.4 s) / 100,000 / 4 us
    const idle = disturbed(1);
    assert.equal(ratio([{ ...rounds[0], idle }], ['gateway', 'floor'], 'cpu', 'idle').isQuiet, false);
});

test('growth is a difference, and a spread a share of the smallest', () => {
    assert.equal(growth([{ slow: quiet(150), quick: quiet(100) }], ['slow', 'quick'], 'cpu', 10).median, 5);
    assert.equal(spread([1, 1.1, 1.25]), 0.25);
});

for (const [name, options, wireBytes] of [['send', [], 64], ['send', ['--outstanding', 3], 64], ['uring', [], 64], ['tls', [], 64]]) {
    test(`floor: ${[name, ...options].join(' ')}, 50 viewers, 5 rounds, every byte`, { timeout: 60000 }, async (context) => {
        const { code, stdout, stderr } = await run(floor, ['--path', name, '--viewers', 50, '--bytes', wireBytes, '--rounds', 5, ...options]);
        if (code === 77) {
            context.skip(stderr.trim());
            return;
        }
        assert.equal(code, 0, stderr);
        const result = JSON.parse(stdout);
        assert.deepEqual([result.path, result.viewers, result.deliveries], [name, 50, 250 * (options[1] ?? 1)]);
        assert.ok(result.cpu_us_per_delivery > 0 && result.cpu_us_per_delivery < 10000, stdout);
    });
}

test('floor: a resumed handshake is cheaper than a full one', { timeout: 60000 }, async () => {
    const { code, stdout, stderr } = await run(floor, ['--path', 'handshake', '--rounds', 50]);
    assert.equal(code, 0, stderr);
    const { cpu_us_full: full, cpu_us_resumed: resumed } = JSON.parse(stdout);
    assert.ok(resumed > 0 && resumed < full, stdout);
});

test('floor: a command line it does not understand', async () => {
    for (const args of [[], ['--path', 'nowhere'], ['--path', 'send', '--viewers', '0'], ['--path', 'send', '--bytes', '-1'], ['--path', 'send', 'more']]) {
        assert.equal((await run(floor, args)).code, 2, args.join(' '));
    }
});

test('floor: a receiver that is gone is a failure, not a number', { timeout: 60000 }, async () => {
    const child = spawn(floor, ['--path', 'send', '--viewers', '20', '--rounds', '2000', '--every', '10'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, complaint] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { complaint += text; });
    const ended = new Promise((resolve) => { child.on('close', resolve); });
    const children = () => fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    process.kill(Number(await until('the receiver to be there', children)), 'SIGKILL');
    assert.equal(await ended, 1, complaint);
    assert.equal(output, '');
    assert.match(complaint, /^floor: /);
});

test('plot: a picture for every group of two points, none for one', () => {
    const rounds = (cpu) => [{ send: { cpu_us_per_delivery: 2 }, gateway: { cpu_us_per_delivery: cpu, latency_ms: { p50: 1, p99: 2, p999: 3 } } }];
    const bar = (got) => ({ got: { median: got, low: got, high: got, count: 1 } });
    const one = (group, x, cpu) => ({ name: `${group}-${x}`, group, x, rounds: rounds(cpu), bars: [bar(cpu / 2), bar(1)] });
    const made = drawings({ cases: [one('viewers', 100, 2), one('viewers', 10000, 2.2), one('boards', 1, 3)] });
    assert.deepEqual(Object.keys(made), ['ratio-viewers.svg', 'delay-viewers.svg']);
    assert.match(made['ratio-viewers.svg'], /<circle [^>]*><title>10,000: 1\.1<\/title>/);
    assert.doesNotMatch(Object.values(made).join(''), /NaN|Infinity|undefined/);
    assert.deepEqual([0.9, 1, 1.1, 2.1, 30, 70].map(roundUp), [1, 1, 2, 2.5, 50, 100]);
});

/** Stands in for load.mjs: answers with what is in `result`, whatever the scenario. */
function generator(name, result, code = 0) {
    const file = path.join(directory, `${name}.mjs`);
    fs.writeFileSync(file, `import fs from 'node:fs';
        const scenario = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
        fs.writeFileSync(process.argv[4], JSON.stringify({ scenario: scenario.name, ...${JSON.stringify(result)} }));
        console.log('p99_ms wanted 25 got 30');
        process.exitCode = ${code};`);
    return file;
}
const bench = (...args) => run(process.execPath, [path.join(root, 'loadtest/bench.mjs'), '--quick', '--build', build, ...args]);
const report = { frame_bytes: 96, cpu_us_per_delivery: 5, cpu_us_per_change_viewer: 5, latency_ms: { p50: 1, p99: 2, p999: 3, max: 4 }, stolen: 0, other_cpu: 0 };

test('bench: each side runs once a round, the floor with frames as long as the gateway\'s', { timeout: 120000 }, async () => {
    const file = path.join(directory, 'report.json');
    const { code, stdout, stderr } = await bench('--load', generator('sound', report), '--only', 'plain-1000-small', '--json', file);
    assert.equal(code, 0, stdout + stderr);
    const [{ name, rounds, frame_bytes: bytes }] = JSON.parse(fs.readFileSync(file, 'utf8')).cases;
    assert.deepEqual([name, rounds.length, bytes], ['plain-1000-small', 2, 96]);
    for (const round of rounds) {
        assert.deepEqual([round.send.path, round.send.bytes, round.portable.cpu_us_per_delivery], ['send', 96, 5]);
    }
    assert.deepEqual(Object.keys(rounds[0]), Object.keys(rounds[1]).reverse(), 'the order alternates');

    await run(process.execPath, [path.join(root, 'loadtest/plot.mjs'), file, directory]);
    const drawn = fs.readdirSync(directory).filter((entry) => entry.endsWith('.svg'));
    assert.deepEqual(drawn, [], 'one case of no group is no line to draw');
});

test('bench: a run in which something was not as it must be is told, and ends with 1', { timeout: 120000 }, async () => {
    const { code, stdout } = await bench('--load', generator('unsound', report, 1), '--only', 'idle-memory');
    assert.equal(code, 1);
    assert.match(stdout, /NOT SOUND: gateway, round 1: p99_ms wanted 25 got 30/);
    assert.equal((await bench('--only', 'nothing-of-that-name')).code, 2);
});
