/*
 * From COMMIT, or PUBLISH, to the viewers: a private PostgreSQL and Redis, one gateway, many viewers, one writer at a
 * fixed rate. Times count from before the statement is sent until a viewer has the frame, for every value and every viewer.
 *
 *     node loadtest/commit_to_screen.mjs [--viewers 1000] [--rate 100] [--seconds 10] [--build build] [--only redis]
 *
 * Three ways, one after the other in the same gateway: with the doorbell, with NOTIFY suppressed (poll only), by Redis.
 * Ends with status 1 when a 99th percentile is above its limit. What else runs on the machine counts in full; the share of
 * processor time that a hypervisor took away is printed with each line.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeDefinitions } from '../tests/support/definitions.mjs';
import { plainBinary, root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { atRate, until } from '../tests/support/waiting.mjs';

const { values } = parseArgs({
    options: {
        viewers: { type: 'string', default: '1000' }, rate: { type: 'string', default: '100' },
        seconds: { type: 'string', default: '10' }, build: { type: 'string', default: 'build' }, only: { type: 'string', default: '' },
    },
});
const [viewers, rate, seconds] = [values.viewers, values.rate, values.seconds].map(Number);
const program = (name) => path.join(root, values.build, 'loadtest', name);
const FIELDS = 6; // a board has at most 12 headline tiles
const CHANNEL = 'load-changes';

const names = (letter) => Array.from({ length: FIELDS }, (_, i) => `load.${letter}${String(i + 1).padStart(2, '0')}`);
const kpi = (id, source) => ({
    id, title: id, about: `Load KPI ${id}.`, type: 'gauge', unit: 'integer', class: 'pushed', roles: ['everybody'], privacy: 'public',
    priority: 'critical', source,
});
const definitions = makeDefinitions({
    kpiList: [...names('g').map((id) => kpi(id, { kind: 'pg' })), ...names('r').map((id) => kpi(id, { kind: 'redis', channel: CHANNEL }))],
    boardList: { load: [...names('g'), ...names('r')] },
});

/** Output of a program that must succeed; ready resolves at its first line. */
function run(file, args) {
    const child = spawn(file, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    let tellReady;
    const ready = new Promise((resolve) => { tellReady = resolve; });
    child.stdout.setEncoding('utf8').on('data', (more) => { text += more; tellReady(); });
    const ended = new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => (code === 0 ? resolve(text.trim().split('\n').pop()) : reject(new Error(`${file} ended with ${code}`))));
    });
    return { ready: Promise.race([ready, ended]), ended };
}

/** Processor time in ticks: [taken away by the hypervisor, all]. */
function processorTicks() {
    const ticks = fs.readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
    return [ticks[7], ticks.reduce((sum, some) => sum + some, 0)];
}

async function measure(gateway, prefix, write) {
    const before = processorTicks();
    const watching = run(program('viewers'), [gateway.port, 'load', viewers, seconds + 2, prefix]);
    await watching.ready;
    const cpu = gateway.cpuMs();
    await write();
    const cpuMs = gateway.cpuMs() - cpu;
    const answer = JSON.parse(await watching.ended);
    const after = processorTicks();
    return { ...answer, cpuMs, stolen: (after[0] - before[0]) / (after[1] - before[1]) };
}

const postgres = await startPostgres({ settings: { fsync: 'on', full_page_writes: 'on' } });
const redis = await startRedis();
let isOver = false;
try {
    await installSchema(postgres);
    const gateway = await startGateway({
        definitions: { dir: definitions }, postgres: { url: postgres.url }, redis: { host: '127.0.0.1', port: redis.port },
    }, { binary: plainBinary });
    await until('the sources to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    const commit = () => run(program('commits'), [postgres.url, FIELDS, rate, seconds]).ended;
    const publish = () => atRate(rate, rate * seconds, (i) => {
        const field = names('r')[i % FIELDS];
        return redis.command('PUBLISH', CHANNEL, JSON.stringify({ field, value: Math.floor((performance.timeOrigin + performance.now()) * 1000) }));
    });
    const ways = [
        ['doorbell', 25, 'load.g', commit],
        ['poll only', 60, 'load.g', async () => {
            await postgres.sql('drop trigger sophia_ring on sophia.kpi_state');
            return commit();
        }],
        ['redis', 10, 'load.r', publish],
    ];
    console.log(`${viewers} viewers, ${rate} changes/s for ${seconds} s, times in ms`);
    for (const [name, limit, prefix, write] of ways.filter(([name]) => name.startsWith(values.only))) {
        const { values: count, frames, p50_ms: p50, p95_ms: p95, p99_ms: p99, max_ms: max, cpuMs, stolen } = await measure(gateway, prefix, write);
        const isMissing = count < viewers * rate * seconds * 0.5;
        console.log(`${name.padEnd(10)} p50 ${p50}  p95 ${p95}  p99 ${p99}  max ${max}  limit ${limit}  receipts ${count}  ` +
            `us of gateway processor per frame ${(cpuMs * 1000 / frames).toFixed(1)}  stolen ${(stolen * 100).toFixed(0)} %${isMissing ? '  TOO FEW' : ''}`);
        isOver ||= p99 > limit || isMissing;
    }
} finally {
    await stopAll();
    await destroyServers();
}
process.exitCode = isOver ? 1 : 0;
