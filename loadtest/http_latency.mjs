/*
 * How long a read of history takes that L1 answers: a private PostgreSQL with the sample, a Redis, one gateway, and requests at a
 * fixed rate. Times count from when a request was due, so a gateway that falls behind cannot hide it.
 *
 *     node loadtest/http_latency.mjs [--rate 1000] [--seconds 10] [--connections 16] [--limit 5]
 *
 * Ends with status 1 when the 99th percentile is above --limit milliseconds, or an answer did not come from L1.
 */
import net from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { plainBinary, root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { percentile, sleep, until } from '../tests/support/waiting.mjs';

const { values } = parseArgs({
    options: {
        rate: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '10' },
        connections: { type: 'string', default: '16' }, limit: { type: 'string', default: '5' },
    },
});
const [rate, seconds, connections, limit] = [values.rate, values.seconds, values.connections, values.limit].map(Number);
const target = '/api/v1/kpis/exec.revenue_mtd/history?points=90';
const fresh = Buffer.from('"status":"fresh"');
const fromL1 = Buffer.from('"tier":"l1"');

/** One kept-alive connection, one request at a time; answers come whole or in pieces. */
class Connection {
    constructor(port, onAnswer) {
        this.rest = Buffer.alloc(0);
        this.onAnswer = onAnswer;
        this.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
        this.socket.on('data', (bytes) => this.take(bytes));
        this.request = `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
    }

    take(bytes) {
        this.rest = this.rest.length > 0 ? Buffer.concat([this.rest, bytes]) : bytes;
        const head = this.rest.indexOf('\r\n\r\n');
        const length = head < 0 ? undefined : /content-length: (\d+)/i.exec(this.rest.toString('latin1', 0, head))?.[1];
        if (length !== undefined && this.rest.length >= head + 4 + Number(length)) {
            const { rest } = this;
            this.rest = Buffer.alloc(0);
            this.onAnswer(this, rest);
        }
    }

    ask(due) {
        this.due = due;
        this.socket.write(this.request);
    }
}

async function measure(port) {
    const times = [];
    const free = [];
    const waiting = [];
    let notFromL1 = 0;
    const onAnswer = (connection, bytes) => {
        times.push(performance.now() - connection.due);
        notFromL1 += bytes.includes(fromL1) && bytes.includes(fresh) ? 0 : 1;
        if (waiting.length > 0) {
            connection.ask(waiting.shift());
        } else {
            free.push(connection);
        }
    };
    const all = Array.from({ length: connections }, () => new Connection(port, onAnswer));
    free.push(...all);
    const began = performance.now();
    let asked = 0;
    while (asked < rate * seconds) {
        for (let due = began + (asked * 1000) / rate; due <= performance.now() && asked < rate * seconds; due = began + (asked * 1000) / rate) {
            asked++;
            if (free.length > 0) {
                free.pop().ask(due);
            } else {
                waiting.push(due);
            }
        }
        await sleep(1); // up to that much of each time is ours
    }
    await until('the last answers', () => times.length === asked);
    all.forEach(({ socket }) => socket.destroy());
    return { times, notFromL1 };
}

/** Upper bound, in ms, of the bucket of gw_http_seconds that holds this share of the requests since `before`: the gateway's own part. */
function bucketOf(before, now, share) {
    const buckets = [...now].filter(([name]) => name.startsWith('gw_http_seconds_bucket'))
        .map(([name, count]) => [Number(/le="([^"]+)"/.exec(name)[1].replace('+Inf', 'Infinity')), count - (before.get(name) ?? 0)]);
    return buckets.find(([, count]) => count >= share * buckets.at(-1)[1])[0] * 1000;
}

const postgres = await startPostgres();
const redis = await startRedis();
try {
    await installSchema(postgres);
    await postgres.sqlFile(path.join(root, 'deploy/sql/sample/sample.sql'));
    const gateway = await startGateway({
        definitions: { dir: path.join(root, 'deploy/definitions') }, postgres: { url: postgres.url },
        redis: { host: '127.0.0.1', port: redis.port },
    }, { binary: plainBinary });
    await until('the first read to be kept', async () => (await gateway.get(target)).json().cache?.tier === 'l1');
    const before = await gateway.metrics();
    const { times, notFromL1 } = await measure(gateway.port);
    const inside = bucketOf(before, await gateway.metrics(), 0.99);
    const at = (share) => percentile(times, share).toFixed(2);
    console.log(`${times.length} requests at ${rate}/s over ${connections} connections, ${(await gateway.get(target)).bytes.length} bytes each: ` +
        `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms, max ${at(1)} ms; ` +
        `within the gateway p99 <= ${inside} ms; ${notFromL1} not fresh from L1`);
    process.exitCode = Number(at(0.99)) <= limit && notFromL1 === 0 ? 0 : 1;
    await gateway.stop();
} finally {
    await stopAll();
    await destroyServers();
}
