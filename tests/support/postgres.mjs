/*
 * A private PostgreSQL: a cluster of its own in a temporary directory, on a free port and a unix socket, with everybody
 * trusted. By default nothing is flushed to disk (fsync off): that is fast, and killing processes loses nothing all the
 * same. Tests that measure commits set {fsync: 'on'}. A standby follows by streaming; cutReplication() and promote() make
 * the fail-over that loses commits.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrivateServer, asServer, freePort, identity, runNow } from './private_server.mjs';
import { until } from './waiting.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const home = '/usr/lib/postgresql';
const versions = fs.existsSync(home) ? fs.readdirSync(home).sort((a, b) => Number(b) - Number(a)) : [];
const bin = versions.map((version) => path.join(home, version, 'bin')).find((directory) => fs.existsSync(path.join(directory, 'postgres')));
export const program = (name) => path.join(bin ?? '/usr/bin', name);

const defaults = {
    fsync: 'off', full_page_writes: 'off', max_connections: 60, shared_buffers: '16MB', listen_addresses: '127.0.0.1',
    log_line_prefix: '%m [%p] ', autovacuum_naptime: '10min', max_wal_size: '256MB', timezone: 'UTC',
};

/** psql with statements one after the other on one connection: transactions stay open between calls. */
class Session {
    constructor(server, { user, through } = {}) {
        const [psql, ...args] = server.psql({ user, through });
        this.child = spawn(psql, args, { stdio: ['pipe', 'pipe', 'pipe'], env: server.environment() });
        this.calls = [];
        this.out = '';
        this.err = '';
        this.count = 0;
        this.child.stdout.setEncoding('utf8').on('data', (text) => { this.out += text; this.look(); });
        this.child.stderr.setEncoding('utf8').on('data', (text) => { this.err += text; this.look(); });
        this.child.stdin.on('error', () => {});
        this.child.on('close', () => this.fail(`psql ended: ${this.err.trim()}`));
        this.hold(false);
        server.sessions.add(this);
        this.server = server;
    }

    /** An idle session does not keep the process from ending. */
    hold(isBusy) {
        [this.child, this.child.stdin, this.child.stdout, this.child.stderr].forEach((handle) => (isBusy ? handle.ref() : handle.unref()));
    }

    /** Resolves with the rows as text, '|' between columns. */
    sql(text) {
        if (this.ended) {
            return Promise.reject(new Error(this.ended));
        }
        const mark = `end-of-call-${++this.count}`;
        this.hold(true);
        return new Promise((resolve, reject) => {
            this.calls.push({ mark, resolve, reject, text });
            this.child.stdin.write(`${text.trim().replace(/;?$/, ';')}\n\\echo ${mark}\n\\warn ${mark}\n`);
        });
    }

    look() {
        for (let call = this.calls[0]; call; call = this.calls[0]) {
            const out = this.out.indexOf(`${call.mark}\n`);
            const err = this.err.indexOf(`${call.mark}\n`);
            if (out < 0 || err < 0) {
                return;
            }
            const rows = this.out.slice(0, out).trimEnd();
            const said = this.err.slice(0, err).trim();
            this.out = this.out.slice(out + call.mark.length + 1);
            this.err = this.err.slice(err + call.mark.length + 1);
            this.calls.shift();
            if (/^(psql:[^\n]*)?(ERROR|FATAL|PANIC|error):/m.test(said)) {
                call.reject(new Error(`${said}\nin: ${call.text.slice(0, 500)}`));
            } else {
                call.resolve(rows);
            }
        }
        this.hold(false);
    }

    fail(why) {
        this.ended = why;
        this.server.sessions.delete(this);
        this.calls.splice(0).forEach(({ reject }) => reject(new Error(why)));
    }

    end() {
        this.child.kill('SIGKILL');
    }
}

/*
 * Where the cluster is kept that all others are copies of: in build/, beside what else is made once. A cluster fits one
 * server version, and belongs to the user that servers run as. So all have one system identifier: they are one lineage to
 * whoever looks at that, as a server and its standby are.
 */
const kept = path.join(root, 'build', `empty-cluster-${path.basename(path.dirname(bin ?? ''))}-${identity.uid}`);

/** Its path; makes it when there is none. Nobody ever sees half of one: it is made elsewhere and gets its name when it is whole. */
function emptyCluster() {
    if (fs.existsSync(kept)) {
        return kept;
    }
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-initdb-'));
    fs.chownSync(directory, identity.uid, identity.gid);
    const made = path.join(directory, 'data');
    const mine = `${kept}.${process.pid}`;
    try {
        runNow(asServer([program('initdb'), '-D', made, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
            '--no-instructions']), { cwd: directory });
        fs.mkdirSync(path.dirname(kept), { recursive: true });
        runNow(['cp', '-a', made, mine]);
        fs.renameSync(mine, kept);
    } catch (error) {
        fs.rmSync(mine, { recursive: true, force: true });
        if (!fs.existsSync(kept)) { // nor did somebody else make it meanwhile
            throw error;
        }
    } finally {
        fs.rmSync(directory, { recursive: true, force: true });
    }
    return kept;
}

export class Postgres extends PrivateServer {
    constructor(port) {
        super('postgres', { gentle: 'SIGINT' });
        this.port = port;
        this.socketDir = this.directory;
        this.dataDir = path.join(this.directory, 'data');
        this.url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
        this.sessions = new Set();
    }

    environment() {
        return { ...process.env, PGCONNECT_TIMEOUT: '5', PGOPTIONS: '', LC_ALL: 'C.UTF-8' };
    }

    /** The command line of psql; through: another port, e.g. that of a proxy. */
    psql({ user = 'postgres', through } = {}) {
        const where = through ? ['-h', '127.0.0.1', '-p', String(through)] : ['-h', this.socketDir, '-p', String(this.port)];
        return ['psql', '-X', '-A', '-t', '-q', ...where, '-U', user, '-d', 'postgres'];
    }

    /** Runs a file of statements; it may include others beside it. */
    sqlFile(file) {
        return this.sql('', { args: ['-f', file] });
    }

    /** Runs statements in a psql of their own; rows as text, '|' between columns. Throws what the server says. */
    sql(text, { user, args: more = [] } = {}) {
        const [psql, ...args] = this.psql({ user });
        const child = spawn(psql, [...args, '-v', 'ON_ERROR_STOP=1', ...more], { stdio: ['pipe', 'pipe', 'pipe'], env: this.environment() });
        let out = '';
        let err = '';
        child.stdout.setEncoding('utf8').on('data', (more) => { out += more; });
        child.stderr.setEncoding('utf8').on('data', (more) => { err += more; });
        child.stdin.on('error', () => {});
        child.stdin.end(text);
        return new Promise((resolve, reject) => {
            child.on('error', reject);
            child.on('close', (code) => (code === 0 ? resolve(out.trimEnd()) : reject(new Error(`psql: ${err.trim()}\nin: ${more.join(' ')}${text.slice(0, 500)}`))));
        });
    }

    session(options) {
        return new Session(this, options);
    }

    /** An empty cluster: a copy of the one that was made first, as initdb takes ten times as long. */
    initialise() {
        runNow(['cp', '-a', emptyCluster(), this.dataDir]);
    }

    configure(settings) {
        const all = { ...settings, port: this.port, unix_socket_directories: this.socketDir };
        const lines = Object.entries(all).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`);
        fs.appendFileSync(path.join(this.dataDir, 'postgresql.conf'), lines.join(''));
    }

    async start() {
        await this.launch([program('postgres'), '-D', this.dataDir], async () => (await this.sql('select 1')) === '1');
    }

    /** mode: 'fast' (clients are cut off), 'smart' (waits for them), 'immediate' (no checkpoint; recovery at the next start). */
    stop(mode = 'fast') {
        return super.stop({ fast: 'SIGINT', smart: 'SIGTERM', immediate: 'SIGQUIT' }[mode] ?? mode);
    }

    async restart(mode = 'fast') {
        await this.stop(mode);
        await this.start();
    }

    /** A streaming standby; resolves once it has caught up. */
    async standby({ settings = {} } = {}) {
        const standby = new Postgres(await freePort());
        runNow(asServer([program('pg_basebackup'), '-h', this.socketDir, '-p', String(this.port), '-U', 'postgres', '-D', standby.dataDir,
            '-R', '-X', 'stream', '--checkpoint=fast', '--no-sync']), { cwd: standby.directory });
        standby.primary = this;
        standby.configure(settings);
        await standby.start();
        await standby.caughtUp();
        return standby;
    }

    /** Everything that is committed on the primary is visible here. */
    async caughtUp(options) {
        const target = await this.primary.sql('select pg_current_wal_flush_lsn()');
        await until('the standby to catch up', async () =>
            (await this.sql(`select coalesce(pg_last_wal_replay_lsn() >= '${target}', false)`)) === 't', { within: 15000, ...options });
    }

    /** From now on nothing arrives from the primary. */
    async cutReplication() {
        await this.sql("alter system set primary_conninfo = ''");
        await this.sql('select pg_reload_conf()');
        await until('the receiver to end', async () => (await this.sql('select count(*) from pg_stat_wal_receiver')) === '0');
    }

    async promote() {
        await this.sql('select pg_promote(true, 20)');
    }

    onDestroy() {
        this.sessions.forEach((session) => session.end());
    }

    removeTraces() {
        this.onDestroy();
        removeSharedMemory(this.dataDir);
    }
}

/** A killed server leaves a piece of System V shared memory; its number is in the pid file. */
export function removeSharedMemory(dataDir) {
    try {
        const [, id] = fs.readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[6].trim().split(/\s+/);
        runNow(['ipcrm', '-m', id]);
    } catch { /* it ended cleanly, or never came so far */ }
}

/** settings: lines of postgresql.conf; initSql: run once it is up. */
export async function startPostgres({ settings = {}, initSql, port } = {}) {
    if (!bin) {
        throw new Error(`no PostgreSQL server under ${home}: apt-get install postgresql`);
    }
    const server = new Postgres(port ?? await freePort());
    try {
        server.initialise();
        server.configure({ ...defaults, ...settings });
        await server.start();
        if (initSql) {
            await server.sql(initSql);
        }
    } catch (error) {
        await server.destroy();
        throw error;
    }
    return server;
}
