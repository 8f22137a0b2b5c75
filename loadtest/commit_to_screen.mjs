/*
 * From COMMIT, or PUBLISH, to the viewers: a private PostgreSQL and Redis, one gateway, many viewers, one writer at a
 * fixed rate. Times count from the moment a change was due, which is before its statement is sent, until it is in a viewer's socket,
 * for every value and every viewer; "read" is until it was read, by the one process that plays all viewers.
 *
 *     node loadtest/commit_to_screen.mjs [--viewers 1000] [--rate 100] [--seconds 5] [--rounds 7] [--build build] [--only redis]
 *
 * Where there are two processors or more, the gateway has the last one to itself, and everything else shares the others; none of them
 * sleeps (awake.mjs).
 *
 * Three ways, one after the other in the same gateway: with the doorbell, with NOTIFY suppressed (poll only), by Redis. A run counts when
 * the hypervisor and processes that have no part in it took at most 1 % of the machine, since a 99th percentile is what the worst hundredth makes of it; each way runs until `rounds` runs count, or four times as
 * often. Judged is the median of their 99th percentiles.
 * Ends with status 1 when one is above its limit, when a way was never quiet, or when anything was lost or wrong in any run.
 */
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { defineKpi, makeDefinitions } from '../tests/support/definitions.mjs';
import { root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema, silenceDoorbell } from '../tests/support/sophia_schema.mjs';
import { until } from '../tests/support/waiting.mjs';
import { familyMs, keepAwake } from './awake.mjs';
import { disturbance, median } from './bench_numbers.mjs';

const { values } = parseArgs({
    options: {
        viewers: { type: 'string', default: '1000' }, rate: { type: 'string', default: '100' }, seconds: { type: 'string', default: '5' },
        rounds: { type: 'string', default: '7' }, build: { type: 'string', default: 'build' }, only: { type: 'string', default: '' },
    },
});
const [viewers, rate, seconds, rounds] = [values.viewers, values.rate, values.seconds, values.rounds].map(Number);
const MOST_ROUNDS = 4 * rounds;
const MOST_TAKEN = 0.01;
const FIELDS = 6; // a board has at most 12 headline tiles
const CHANNEL = 'load-changes'; // as in load_sink.h

const names = (letter) => Array.from({ length: FIELDS }, (_, i) => `load.${letter}${String(i + 1).padStart(2, '0')}`);
const kpi = (id, source) => defineKpi(id, 'gauge', { unit: 'integer', priority: 'critical', source });
const definitions = makeDefinitions({
    kpiList: [...names('g').map((id) => kpi(id, { kind: 'pg' })), ...names('r').map((id) => kpi(id, { kind: 'redis', channel: CHANNEL }))],
    boardList: { load: [...names('g'), ...names('r')] },
});

/** One scenario of sophia-load: {text, result}. */
function load(gateway, { name, letter, kind }, where) {
    const scenario = {
        name, viewers, seconds, warmup_s: 1, transport: 'ws', boards: [{ board: 'load', fields: names(letter) }], producer: { kind, rate },
        expect: { resyncs: 0, min_changes: Math.floor(rate * seconds * 0.9) },
    };
    const [file, resultFile] = ['scenario.json', 'result.json'].map((part) => path.join(definitions, part));
    fs.writeFileSync(file, JSON.stringify(scenario));
    fs.rmSync(resultFile, { force: true });
    const program = path.resolve(root, values.build, 'loadtest/sophia-load');
    return new Promise((resolve, reject) => {
        const args = ['--url', `http://127.0.0.1:${gateway.port}`, '--pid', String(gateway.pid), ...where, '--json', resultFile, file];
        execFile(program, args, (error, stdout, stderr) => {
            if (fs.existsSync(resultFile)) {
                resolve({ text: stdout, result: JSON.parse(fs.readFileSync(resultFile, 'utf8')) });
            } else {
                reject(new Error(`${program}: ${error?.message ?? ''}${stderr}`));
            }
        });
    });
}

const cores = os.cpus().length;
/** From now on all threads of a process, and what it starts, run on these processors only. */
function pin(pid, processors) {
    if (cores > 1) {
        execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', processors, String(pid)], { stdio: 'ignore' });
    }
}

const percent = (share) => `${(share * 100).toFixed(1)} %`;
const awake = keepAwake();
pin(process.pid, `0-${cores - 2}`);
const postgres = await startPostgres({ settings: { fsync: 'on', full_page_writes: 'on' } });
const redis = await startRedis();

/** One run of one way; what PostgreSQL and Redis did in it is taken off what others did: sessions come and go, so their processes cannot be named before. */
async function runOnce(gateway, way, where) {
    const known = () => familyMs(postgres.child.pid) + familyMs(redis.child.pid);
    const [before, since] = [known(), performance.now()];
    const run = await load(gateway, way, where);
    const share = (known() - before) / ((performance.now() - since) * cores);
    const result = { ...run.result, other_cpu: Math.max(0, run.result.other_cpu - share) };
    const { p50, p90, p99, p999, max, values: receipts } = result.latency_ms;
    console.log(`${way.name.padEnd(10)} p50 ${p50}  p90 ${p90}  p99 ${p99}  p99.9 ${p999}  max ${max}  read p99 ${result.read_ms.p99}  receipts ${receipts}  us of gateway `
        + `processor per frame ${result.cpu_us_per_delivery}  others ${percent(result.other_cpu)}  stolen ${percent(result.stolen)}`);
    const wrong = run.text.split('\n').filter((line) => /BROKEN|violation:/.test(line));
    if (wrong.length > 0) {
        console.log(wrong.join('\n'));
    }
    return { result, isSound: wrong.length === 0, isQuiet: disturbance(result) <= MOST_TAKEN };
}

let isOver = false;
try {
    await installSchema(postgres);
    const gateway = await startGateway({
        definitions: { dir: definitions }, postgres: { url: postgres.url }, redis: { host: '127.0.0.1', port: redis.port },
    }, { binary: path.resolve(root, values.build, 'gateway/sophia-gateway') });
    pin(gateway.pid, cores - 1);
    await until('the sources to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    const where = ['--postgres', postgres.url, '--redis', `127.0.0.1:${redis.port}`];
    const ways = [
        { name: 'doorbell', letter: 'g', kind: 'sql', limit: 25 },
        { name: 'poll only', letter: 'g', kind: 'sql', limit: 60, prepare: () => silenceDoorbell(postgres) },
        { name: 'redis', letter: 'r', kind: 'redis', limit: 10 },
    ].filter(({ name }) => name.startsWith(values.only));
    console.log(`${viewers} viewers, ${rate} changes/s, runs of ${seconds} s, times in ms`);
    for (const way of ways) {
        await way.prepare?.();
        const runs = [];
        while (runs.filter(({ isQuiet }) => isQuiet).length < rounds && runs.length < MOST_ROUNDS) {
            runs.push(await runOnce(gateway, way, where));
        }
        const quiet = runs.filter(({ isQuiet }) => isQuiet).map(({ result }) => result.latency_ms);
        const [p50, p99] = ['p50', 'p99'].map((member) => median(quiet.map((latency) => latency[member])));
        console.log(`${way.name}: median p50 ${p50}  p99 ${p99}  limit ${way.limit}  of ${quiet.length} quiet runs; ${runs.length - quiet.length} disturbed`);
        isOver ||= !(quiet.length === rounds && p99 <= way.limit && runs.every(({ isSound }) => isSound));
    }
    await gateway.stop();
} finally {
    awake.stop();
    await stopAll();
    await destroyServers();
    fs.rmSync(definitions, { recursive: true, force: true });
}
process.exitCode = isOver ? 1 : 0;
