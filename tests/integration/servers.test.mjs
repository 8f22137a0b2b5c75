/*
 * The private servers and the proxy that other tests stand on: they start, break the way they are told to, and leave
 * nothing behind, not even when the process that started them is killed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { after, afterEach, test } from 'node:test';
import { removeSharedMemory, startPostgres } from '../support/postgres.mjs';
import { destroyServers, familyOf } from '../support/private_server.mjs';
import { destroyProxies, startProxy } from '../support/proxy.mjs';
import { RedisConnection, startRedis, startSentinel } from '../support/redis.mjs';
import { limited, sleep, until } from '../support/waiting.mjs';

afterEach(destroyServers);
afterEach(destroyProxies);
after(() => echo?.close());

const isThere = (pid) => fs.existsSync(`/proc/${pid}`) && !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));

/** An answer within `ms`? */
async function answers(promise, ms) {
    return limited('an answer', promise, ms).then(() => true, () => false);
}

test('PostgreSQL: statements, sessions, errors, pause, crash and restart', async () => {
    const postgres = await startPostgres({ settings: { work_mem: '3MB' }, initSql: 'create table t(i int)' });
    assert.equal(await postgres.sql("show work_mem; select 1, 'a'"), '3MB\n1|a');
    await assert.rejects(postgres.sql('select 1/0'), /division by zero/);
    const [one, other] = [postgres.session(), postgres.session()];
    await one.sql('begin; insert into t values (1)');
    assert.equal(await other.sql('select count(*) from t'), '0');
    await assert.rejects(other.sql('select nothing'), /column "nothing" does not exist/);
    await one.sql('commit');
    assert.equal(await other.sql('select count(*) from t'), '1');

    postgres.pause();
    const late = other.sql('select 2');
    assert.equal(await answers(late, 300), false, 'it answered while paused');
    postgres.resume();
    assert.equal(await late, '2');

    const family = familyOf(postgres.pid);
    assert.ok(family.length > 4, `${family.length} processes`);
    await postgres.kill();
    assert.deepEqual(family.filter(isThere), []);
    await assert.rejects(one.sql('select 1'), /psql ended|server closed|terminated/);
    await postgres.start();
    assert.equal(await postgres.sql('select count(*) from t'), '1');
    await postgres.restart();
    assert.equal(await postgres.sql('select count(*) from t'), '1');
    await postgres.destroy();
    assert.equal(fs.existsSync(postgres.directory), false);
});

test('PostgreSQL: a promoted standby has lost what was committed after the cut, and is on another timeline', async () => {
    const primary = await startPostgres({ initSql: 'create table t(i int); insert into t values (1)' });
    const standby = await primary.standby();
    await standby.cutReplication();
    await primary.sql('insert into t values (2)');
    assert.equal(await standby.sql('select pg_is_in_recovery(), count(*) from t'), 't|1');
    await standby.promote();
    await standby.sql('insert into t values (3)');
    assert.equal(await standby.sql("select string_agg(i::text, ' ' order by i), left(pg_walfile_name(pg_current_wal_lsn()), 8) from t"), '1 3|00000002');
    const systems = await Promise.all([primary, standby].map((server) => server.sql('select system_identifier from pg_control_system()')));
    assert.equal(systems[0], systems[1]);
});

test('Redis: commands, messages, pause, crash with and without a file, replica and promotion', async () => {
    const redis = await startRedis({ settings: { appendonly: 'yes', appendfsync: 'always' } });
    assert.equal(await redis.command('SET', 'key', 'välue'), 'OK');
    assert.equal(await redis.command('GET', 'key'), 'välue');
    assert.deepEqual(await redis.command('EVAL', "return {1, 'two', false, {3}}", 0), [1, 'two', null, [3]]);
    await assert.rejects(redis.command('NONSENSE'), /unknown command/);
    const heard = [];
    const subscriber = redis.connect({ onMessage: (message) => heard.push(message) });
    await subscriber.command('SUBSCRIBE', 'news');
    await redis.command('PUBLISH', 'news', 'hello');
    await until('the message', () => heard.length > 0);
    assert.deepEqual(heard, [['message', 'news', 'hello']]);
    subscriber.end();

    redis.pause();
    const late = redis.command('PING');
    assert.equal(await answers(late, 300), false);
    redis.resume();
    assert.equal(await late, 'PONG');

    const replica = await redis.replica();
    assert.equal(await replica.command('GET', 'key'), 'välue');
    await redis.kill();
    await replica.promote();
    await replica.command('SET', 'key', 'other');
    await redis.start();
    assert.equal(await redis.command('GET', 'key'), 'välue');
    assert.equal((await redis.calls()).get, 1);
    assert.equal(await replica.command('GET', 'key'), 'other');

    const forgetful = await startRedis();
    await forgetful.command('SET', 'key', 1);
    await forgetful.restart();
    assert.equal(await forgetful.command('GET', 'key'), null);
});

test('Redis: a sentinel finds the new master', async () => {
    const redis = await startRedis();
    const replica = await redis.replica();
    const sentinel = await startSentinel(redis, { downAfterMs: 500 });
    assert.equal(await sentinel.masterPort(), redis.port);
    await until('the sentinel to know the replica', async () => (await sentinel.command('SENTINEL', 'replicas', 'sophia')).length === 1, { within: 20000 });
    await redis.kill();
    await until('the fail-over', async () => (await sentinel.masterPort()) === replica.port, { within: 30000 });
    await until('the replica to be a master', async () => (await replica.info('replication')).role === 'master', { within: 10000 });
});

let echo;

/** A server that sends everything back, and a client through the proxy that collects what comes. */
async function throughProxy() {
    echo ??= await new Promise((resolve) => {
        const server = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
        server.listen(0, '127.0.0.1', () => resolve(server));
    });
    const proxy = await startProxy({ port: echo.address().port });
    const open = () => {
        const socket = net.connect(proxy.port, '127.0.0.1');
        Object.assign(socket, { heard: '', end_: '' });
        socket.setEncoding('utf8').on('data', (text) => { socket.heard += text; });
        socket.on('error', (error) => { socket.end_ = error.code; });
        socket.on('end', () => { socket.end_ ||= 'FIN'; });
        return socket;
    };
    const said = async (socket, text, within = 2000) => {
        socket.heard = '';
        socket.write(text);
        await until(`the echo of ${text.length} bytes`, () => socket.heard === text, { within });
    };
    return { proxy, open, said };
}

test('the proxy delays, trickles and stalls, and lets everything through afterwards', async () => {
    const { proxy, open, said } = await throughProxy();
    const socket = open();
    await said(socket, 'at once');
    proxy.delay(150);
    let began = performance.now();
    await said(socket, 'late');
    assert.ok(performance.now() - began >= 290, `${performance.now() - began} ms`);
    proxy.heal();
    proxy.trickle(2000);
    began = performance.now();
    await said(socket, 'x'.repeat(1000), 5000);
    assert.ok(performance.now() - began >= 400, `${performance.now() - began} ms`);
    proxy.heal();
    proxy.stall();
    const late = said(socket, 'held back', 5000);
    const other = open();
    other.write('new');
    await sleep(300);
    assert.deepEqual([socket.heard, other.heard, proxy.open], ['', '', 2]);
    proxy.heal();
    await late;
    await until('the other echo', () => other.heard === 'new');
    await said(socket, 'y'.repeat(3 << 20), 5000);
    assert.equal(proxy.counts.bytesUp, proxy.counts.bytesDown);
    socket.end();
    await until('the end to be passed on', () => socket.end_ === 'FIN');
});

test('the proxy resets, refuses, and goes silent half-open', async () => {
    const { proxy, open, said } = await throughProxy();
    const silent = open();
    await said(silent, 'hello');
    proxy.halfOpen();
    silent.write('anybody?');
    const fresh = open();
    await said(fresh, 'works');
    await sleep(200);
    assert.deepEqual([silent.heard, silent.end_, proxy.counts.droppedBytes], ['hello', '', 8]);
    proxy.halfOpen({ fresh: true });
    const lost = open();
    lost.write('hello?');
    await sleep(200);
    assert.deepEqual([lost.heard, lost.end_], ['', '']);
    proxy.heal();
    const after = open();
    await said(after, 'again');
    proxy.reset();
    await until('the resets', () => [silent, fresh, lost, after].every(({ end_ }) => end_ === 'ECONNRESET'));
    proxy.cut();
    const refused = open();
    await until('the refusal', () => refused.end_ === 'ECONNREFUSED');
    await proxy.heal();
    await said(open(), 'back');
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`after ${signal} to the process that started them, no server is left`, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', `
            import { removeSharedMemory, startPostgres } from './tests/support/postgres.mjs';
            import { startRedis } from './tests/support/redis.mjs';
            const servers = await Promise.all([startPostgres(), startRedis()]);
            console.log(JSON.stringify(servers.map(({ pid, directory }) => ({ pid, directory }))));
            setInterval(() => {}, 1000);
        `], { stdio: ['ignore', 'pipe', 'inherit'], cwd: new URL('../..', import.meta.url) });
        let text = '';
        child.stdout.on('data', (more) => { text += more; });
        await until('both servers', () => text.endsWith('\n'), { within: 20000 });
        const servers = JSON.parse(text);
        const pids = servers.flatMap(({ pid }) => familyOf(pid));
        child.kill(signal);
        await until('them to be gone', () => pids.filter(isThere).length === 0);
        if (signal === 'SIGTERM') {
            await until('the directories to be gone', () => !servers.some(({ directory }) => fs.existsSync(directory)));
        }
        servers.forEach(({ directory }) => {
            removeSharedMemory(`${directory}/data`);
            fs.rmSync(directory, { recursive: true, force: true });
        });
    });
}

test('a connection to nobody is an error, not a wait', async () => {
    const redis = await startRedis();
    await redis.stop();
    await assert.rejects(redis.command('PING'), /connection to Redis lost/);
    const nobody = new RedisConnection(redis.port);
    await assert.rejects(nobody.command('PING'), /connection to Redis lost/);
});
