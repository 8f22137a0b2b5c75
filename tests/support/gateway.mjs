/*
 * Runs the real gateway: a configuration of its own in a temporary directory, any free port, logs kept. stop() asserts
 * a clean end: exit code 0 and nothing said by a sanitizer.
 *
 * SOPHIA_GATEWAY names the binary that measuring tests use (plain, optimised), SOPHIA_GATEWAY_SANITIZED the one for all
 * other tests; either stands in for the other when it is missing. Default: build/gateway/sophia-gateway.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDefinitions } from './definitions.mjs';
import { dropConnections, post, request } from './http_client.mjs';
import { cpuMsOf } from './machine.mjs';
import { makeCertificate, markSecure, wantsTls } from './tls.mjs';
import { limited, until } from './waiting.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const { SOPHIA_GATEWAY, SOPHIA_GATEWAY_SANITIZED } = process.env;
const fallback = path.join(root, 'build/gateway/sophia-gateway');

export const plainBinary = path.resolve(SOPHIA_GATEWAY ?? SOPHIA_GATEWAY_SANITIZED ?? fallback);
export const strictBinary = path.resolve(SOPHIA_GATEWAY_SANITIZED ?? SOPHIA_GATEWAY ?? fallback);

const sanitizerWords = /AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed/;
const START_DEADLINE_MS = 20000;
const STOP_DEADLINE_MS = 20000;

/** Was this binary built with sanitizers? Then its memory and time are not those of the product. */
export const isSanitized = (binary) => fs.readFileSync(binary).includes('__asan_init');

/* A leak check looks at the process as a debugger does, and so do tests of a developer who is not root. */
const isProduct = fs.existsSync(plainBinary) && !isSanitized(plainBinary);
const confinement = (binary) => {
    const isConfined = binary === plainBinary && isProduct;
    return { confined: isConfined, core_dumps: !isConfined || process.getuid() !== 0 };
};

const running = new Set();
process.on('exit', () => running.forEach((gateway) => gateway.child.kill('SIGKILL')));

/** For `after`: ends what a failed test left behind. */
export async function stopAll() {
    await Promise.all([...running].map((gateway) => gateway.kill()));
}

function mergeInto(target, more) {
    for (const [key, value] of Object.entries(more)) {
        const isMap = value !== null && typeof value === 'object' && !Array.isArray(value);
        target[key] = isMap ? mergeInto({ ...target[key] }, value) : value;
    }
    return target;
}

/** Two levels of block YAML; deeper values as JSON, which is YAML too. `workers` has no section. */
function yamlOf(config) {
    return Object.entries(config).map(([section, options]) => {
        if (typeof options !== 'object') {
            return `${section}: ${JSON.stringify(options)}\n`;
        }
        const lines = Object.entries(options).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`);
        return `${section}:\n${lines.join('')}`;
    }).join('');
}

const escapeLabels = (labels) => Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(',');

export class Gateway {
    constructor(child, directory, config) {
        this.child = child;
        this.directory = directory;
        this.config = config;
        this.log = '';
        this.port = 0;
        this.exit = new Promise((resolve) => {
            child.on('exit', (code, signal) => {
                this.exited = { code, signal, at: Date.now() };
                running.delete(this);
            });
            child.on('close', () => resolve(this.exited)); // when its last words are in the log
        });
        child.stderr.setEncoding('utf8');
        child.stderr.on('data', (text) => { this.log += text; });
        child.stdout.resume();
        running.add(this);
    }

    get pid() {
        return this.child.pid;
    }

    /** The log so far, one object per line. */
    records() {
        return this.log.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    }

    logged(message) {
        return this.records().filter((record) => record.message === message);
    }

    get(target, options) {
        return request(this.port, target, options);
    }

    /** Posts changes and resolves with the answer's JSON; the status must be 200. */
    async post(changes, options) {
        const answer = await post(this.port, changes, options);
        assert.equal(answer.status, 200, `ingest: ${answer.text}`);
        return answer.json();
    }

    async snapshot(board) {
        const answer = await this.get(`/api/v1/dashboards/${board}`);
        assert.equal(answer.status, 200, answer.text);
        return answer.json();
    }

    /** Every sample of /metrics: 'name{labels}' -> number. */
    async metrics() {
        const { text } = await this.get('/metrics');
        const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
        return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
    }

    /** One sample; it must exist. */
    async metric(name, labels = {}) {
        const key = Object.keys(labels).length > 0 ? `${name}{${escapeLabels(labels)}}` : name;
        const all = await this.metrics();
        assert.ok(all.has(key), `no metric ${key}`);
        return all.get(key);
    }

    /** Resident bytes. */
    rss() {
        return Number(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]) * 1024;
    }

    /** Milliseconds on a processor so far: by the scheduler's account, which is finer than clock ticks. */
    cpuMs() {
        return cpuMsOf(this.pid);
    }

    isAlive() {
        return this.exited === undefined;
    }

    signal(name) {
        this.child.kill(name);
    }

    /** SIGTERM, and a clean end. */
    async stop({ within = STOP_DEADLINE_MS } = {}) {
        dropConnections(this.port);
        if (this.isAlive()) {
            this.signal('SIGTERM');
        }
        return this.ended({ within });
    }

    /** Waits for the end and asserts that it is clean. */
    async ended({ within = STOP_DEADLINE_MS } = {}) {
        try {
            await limited('the gateway to end', this.exit, within);
        } catch (error) {
            this.child.kill('SIGKILL');
            throw new Error(`${error.message}\n${this.log.slice(-2000)}`);
        }
        this.cleanUp();
        assert.doesNotMatch(this.log, sanitizerWords);
        assert.deepEqual({ code: this.exited.code, signal: this.exited.signal }, { code: 0, signal: null }, this.log.slice(-4000));
        return this.exited;
    }

    async kill() {
        dropConnections(this.port);
        this.child.kill('SIGKILL');
        await this.exit;
        this.cleanUp();
        assert.doesNotMatch(this.log, sanitizerWords);
    }

    cleanUp() {
        dropConnections(this.port);
        fs.rmSync(this.directory, { recursive: true, force: true });
    }
}

/** Without our own variables, so that only the file counts. */
function environment() {
    return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SOPHIA_')));
}

async function isReady(gateway, path) {
    gateway.port = gateway.logged('listening')[0]?.port ?? 0;
    if (gateway.port !== 0 && gateway.config.tls) {
        markSecure(gateway.port);
    }
    if (gateway.config.listen.proxy_protocol) { // who asks must say whom for
        return gateway.port !== 0;
    }
    return gateway.port !== 0 && (await gateway.get(path)).status === 200;
}

/**
 * Starts a gateway and waits until it is ready. config: sections as in the YAML file, laid over the tests' defaults.
 * binary: strictBinary unless the test measures. ready: what must answer 200; '/health/live' for one whose servers are down.
 * variables: more of the environment. gateway.definitions is the directory in use.
 */
export async function startGateway(config = {}, { binary = strictBinary, ready: readyPath = '/health/ready', variables = {} } = {}) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-gateway-'));
    const own = config.definitions?.dir;
    const definitions = own ?? makeDefinitions();
    const defaults = {
        listen: { host: '127.0.0.1', port: 0 },
        definitions: { dir: definitions },
        fanout: { flush_ms: 20 },
        drain: { window_ms: 0, grace_ms: 5000 },
        node: { name: 'test-node' },
        process: confinement(binary),
    };
    if (wantsTls && !config.tls) {
        const { certificate, key } = makeCertificate();
        defaults.tls = { certificate_file: certificate, key_file: key };
    }
    const file = path.join(directory, 'gateway.yaml');
    const whole = mergeInto(defaults, config);
    fs.writeFileSync(file, yamlOf(whole));
    const child = spawn(binary, ['--config', file], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment(), ...variables } });
    const gateway = new Gateway(child, directory, whole);
    gateway.definitions = definitions;
    if (!own) {
        gateway.exit.then(() => fs.rmSync(definitions, { recursive: true, force: true }));
    }
    const failed = new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', () => reject(new Error(`${binary} ended: ${JSON.stringify(gateway.exited)}\n${gateway.log}`)));
    });
    failed.catch(() => {}); // once it is ready, its end is somebody else's to judge
    const ready = until(`${binary} to be ready`, () => !gateway.isAlive() || isReady(gateway, readyPath), { within: START_DEADLINE_MS });
    ready.catch(() => {});
    await Promise.race([failed, ready]);
    if (!gateway.isAlive()) {
        await failed; // with its last words
    }
    return gateway;
}
