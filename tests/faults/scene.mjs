/* A bed with writers, followers and a judge: what most fault tests begin with. */
import { chance, sleep } from '../support/waiting.mjs';
import { startBed } from './bed.mjs';
import { Follower, Registry } from './follower.mjs';
import { Judge } from './judge.mjs';
import { PostgresWriter, RedisWriter } from './writers.mjs';

export class Scene {
    constructor(bed, { seed = 1, followers = 4, perSecond } = {}) {
        this.bed = bed;
        this.random = chance(seed);
        this.registry = new Registry();
        this.postgres = new PostgresWriter(bed, chance(seed + 1), { perSecond });
        this.redis = new RedisWriter(bed, chance(seed + 2));
        /* They prefer the gateways in turn; every third watches the small board. */
        this.followers = Array.from({ length: followers }, (_, i) => {
            const ports = bed.ports.map((_port, k) => bed.ports[(i + k) % bed.ports.length]);
            return new Follower(`viewer-${i + 1}`, ports, { board: i % 3 === 2 ? 'part' : 'whole', registry: this.registry });
        });
        this.judge = new Judge(bed, { followers: this.followers, registry: this.registry, writers: { postgres: this.postgres, redis: this.redis } });
    }

    async start() {
        await this.postgres.fill();
        await this.redis.fill();
        await Promise.all(this.followers.map((follower) => follower.start()));
        await this.judge.settled();
    }

    startWriting() {
        this.postgres.start();
        this.redis.start();
        this.judge.watch();
    }

    async stopWriting() {
        await Promise.all([this.postgres.stop(), this.redis.stop()]);
        this.judge.stop();
    }

    /** Writes for `ms` while `act` happens; afterwards everybody must hold the truth. Resolves with how long that took. */
    async during(act, { ms = 1000, ...options } = {}) {
        this.startWriting();
        try {
            await act();
            await sleep(ms);
        } finally {
            await this.stopWriting();
        }
        const took = await this.judge.settled(options);
        this.judge.assertSound();
        return took;
    }

    /** How many snapshots the followers have got so far. */
    get snapshots() {
        return this.followers.reduce((sum, { counts }) => sum + counts.snapshots, 0);
    }

    async end() {
        this.judge.stop();
        this.postgres.isWriting = false;
        this.redis.isWriting = false;
        await Promise.all(this.followers.map((follower) => follower.end()));
    }
}

/** What may happen to a line and leaves it whole in the end: name -> act on its proxy. */
export const lineFaults = {
    reset: (proxy) => proxy.reset(),
    'cut for two seconds': async (proxy) => {
        proxy.cut();
        await sleep(2000);
        await proxy.heal();
    },
    slow: async (proxy) => {
        proxy.delay(200);
        await sleep(2000);
        proxy.heal();
    },
    thin: async (proxy) => {
        proxy.trickle(20000);
        await sleep(2000);
        proxy.heal();
    },
};

/** Everything, with values on every board. options: of startBed, and seed, followers, perSecond. */
export async function startScene(options = {}) {
    const bed = await startBed(options);
    const scene = new Scene(bed, options);
    try {
        await scene.start();
    } catch (error) {
        await scene.end();
        const logs = bed.nodes.map(({ name, gateway }) => `${name}: ${gateway?.log.slice(-1500)}`).join('\n');
        await bed.destroy();
        throw new Error(`${error.message}\n${logs}`);
    }
    return scene;
}
