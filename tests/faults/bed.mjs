/*
 * Private servers, a proxy in front of each server for each gateway, and gateways that share one order: what faults happen
 * to. Gateways keep their ports over restarts; a fail-over points the proxies at another server, as a moved address does.
 */
import fs from 'node:fs';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { startPostgres } from '../support/postgres.mjs';
import { destroyServers, freePort } from '../support/private_server.mjs';
import { destroyProxies, startProxy } from '../support/proxy.mjs';
import { startRedis } from '../support/redis.mjs';
import { CHANNEL, STREAM, makeFaultDefinitions } from './definitions.mjs';
import { installSchema } from '../support/sophia_schema.mjs';

/** A gateway that can be started again: the same port, the same definitions, its own two proxies. */
class Node {
    constructor(bed, index, options) {
        Object.assign(this, { bed, index, options, name: `node-${index + 1}` });
    }

    async prepare() {
        this.port = await freePort();
        const { postgres, redis } = this.bed;
        this.postgresProxy = await startProxy(postgres);
        this.redisProxy = await startProxy(redis);
    }

    config() {
        const { config = {} } = this.options;
        return {
            ...config,
            listen: { port: this.port, ...config.listen },
            definitions: { dir: this.bed.definitions },
            fanout: { flush_ms: 20, heartbeat_ms: 500, ...config.fanout },
            node: { name: this.name },
            journal: { kind: 'redis' },
            postgres: { url: `postgresql://postgres@127.0.0.1:${this.postgresProxy.port}/postgres`, ...config.postgres },
            redis: {
                ...(config.redis?.sentinels ? {} : { host: '127.0.0.1', port: this.redisProxy.port }), streams: [{ stream: STREAM, from: 'oldest' }], channels: [{ channel: CHANNEL }],
                ...config.redis,
            },
        };
    }

    async start(options = {}) {
        this.gateway = await startGateway(this.config(), { ...this.options.gateway, ...options });
    }

    isAlive() {
        return this.gateway?.isAlive() ?? false;
    }

    kill() {
        return this.gateway.kill();
    }

    stop() {
        return this.gateway.stop();
    }

    pause() {
        this.gateway.signal('SIGSTOP');
    }

    resume() {
        this.gateway.signal('SIGCONT');
    }
}

export class Bed {
    constructor(options) {
        this.options = options;
        this.definitions = makeFaultDefinitions();
    }

    async prepare() {
        const { postgres = {}, redis = {}, nodes = 2 } = this.options;
        [this.postgres, this.redis] = await Promise.all([startPostgres(postgres), startRedis(redis)]);
        await installSchema(this.postgres);
        this.nodes = Array.from({ length: nodes }, (_, i) => new Node(this, i, this.options));
        for (const node of this.nodes) {
            await node.prepare();
        }
    }

    async start() {
        await Promise.all(this.nodes.map((node) => node.start()));
    }

    get ports() {
        return this.nodes.map(({ port }) => port);
    }

    get proxies() {
        return this.nodes.flatMap(({ postgresProxy, redisProxy }) => [postgresProxy, redisProxy]);
    }

    /** New connections go to this server; existing ones are reset. */
    pointAt({ postgres, redis }) {
        for (const node of this.nodes) {
            if (postgres) {
                node.postgresProxy.target = postgres;
                node.postgresProxy.reset();
            }
            if (redis) {
                node.redisProxy.target = redis;
                node.redisProxy.reset();
            }
        }
        this.postgres = postgres ?? this.postgres;
        this.redis = redis ?? this.redis;
    }

    async heal() {
        await Promise.all(this.proxies.map((proxy) => proxy.heal()));
    }

    async destroy() {
        await stopAll();
        await destroyProxies();
        await destroyServers();
        fs.rmSync(this.definitions, { recursive: true, force: true });
    }
}

/**
 * options: postgres, redis (of startPostgres, startRedis), nodes (2), config (of every gateway, over the bed's own), gateway
 * (of startGateway). isStarted false: the gateways wait for start().
 */
export async function startBed({ isStarted = true, ...options } = {}) {
    const bed = new Bed(options);
    try {
        await bed.prepare();
        if (isStarted) {
            await bed.start();
        }
    } catch (error) {
        await bed.destroy();
        throw error;
    }
    return bed;
}
