/*
 * How long a read of history takes that L1 answers: a private PostgreSQL with the sample, a Redis, one gateway, and requests at a
 * fixed rate (http_gets.c). Times count from when a request was due, so a gateway that falls behind cannot hide it.
 *
 *     node loadtest/http_latency.mjs [--rate 1000] [--seconds 10] [--connections 16] [--limit 5] [--build build]
 *
 * Ends with status 1 when the 99th percentile is above --limit milliseconds, or an answer did not come fresh from L1.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { until } from '../tests/support/waiting.mjs';
import { keepAwake } from './awake.mjs';

const { values } = parseArgs({
    options: {
        rate: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '10' },
        connections: { type: 'string', default: '16' }, limit: { type: 'string', default: '5' }, build: { type: 'string', default: 'build' },
    },
});
const target = '/api/v1/kpis/exec.revenue_mtd/history?points=90';

/** What http_gets printed. It ends with 1 when answers were wrong, but prints how many; without a line there is no measurement. */
function measure(port) {
    const program = path.resolve(root, values.build, 'loadtest/http_gets');
    const args = ['--port', String(port), '--target', target, '--must', '"status":"fresh"', '--must', '"tier":"l1"',
        '--rate', values.rate, '--seconds', values.seconds, '--connections', values.connections];
    return new Promise((resolve, reject) => {
        execFile(program, args, (error, stdout, stderr) => (stdout.startsWith('{') ? resolve(JSON.parse(stdout)) : reject(error ?? new Error(stderr))));
    });
}

/** Upper bound, in ms, of the bucket of gw_http_seconds that holds this share of the requests since `before`: the gateway's own part. */
function bucketOf(before, now, share) {
    const buckets = [...now].filter(([name]) => name.startsWith('gw_http_seconds_bucket'))
        .map(([name, count]) => [Number(/le="([^"]+)"/.exec(name)[1].replace('+Inf', 'Infinity')), count - (before.get(name) ?? 0)]);
    return buckets.find(([, count]) => count >= share * buckets.at(-1)[1])[0] * 1000;
}

const awake = keepAwake();
const postgres = await startPostgres();
const redis = await startRedis();
try {
    await installSchema(postgres);
    await postgres.sqlFile(path.join(root, 'deploy/sql/sample/sample.sql'));
    const gateway = await startGateway({
        definitions: { dir: path.join(root, 'deploy/definitions') }, postgres: { url: postgres.url },
        redis: { host: '127.0.0.1', port: redis.port },
    }, { binary: path.resolve(root, values.build, 'gateway/sophia-gateway') });
    await until('the first read to be kept', async () => (await gateway.get(target)).json().cache?.tier === 'l1');
    const before = await gateway.metrics();
    const answers = await measure(gateway.port);
    const inside = bucketOf(before, await gateway.metrics(), 0.99);
    const ms = (time) => time.toFixed(2);
    console.log(`${answers.requests} requests at ${answers.rate}/s over ${answers.connections} connections, ${answers.bytes} bytes each: ` +
        `p50 ${ms(answers.p50_ms)} ms, p99 ${ms(answers.p99_ms)} ms, p99.9 ${ms(answers.p999_ms)} ms, max ${ms(answers.max_ms)} ms ` +
        `(sent late: p99 ${ms(answers.sent_late_p99_ms)} ms); within the gateway p99 <= ${inside} ms; ${answers.wrong} not fresh from L1`);
    process.exitCode = answers.p99_ms <= Number(values.limit) && answers.wrong === 0 ? 0 : 1;
    await gateway.stop();
} finally {
    awake.stop();
    await stopAll();
    await destroyServers();
}
