/*
 * The independent oracle: what the databases and the producers say against what viewers hold, and the promises of the design
 * that hold at every moment.
 *
 *   P1, I4  after quiet every viewer, and every gateway's snapshot, equals the truth
 *   P2, I2  within an epoch offsets rise and no version goes back (board_copy.mjs, follower.mjs)
 *   P3, I3  two viewers at one position hold the same board (follower.mjs, Registry); no gap (board_copy.mjs)
 *   P4      a viewer never reports an error, and none is disconnected while its gateway lives (the scripted tests)
 *   P5, I5  what a viewer shows is at most BOUND_MS behind what was committed, or the viewer has been told so
 */
import assert from 'node:assert/strict';
import { request } from '../support/http_client.mjs';
import { sleep } from '../support/waiting.mjs';
import { boards, shows } from './definitions.mjs';

const BOUND_MS = 10000;

const essence = ({ v, ver, as_of: asOf, state }) => JSON.stringify([v, ver, asOf, state ?? 'ok']);

/** What a board's fields (a Map) differ in from the truth, as texts. */
function differences(board, fields, truth) {
    const wanted = new Map([...truth].filter(([field]) => shows(board, field)));
    return [...new Set([...wanted.keys(), ...fields.keys()])].sort().flatMap((field) => {
        const [mine, theirs] = [wanted.get(field), fields.get(field)].map((value) => (value ? essence(value) : 'nothing'));
        return mine === theirs ? [] : [`${field}: the truth is ${mine}, the board has ${theirs}`];
    });
}

export class Judge {
    constructor(bed, { followers, registry, writers: { postgres, redis } }) {
        Object.assign(this, { bed, followers, registry, postgres, redis });
        this.violations = [];
    }

    async truth() {
        return new Map([...await this.postgres.truth(), ...(this.redis?.truth() ?? [])]);
    }

    /** I5, looked at twice a second while it runs. */
    watch() {
        this.timer = setInterval(() => this.look(), 500);
    }

    look() {
        const now = performance.now();
        for (const follower of this.followers.filter(({ isWarned }) => !isWarned)) {
            for (const [field, { ver, at }] of this.postgres.committed) {
                const held = follower.copy?.fields.get(field)?.ver;
                if (now - at > BOUND_MS && shows(follower.board, field) && !(held >= ver)) {
                    this.violations.push(`${follower.name}: ${field} is ${held}, not ${ver}, ${Math.round(now - at)} ms after the commit, and no source is down`);
                    this.postgres.committed.delete(field); // once is enough
                }
            }
        }
    }

    stop() {
        clearInterval(this.timer);
    }

    /** What is not as the truth says at this moment. */
    async findings() {
        const truth = await this.truth();
        const found = this.followers.flatMap((follower) => [
            ...(follower.isConnected ? [] : [`${follower.name} is not connected`]),
            ...differences(follower.board, follower.copy?.fields ?? new Map(), truth).map((text) => `${follower.name}: ${text}`),
        ]);
        for (const { port, name } of this.bed.nodes) {
            for (const board of Object.keys(boards)) {
                const { set } = (await request(port, `/api/v1/dashboards/${board}`, { agent: false, within: 2000 })).json();
                found.push(...differences(board, new Map(Object.entries(set)), truth).map((text) => `snapshot of ${name}: ${text}`));
            }
        }
        return found;
    }

    /**
     * Waits until everybody holds the truth; resolves with how long that took (ms). repeats: the Redis writer repeats itself
     * meanwhile, as for a channel it must after a loss.
     */
    async settled({ within = 15000, repeats = true } = {}) {
        const began = performance.now();
        let findings = ['nothing was looked at'];
        let repeatedAt = -Infinity;
        while (performance.now() - began < within) {
            if (repeats && this.redis && performance.now() - repeatedAt > 1000) {
                await this.redis.repeat().catch(() => {});
                repeatedAt = performance.now();
            }
            findings = await this.findings().catch((error) => [error.message]);
            if (findings.length === 0) {
                return performance.now() - began;
            }
            await sleep(50);
        }
        const ends = this.bed.nodes.filter((node) => !node.isAlive()).map(({ name, gateway }) =>
            `${name} ended: ${JSON.stringify(gateway?.exited)}\n${gateway?.log.slice(-3000)}`);
        throw new Error([`not the truth after ${within} ms: ${findings.length} findings`, ...findings.slice(0, 12), ...ends].join('\n'));
    }

    everyViolation() {
        return [...this.violations, ...this.registry.violations, ...this.followers.flatMap((follower) => follower.everyViolation())];
    }

    assertSound() {
        const found = this.everyViolation();
        assert.equal(found.length, 0, `${found.length} violations\n${found.slice(0, 10).join('\n')}`);
    }
}
