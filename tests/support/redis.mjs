/*
 * A private Redis: a directory and a port of its own, nothing kept on disk unless the settings say so. command() speaks
 * RESP2 over a socket of its own, so that no library decides what is seen. Sentinels as well.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { PrivateServer, freePort, identity } from './private_server.mjs';
import { limited, until } from './waiting.mjs';

const PASSED = Symbol('not whole yet');

/** One value of RESP2 at `at`: {value, end}, or PASSED when bytes are missing. */
function decode(bytes, at) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) {
        return PASSED;
    }
    const text = bytes.toString('utf8', at + 1, line);
    const end = line + 2;
    switch (String.fromCharCode(bytes[at])) {
    case '+': return { value: text, end };
    case '-': return { value: new Error(text), end };
    case ':': return { value: Number(text), end };
    case '$': return decodeBulk(bytes, Number(text), end);
    case '*': return decodeArray(bytes, Number(text), end);
    default: throw new Error(`not RESP2: ${bytes.toString('latin1', at, at + 40)}`);
    }
}

function decodeBulk(bytes, length, at) {
    if (length < 0) {
        return { value: null, end: at };
    }
    return bytes.length < at + length + 2 ? PASSED : { value: bytes.toString('utf8', at, at + length), end: at + length + 2 };
}

function decodeArray(bytes, count, at) {
    if (count < 0) {
        return { value: null, end: at };
    }
    const value = [];
    let end = at;
    for (let i = 0; i < count; i++) {
        const item = decode(bytes, end);
        if (item === PASSED) {
            return PASSED;
        }
        value.push(item.value);
        end = item.end;
    }
    return { value, end };
}

const encode = (words) => `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('')}`;

/** A connection for commands. With onMessage, what arrives unasked goes there: use it for SUBSCRIBE. */
export class RedisConnection {
    constructor(port, { onMessage, host = '127.0.0.1' } = {}) {
        this.waiting = [];
        this.rest = Buffer.alloc(0);
        this.onMessage = onMessage;
        this.socket = net.connect({ port, host, noDelay: true });
        this.socket.on('data', (bytes) => this.take(bytes));
        this.socket.on('error', (error) => { this.error = error; });
        this.socket.on('close', () => {
            this.isClosed = true;
            const error = new Error(`connection to Redis lost: ${this.error?.message ?? 'closed'}`);
            this.waiting.splice(0).forEach(({ reject }) => reject(error));
        });
    }

    take(bytes) {
        this.rest = this.rest.length > 0 ? Buffer.concat([this.rest, bytes]) : bytes;
        let at = 0;
        for (let item = decode(this.rest, 0); item !== PASSED; item = at < this.rest.length ? decode(this.rest, at) : PASSED) {
            at = item.end;
            this.answer(item.value);
            if (at >= this.rest.length) {
                break;
            }
        }
        this.rest = this.rest.subarray(at);
    }

    answer(value) {
        const isPush = this.onMessage && Array.isArray(value) && ['message', 'pmessage', 'smessage'].includes(value[0]);
        const call = isPush ? undefined : this.waiting.shift();
        if (!call) {
            this.onMessage?.(value);
        } else if (value instanceof Error) {
            call.reject(value);
        } else {
            call.resolve(value);
        }
    }

    command(...words) {
        if (this.isClosed) {
            return Promise.reject(new Error(`connection to Redis lost: ${this.error?.message ?? 'closed'}`));
        }
        return new Promise((resolve, reject) => {
            this.waiting.push({ resolve, reject });
            this.socket.write(encode(words));
        });
    }

    end() {
        this.socket.destroy();
    }
}

const defaults = {
    save: '', appendonly: 'no', 'protected-mode': 'no', bind: '127.0.0.1', 'repl-diskless-sync-delay': '0', 'repl-ping-replica-period': '1',
    'repl-timeout': '5', 'maxmemory-policy': 'noeviction',
};

export class Redis extends PrivateServer {
    constructor(port, settings, { kind = 'redis', directory } = {}) {
        super(kind, { directory });
        this.port = port;
        this.url = `redis://127.0.0.1:${port}`;
        this.socketPath = path.join(this.directory, 'redis.sock');
        this.settings = settings;
    }

    writeConfig() {
        const own = { ...this.settings, port: this.port, dir: this.directory, unixsocket: this.socketPath, unixsocketperm: '777', daemonize: 'no' };
        const quoted = (value) => (value === '' ? '""' : value);
        /* A setting that is a list is a directive that comes several times. */
        const lines = Object.entries(own).flatMap(([name, value]) => [value].flat().map((one) => `${name} ${quoted(one)}\n`));
        const file = path.join(this.directory, 'redis.conf');
        fs.writeFileSync(file, lines.join(''));
        fs.chownSync(file, identity.uid, identity.gid);
        return file;
    }

    async start() {
        this.connection?.end();
        this.connection = undefined;
        const file = this.writeConfig();
        await this.launch(['redis-server', file, ...(this.isSentinel ? ['--sentinel'] : [])], async () => (await this.ping()) === 'PONG');
    }

    /** With a password configured, or data still being loaded, "ready" means that it answers at all. */
    async ping() {
        try {
            return await limited('PONG', this.command('PING'), 1000);
        } catch (error) {
            if (/^NOAUTH/.test(error.message)) {
                return 'PONG';
            }
            throw error;
        }
    }

    /** One command, e.g. command('SET', 'key', 1); an error reply throws. */
    command(...words) {
        if (!this.connection || this.connection.isClosed) {
            this.connection = new RedisConnection(this.port);
        }
        return this.connection.command(...words);
    }

    connect(options) {
        return new RedisConnection(this.port, options);
    }

    /** A section of INFO as {name: text}. */
    async info(section) {
        const text = await this.command('INFO', section);
        return Object.fromEntries(text.split('\r\n').filter((line) => line.includes(':')).map((line) => {
            const colon = line.indexOf(':');
            return [line.slice(0, colon), line.slice(colon + 1)];
        }));
    }

    /** {command: calls} since the start or CONFIG RESETSTAT. */
    async calls() {
        const stats = await this.info('commandstats');
        return Object.fromEntries(Object.entries(stats).map(([name, text]) => [name.replace('cmdstat_', ''), Number(text.match(/calls=(\d+)/)[1])]));
    }

    async restart() {
        await this.stop();
        await this.start();
    }

    /** A replica of this server; resolves once it is in step. */
    async replica({ settings = {} } = {}) {
        const replica = await startRedis({ settings: { ...this.settings, ...settings, replicaof: `127.0.0.1 ${this.port}` } });
        replica.master = this;
        await replica.inStep();
        return replica;
    }

    async inStep(options) {
        await until('the replica to be in step', async () => {
            const mine = await this.info('replication');
            const masters = await this.master.info('replication');
            return mine.master_link_status === 'up' && mine.slave_repl_offset === masters.master_repl_offset;
        }, { within: 10000, ...options });
    }

    /** From now on it is a master; also after a restart. */
    async promote() {
        const { replicaof, ...settings } = this.settings;
        this.settings = settings;
        await this.command('REPLICAOF', 'NO', 'ONE');
    }

    onDestroy() {
        this.connection?.end();
    }
}

/** settings: directives of redis.conf. directory: an existing one, e.g. a small file system. */
export async function startRedis({ settings = {}, port, directory } = {}) {
    return started(new Redis(port ?? await freePort(), { ...defaults, ...settings }, { directory }));
}

/** A sentinel that watches `master`; on its own it decides alone. */
export async function startSentinel(master, { name = 'sophia', quorum = 1, downAfterMs = 1000, settings = {} } = {}) {
    const monitor = [`monitor ${name} 127.0.0.1 ${master.port} ${quorum}`, `down-after-milliseconds ${name} ${downAfterMs}`,
        `failover-timeout ${name} 5000`];
    const sentinel = new Redis(await freePort(), { 'protected-mode': 'no', bind: '127.0.0.1', sentinel: monitor, ...settings }, { kind: 'sentinel' });
    sentinel.isSentinel = true;
    sentinel.masterName = name;
    sentinel.masterPort = async () => Number((await sentinel.command('SENTINEL', 'get-master-addr-by-name', name))[1]);
    await started(sentinel);
    return sentinel;
}

async function started(server) {
    try {
        await server.start();
    } catch (error) {
        await server.destroy();
        throw error;
    }
    return server;
}
