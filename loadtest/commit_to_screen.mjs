/*
 * From COMMIT, or PUBLISH, to the viewers: a private PostgreSQL and Redis, one gateway, many viewers, one writer at a
 * fixed rate. Times count from the moment a change was due, which is before its statement is sent, until a viewer has read it,
 * for every value and every viewer.
 *
 *     node loadtest/commit_to_screen.mjs [--viewers 1000] [--rate 100] [--seconds 10] [--build build] [--only redis]
 *
 * Three ways, one after the other in the same gateway: with the doorbell, with NOTIFY suppressed (poll only), by Redis.
 * Ends with status 1 when a 99th percentile is above its limit or anything was lost or wrong. What else runs on the machine counts
 * in full; the shares of processor time that others and a hypervisor took are printed with each line.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { defineKpi, makeDefinitions } from '../tests/support/definitions.mjs';
import { plainBinary, root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema, silenceDoorbell } from '../tests/support/sophia_schema.mjs';
import { until } from '../tests/support/waiting.mjs';

const { values } = parseArgs({
    options: {
        viewers: { type: 'string', default: '1000' }, rate: { type: 'string', default: '100' },
        seconds: { type: 'string', default: '10' }, build: { type: 'string', default: 'build' }, only: { type: 'string', default: '' },
    },
});
const [viewers, rate, seconds] = [values.viewers, values.rate, values.seconds].map(Number);
const FIELDS = 6; // a board has at most 12 headline tiles
const CHANNEL = 'load-changes'; // as in load_sink.h

const names = (letter) => Array.from({ length: FIELDS }, (_, i) => `load.${letter}${String(i + 1).padStart(2, '0')}`);
const kpi = (id, source) => defineKpi(id, 'gauge', { unit: 'integer', priority: 'critical', source });
const definitions = makeDefinitions({
    kpiList: [...names('g').map((id) => kpi(id, { kind: 'pg' })), ...names('r').map((id) => kpi(id, { kind: 'redis', channel: CHANNEL }))],
    boardList: { load: [...names('g'), ...names('r')] },
});

/** One scenario of sophia-load: {code, text, result}. */
function load(gateway, { name, letter, kind, limit }, where) {
    const scenario = {
        name, viewers, seconds, warmup_s: 1, transport: 'ws', boards: [{ board: 'load', fields: names(letter) }], producer: { kind, rate },
        expect: { p99_ms: limit, resyncs: 0, min_changes: Math.floor(rate * seconds * 0.9) },
    };
    const [file, resultFile] = ['scenario.json', 'result.json'].map((part) => path.join(definitions, part));
    fs.writeFileSync(file, JSON.stringify(scenario));
    fs.rmSync(resultFile, { force: true });
    const program = path.resolve(root, values.build, 'loadtest/sophia-load');
    return new Promise((resolve, reject) => {
        const args = ['--url', `http://127.0.0.1:${gateway.port}`, '--pid', String(gateway.pid), ...where, '--json', resultFile, file];
        execFile(program, args, (error, stdout, stderr) => {
            if (fs.existsSync(resultFile)) {
                resolve({ isHeld: !error, text: stdout, result: JSON.parse(fs.readFileSync(resultFile, 'utf8')) });
            } else {
                reject(new Error(`${program}: ${error?.message ?? ''}${stderr}`));
            }
        });
    });
}

const percent = (share) => `${(share * 100).toFixed(0)} %`;
const postgres = await startPostgres({ settings: { fsync: 'on', full_page_writes: 'on' } });
const redis = await startRedis();
let isOver = false;
try {
    await installSchema(postgres);
    const gateway = await startGateway({
        definitions: { dir: definitions }, postgres: { url: postgres.url }, redis: { host: '127.0.0.1', port: redis.port },
    }, { binary: plainBinary });
    await until('the sources to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    const where = ['--postgres', postgres.url, '--redis', `127.0.0.1:${redis.port}`];
    const ways = [
        { name: 'doorbell', letter: 'g', kind: 'sql', limit: 25 },
        { name: 'poll only', letter: 'g', kind: 'sql', limit: 60, prepare: () => silenceDoorbell(postgres) },
        { name: 'redis', letter: 'r', kind: 'redis', limit: 10 },
    ];
    console.log(`${viewers} viewers, ${rate} changes/s for ${seconds} s, times in ms`);
    for (const way of ways.filter(({ name }) => name.startsWith(values.only))) {
        await way.prepare?.();
        const { isHeld, text, result } = await load(gateway, way, where);
        const { p50, p90, p99, p999, max, values: receipts } = result.latency_ms;
        console.log(`${way.name.padEnd(10)} p50 ${p50}  p90 ${p90}  p99 ${p99}  p99.9 ${p999}  max ${max}  limit ${way.limit}  receipts ${receipts}  `
            + `us of gateway processor per frame ${result.cpu_us_per_delivery}  others ${percent(result.other_cpu)}  stolen ${percent(result.stolen)}`);
        if (!isHeld) {
            console.log(text.split('\n').filter((line) => /BROKEN|violation:/.test(line)).join('\n'));
        }
        isOver ||= !isHeld;
    }
    await gateway.stop();
} finally {
    await stopAll();
    await destroyServers();
    fs.rmSync(definitions, { recursive: true, force: true });
}
process.exitCode = isOver ? 1 : 0;
