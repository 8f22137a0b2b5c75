/*
 * Somebody sets the clock of the gateway's machine: an hour ahead, two hours back. What is due by a monotonic clock stays due, values keep
 * arriving from every source, nobody is resynchronised, and what is said of the time follows the clock. Values that bring a time of their
 * own from far ahead of it are shown as wrong, with the reason, until it is right again.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { defineKpi, makeDefinitions } from '../support/definitions.mjs';
import { isSanitized, plainBinary, root, startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers } from '../support/private_server.mjs';
import { startRedis } from '../support/redis.mjs';
import { installSchema } from '../support/sophia_schema.mjs';
import { WsViewer } from '../support/viewer.mjs';
import { until } from '../support/waiting.mjs';

const HOUR_MS = 3600000;
const HEARTBEAT_MS = 500;
const CHANNEL = 'clock-changes';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-clock-'));
const definitions = makeDefinitions({
    kpiList: [['by.http', { kind: 'http' }], ['by.sql', { kind: 'pg' }], ['by.redis', { kind: 'redis', channel: CHANNEL }]]
        .map(([id, source]) => defineKpi(id, 'gauge', { unit: 'integer', priority: 'critical', source })),
    boardList: { clock: ['by.http', 'by.sql', 'by.redis'] },
});
after(async () => {
    await stopAll();
    await destroyServers();
    [directory, definitions].forEach((each) => fs.rmSync(each, { recursive: true, force: true }));
});

/** set(ms): from now on the gateway's wall clock is so far ahead. */
function steppedClock() {
    const [library, file] = ['stepped_clock.so', 'ahead'].map((name) => path.join(directory, name));
    execFileSync('gcc', ['-O1', '-fPIC', '-shared', '-D_GNU_SOURCE', '-o', library, path.join(root, 'tests/support/stepped_clock.c')]);
    fs.writeFileSync(file, Buffer.alloc(8));
    return {
        variables: { LD_PRELOAD: library, TEST_CLOCK_AHEAD: file },
        set(ms) {
            const text = Buffer.alloc(8);
            text.writeBigInt64LE(BigInt(ms)); // every machine that Debian builds the packages for and we run on is little-endian
            const fd = fs.openSync(file, 'r+');
            fs.writeSync(fd, text, 0, 8, 0);
            fs.closeSync(fd);
        },
    };
}

test('the clock is set ahead and back: every source goes on, nobody starts over', { timeout: 120000, skip: isSanitized(plainBinary) && 'a preloaded clock and a sanitizer exclude each other' }, async () => {
    const [postgres, redis] = [await startPostgres(), await startRedis()];
    await installSchema(postgres);
    const clock = steppedClock();
    const gateway = await startGateway({
        definitions: { dir: definitions }, postgres: { url: postgres.url }, redis: { host: '127.0.0.1', port: redis.port, channels: [{ channel: CHANNEL }] }, journal: { kind: 'redis' },
        fanout: { heartbeat_ms: HEARTBEAT_MS },
    }, { binary: plainBinary, variables: clock.variables });
    await until('the sources to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    await until('the channel to be heard', async () => Number((await redis.command('PUBSUB', 'NUMSUB', CHANNEL))[1]) > 0);
    const viewer = await WsViewer.open(gateway.port);
    await viewer.watch('clock');
    const ways = {
        'by.http': (value) => gateway.post({ field: 'by.http', value }),
        'by.sql': (value) => postgres.sql(`insert into sophia.kpi_state (field, num) values ('by.sql', ${value})
            on conflict (field) do update set num = excluded.num, as_of = now()`),
        'by.redis': (value) => redis.command('PUBLISH', CHANNEL, JSON.stringify({ field: 'by.redis', value })),
    };
    let value = 0;
    for (const ahead of [0, HOUR_MS, -HOUR_MS, 0]) {
        clock.set(ahead);
        for (let i = 0; i < 3; i++) {
            value++;
            for (const [field, send] of Object.entries(ways)) {
                await send(value);
                const isRefused = field === 'by.sql' && ahead < 0; // stamped by the database, whose clock nobody has set
                await until(`${field} = ${value} with the clock ${ahead / HOUR_MS} h ahead`, () => {
                    const { v, state, reason } = viewer.copy('clock').fields.get(field) ?? {};
                    return isRefused ? state === 'invalid' && /ahead of the gateway's clock/.test(reason) : v === value && state === undefined;
                }, { within: 5000 });
            }
        }
        const seen = viewer.ofType('heartbeat').length;
        await until('two heartbeats', () => viewer.ofType('heartbeat').length >= seen + 2, { within: 10 * HEARTBEAT_MS });
        const said = viewer.ofType('heartbeat').at(-1).now;
        assert.ok(Math.abs(said - Date.now() - ahead) < 10000, `a heartbeat says ${new Date(said).toISOString()}, ${ahead / HOUR_MS} h ahead`);
        await until('health to be well', async () => (await gateway.get('/health')).json().status === 'healthy');
    }
    assert.equal(viewer.ofType('snapshot').length, 1);
    viewer.assertSound();
    await viewer.close();
    await gateway.stop();
});
