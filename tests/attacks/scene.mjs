/*
 * What every attack is judged by. A gateway, a producer with 50 values a second, and a viewer that subscribed before the attack,
 * both in a process of their own; attack() does its worst and then asks:
 *
 * - is it the same process, and did no sanitizer speak;
 * - was every value of the producer taken, and did the viewer get all of them, 99 of 100 within 100 ms;
 * - did memory stay below what the attack may cost, at its highest moment and not only at the end;
 * - did the counters say what was refused, and why;
 * - were all descriptors given back, and was the log not filled.
 *
 * Delay and memory are those of the product: they are judged with the plain binary. The sanitized one is there to survive.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { Crowd, endCrowds } from '../support/crowd.mjs';
import { isSanitized, plainBinary, startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { disturbanceOf, isQuiet, watched } from '../support/machine.mjs';
import { makeCertificate } from '../support/tls.mjs';
import { until } from '../support/waiting.mjs';

export const P99_MS = 100;
const PER_SECOND = 50;
const MEASURED_VALUES = 40; // of one attack, at least
const ATTEMPTS = 3;         // at a delay that others on the machine may have caused
const GIVEN_BACK_WITHIN_MS = 30000;
const LOG_LINES = 4;        // an attack may cost: warnings and errors
const KIB = 1024;

const sumOf = (metrics, key) => (key.endsWith('*')
    ? [...metrics].filter(([name]) => name.startsWith(key.slice(0, -1))).reduce((sum, [, value]) => sum + value, 0)
    : metrics.get(key));

let pair; // certificate and key of this run: the costliest kind that is usual, for handshakes cost us more than the peer
const pairOfRun = () => { pair ??= makeCertificate('attacked', { kind: ['rsa:2048'] }); return pair; };

export class Scene {
    static async open(binary, isSecure, config) {
        const scene = new Scene();
        scene.binary = binary;
        scene.isSecure = isSecure;
        scene.isMeasured = !isSanitized(binary);
        const { certificate, key } = isSecure ? pairOfRun() : {};
        scene.gateway = await startGateway({
            fanout: { flush_ms: 5 },
            ...(isSecure ? { tls: { certificate_file: certificate, key_file: key } } : {}),
            ...config,
        }, { binary });
        scene.port = scene.gateway.port;
        scene.probe = new Crowd(new URL('./probe_process.mjs', import.meta.url));
        await scene.probe.call('open', { port: scene.port, perSecond: PER_SECOND });
        return scene;
    }

    descriptors() {
        return fs.readdirSync(`/proc/${this.gateway.pid}/fd`).length;
    }

    /** Forget the highest moment of its memory. */
    forgetPeak() {
        fs.writeFileSync(`/proc/${this.gateway.pid}/clear_refs`, '5');
    }

    peak() {
        return Number(fs.readFileSync(`/proc/${this.gateway.pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m)[1]) * KIB;
    }

    complaints() {
        return this.gateway.records().filter(({ level }) => level === 'warn' || level === 'error');
    }

    /**
     * One attack. run(scene): does it, and resolves with what must have been counted: metric key -> how much it rose by, a
     * number or [least, most]; a key that ends with * is the sum of all that begin so. growth: bytes that memory may rise by.
     * A delay is measured again when it may be the machine's fault; all else must hold at each attempt.
     */
    async attack(context, { run, growth = 2048 * KIB }) {
        const found = [];
        for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
            found.push(await watched(() => this.attempt(run, growth)));
            if (!this.isMeasured || found.at(-1).p99 < P99_MS) {
                break;
            }
        }
        const { p50, p99, most, count, grown } = found.at(-1);
        context.diagnostic(`${count} values, ms p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} most ${most.toFixed(1)}; ` +
            `memory ${(grown / KIB).toFixed(0)} of ${(growth / KIB).toFixed(0)} KiB; ${disturbanceOf(found)}`);
        if (!this.isMeasured || p99 < P99_MS) {
            return;
        }
        if (!found.some(isQuiet)) {
            context.skip(`the delay is not judged: ${disturbanceOf(found)}`);
            return;
        }
        assert.fail(`p99 ${found.map((each) => each.p99.toFixed(1)).join(', ')} ms`);
    }

    async attempt(run, growth) {
        const { gateway, probe } = this;
        const pid = gateway.pid;
        const metrics = await gateway.metrics();
        const descriptors = this.descriptors();
        const complaints = this.complaints().length;
        const rss = gateway.rss();
        if (this.isMeasured) {
            this.forgetPeak();
        }
        await probe.call('begin');
        const counts = await run(this);
        const report = await probe.call('report', { count: this.isMeasured ? MEASURED_VALUES : 1 });
        assert.ok(gateway.isAlive() && gateway.pid === pid, gateway.log.slice(-4000));
        assert.deepEqual({ ...report, count: 0, p50: 0, p99: 0, most: 0 },
            { count: 0, p50: 0, p99: 0, most: 0, failures: [], isClosed: false, violations: [] });
        await this.assertCounted(metrics, counts);
        await until(`${this.descriptors()} descriptors to be ${descriptors} again`, () => this.descriptors() <= descriptors,
            { within: GIVEN_BACK_WITHIN_MS, every: 25 });
        const said = this.complaints().slice(complaints);
        assert.ok(said.length <= LOG_LINES, `${said.length} warnings, such as ${JSON.stringify(said[0])}`);
        const grown = this.isMeasured ? this.peak() - rss : 0;
        assert.ok(grown <= growth, `memory rose by ${(grown / KIB).toFixed(0)} KiB, more than ${(growth / KIB).toFixed(0)}`);
        return { ...report, grown };
    }

    /* Counters follow what a peer can see, not always before it. */
    async assertCounted(before, counts) {
        await until('the refusals to be counted', async () => {
            const now = await this.gateway.metrics();
            for (const [key, wanted] of Object.entries(counts)) {
                const [least, most] = Array.isArray(wanted) ? wanted : [wanted, wanted];
                assert.ok(now.has(key) || key.endsWith('*'), `no metric ${key}`);
                const rise = sumOf(now, key) - sumOf(before, key);
                assert.ok(rise >= least && rise <= most, `${key} rose by ${rise}, not by ${least === most ? least : `${least} to ${most}`}`);
            }
            return true;
        }, { within: 10000, every: 50 });
    }

    async close() {
        await this.probe.call('close');
        this.probe.end();
        await this.gateway.stop();
    }
}

/** Every metric of one name, one label. */
export const refused = (reason) => `gw_refused_total{reason="${reason}"}`;
export const hungUp = (reason) => `gw_hung_up_total{reason="${reason}"}`;
export const refusedMessage = (reason) => `gw_viewer_refused_total{reason="${reason}"}`;
export const failedTls = (reason) => `gw_tls_failures_total{reason="${reason}"}`;

const kinds = [...new Set([strictBinary, plainBinary])].flatMap((binary) => [false, true].map((isSecure) => ({ binary, isSecure })));
const nameOf = ({ binary, isSecure }) => `${isSecure ? 'TLS' : 'plain'} port, ${isSanitized(binary) ? 'sanitized' : 'plain'} binary`;

/**
 * Tests of these attacks, name -> { run, growth, on }, with each binary and on a port with TLS and without. on: 'plain' or
 * 'tls', for what makes sense on that port only. config: of the gateway. areSideBySide: all kinds at once, for attacks that do not
 * live by their speed; else only those that are not measured are.
 */
export function testAttacks(attacks, { config, areSideBySide = false } = {}) {
    after(async () => {
        endCrowds();
        await stopAll();
    });
    const attackOne = async (context, kind) => {
        const scene = await Scene.open(kind.binary, kind.isSecure, config);
        for (const [name, attack] of Object.entries(attacks)) {
            if (attack.on === undefined || (attack.on === 'tls') === kind.isSecure) {
                await context.test(name, (inner) => scene.attack(inner, attack));
            }
        }
        await scene.close();
    };
    const isMeasured = ({ binary }) => !isSanitized(binary);
    const alone = areSideBySide ? [] : kinds.filter(isMeasured);
    for (const group of [kinds.filter((kind) => !alone.includes(kind)), ...alone.map((kind) => [kind])].filter(({ length }) => length > 0)) {
        test(group.map(nameOf).join(' | '), { concurrency: group.length, timeout: 240000 },
            (context) => Promise.all(group.map((kind) => context.test(nameOf(kind), (inner) => attackOne(inner, kind)))));
    }
}
