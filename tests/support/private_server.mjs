/*
 * What the servers of a test have in common: a directory of their own, a port nobody else uses, an unprivileged user, and
 * an end in every case. A server ends with its test (destroy), with the process (exit hook, also after a signal), and even
 * with a process that was killed: the kernel kills the server then (setpriv --pdeathsig); only the directory stays.
 */
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { limited, until } from './waiting.mjs';

const isRoot = process.getuid() === 0;

/** {uid, gid} that servers run as: ourselves, or for root somebody who owns nothing. */
export const identity = (() => {
    if (!isRoot) {
        return { uid: process.getuid(), gid: process.getgid() };
    }
    const users = fs.readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
    const [, , uid, gid] = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
    return { uid: Number(uid), gid: Number(gid) };
})();

/** A command line that runs `command` as that user (asSelf: as ourselves) and lets it die with this process. */
export function asServer(command, { asSelf = !isRoot } = {}) {
    const { uid, gid } = identity;
    return ['setpriv', '--pdeathsig', 'KILL', ...(asSelf ? [] : [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']), ...command];
}

const taken = new Set();

function isFree(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.on('error', () => resolve(false));
        server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
    });
}

/* Seconds may pass before a port is used. Processes that run at the same time have numbers close together, and so ports apart. */
const FIRST_PORT = 10240;
const PORTS = 22000;
const STRIDE = 100;
let nextPort = process.pid * STRIDE + Math.floor(Math.random() * STRIDE / 2);

/** A free port outside the range that outgoing connections use, so that it is still free after a restart. */
export async function freePort() {
    for (;;) {
        const port = FIRST_PORT + (nextPort++ % PORTS);
        if (!taken.has(port) && await isFree(port)) {
            taken.add(port);
            return port;
        }
    }
}

export const isAlive = (pid) => {
    try {
        return !/\) [ZX] /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
        return false;
    }
};

/** Every living descendant of `pid`, itself first. */
export function familyOf(pid) {
    const children = new Map();
    for (const name of fs.readdirSync('/proc')) {
        if (/^\d+$/.test(name)) {
            try {
                const parent = Number(fs.readFileSync(`/proc/${name}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')[1]);
                children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
            } catch { /* it has just ended */ }
        }
    }
    const collect = (parent) => [parent, ...(children.get(parent) ?? []).flatMap(collect)];
    return collect(pid).filter(isAlive);
}

function signalAll(pids, signal) {
    for (const pid of pids) {
        try {
            process.kill(pid, signal);
        } catch { /* it has just ended */ }
    }
}

const alive = new Set();
let isWatching = false;

function watchExit() {
    if (isWatching) {
        return;
    }
    isWatching = true;
    process.on('exit', () => alive.forEach((server) => server.destroyNow()));
    for (const [signal, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]]) {
        process.on(signal, () => {
            /* Whoever listens as well ends in its own way. */
            if (process.listenerCount(signal) === 1) {
                process.exit(128 + number);
            }
        });
    }
}

/** For `after`: ends every server that is left. */
export async function destroyServers() {
    await Promise.all([...alive].map((server) => server.destroy()));
}

export class PrivateServer {
    /** gentle: the signal of a clean end. */
    constructor(name, { gentle = 'SIGTERM', directory } = {}) {
        watchExit();
        this.name = name;
        this.gentle = gentle;
        this.directory = directory ?? fs.mkdtempSync(path.join(os.tmpdir(), `sophia-${name}-`));
        fs.chmodSync(this.directory, 0o755);
        if (isRoot) {
            fs.chownSync(this.directory, identity.uid, identity.gid);
        }
        this.log = '';
        alive.add(this);
    }

    /** Starts `command`; resolves once isReady() does. */
    async launch(command, isReady, { within = 20000, asSelf } = {}) {
        const [program, ...args] = asServer(command, { asSelf });
        /* Detached: a Ctrl-C at the terminal is for us, who end the servers in order. */
        const child = spawn(program, args, { cwd: this.directory, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
        this.child = child;
        this.isPaused = false;
        for (const stream of [child.stdout, child.stderr]) {
            stream.setEncoding('utf8');
            stream.on('data', (text) => { this.log = (this.log + text).slice(-200000); });
        }
        child.exited = new Promise((resolve) => {
            child.on('error', (error) => resolve(error.message));
            child.on('exit', (code, signal) => resolve(signal ?? code));
        });
        /* A forgotten server does not keep the test's process: its exit hook ends the server. */
        [child, child.stdout, child.stderr].forEach((handle) => handle.unref());
        let ended;
        child.exited.then((how) => { ended = how; });
        await until(`${this.name} to be ready`, async () => ended !== undefined || isReady(), { within, every: 20 });
        if (ended !== undefined) {
            throw new Error(`${this.name} ended: ${ended}\n${this.log.slice(-2000)}`);
        }
    }

    get pid() {
        return this.child.pid;
    }

    isRunning() {
        return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
    }

    /** Everything stops in the middle of what it does; the kernel still answers for its sockets. */
    pause() {
        this.isPaused = true;
        signalAll(familyOf(this.pid), 'SIGSTOP');
        signalAll(familyOf(this.pid), 'SIGSTOP'); // what was forked in between
    }

    resume() {
        this.isPaused = false;
        signalAll(familyOf(this.pid), 'SIGCONT');
    }

    /** A clean end. */
    async stop(signal = this.gentle) {
        if (!this.isRunning()) {
            return;
        }
        const family = familyOf(this.pid);
        if (this.isPaused) {
            this.resume();
        }
        this.child.kill(signal);
        try {
            await limited(`${this.name} to end`, this.child.exited, 15000);
        } catch (error) {
            signalAll(family, 'SIGKILL');
            throw new Error(`${error.message}\n${this.log.slice(-2000)}`);
        }
        await this.gone(family);
    }

    /** The process and all its children, at once. */
    async kill() {
        if (this.isRunning()) {
            const family = familyOf(this.pid);
            signalAll(family, 'SIGKILL');
            await limited(`${this.name} to be killed`, this.child.exited);
            await this.gone(family);
        }
    }

    gone(family) {
        return until(`${this.name} to be gone`, () => family.filter(isAlive).length === 0, { within: 10000 });
    }

    async destroy() {
        if (alive.delete(this)) {
            await this.onDestroy?.();
            await this.kill();
            this.removeTraces?.();
            fs.rmSync(this.directory, { recursive: true, force: true });
        }
    }

    /** In an exit hook, where nothing can wait. */
    destroyNow() {
        alive.delete(this);
        if (this.isRunning()) {
            const family = familyOf(this.pid);
            signalAll(family, 'SIGKILL');
            const deadline = Date.now() + 2000;
            while (family.slice(1).some(isAlive) && Date.now() < deadline) {
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
            }
        }
        this.removeTraces?.();
        fs.rmSync(this.directory, { recursive: true, force: true });
    }
}

/** Runs a program to its end and returns its output; throws with what it said on standard error. */
export function runNow(command, options = {}) {
    const [program, ...args] = command;
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}
