/*
 * One scenario against a gateway of its own: writes definitions for its boards, starts the gateway (and a private Redis or
 * PostgreSQL where the scenario needs one), runs sophia-load and ends everything.
 *
 *     node loadtest/load.mjs loadtest/scenarios/steady.json [--viewers 100] [--seconds 2] [--rate 50] [--set member=value]
 *         [--json result.json] [--build build] [--progress]
 *
 * Ends as sophia-load does: 0 what the scenario expects holds, 1 it does not, 2 it could not run.
 * First `ninja -C build loadtest/sophia-load`. SOPHIA_GATEWAY names another gateway than build/gateway/sophia-gateway.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { defineKpi, makeDefinitions } from '../tests/support/definitions.mjs';
import { plainBinary, root, startGateway, stopAll } from '../tests/support/gateway.mjs';
import { startPostgres } from '../tests/support/postgres.mjs';
import { destroyServers, familyOf } from '../tests/support/private_server.mjs';
import { startRedis } from '../tests/support/redis.mjs';
import { installSchema } from '../tests/support/sophia_schema.mjs';
import { until } from '../tests/support/waiting.mjs';

const EXIT_UNUSABLE = 2;
const TEXT_COLUMNS = 7;
const DEFAULT_FIELDS = 6;
const CHANNEL = 'load-changes'; // as in load_sink.h
const HEADLINE_TILES = 12;

/** As scenario_set() of load_scenario.c: "producer.rate=5". */
export function setMember(scenario, assignment) {
    const [, name, text] = assignment.match(/^([^=]+)=(.*)$/s) ?? [];
    if (name === undefined) {
        throw new Error(`not MEMBER=VALUE: ${assignment}`);
    }
    const parts = name.split('.');
    const last = parts.pop();
    const owner = parts.reduce((object, part) => { object[part] ??= {}; return object[part]; }, scenario);
    try {
        owner[last] = JSON.parse(text);
    } catch {
        owner[last] = text;
    }
}

const boardIds = ({ boards }) => (Array.isArray(boards) ? boards.map(({ board }) => board)
    : Array.from({ length: boards.count }, (_, i) => `${boards.prefix ?? 'load-'}${i + 1}`));

const sources = { ingest: { kind: 'http' }, none: { kind: 'http' }, redis: { kind: 'redis', channel: CHANNEL }, sql: { kind: 'pg' } };
const columns = [
    { key: 'sent', title: 'Sent', unit: 'number', required: true },
    ...Array.from({ length: TEXT_COLUMNS }, (_, i) => ({ key: `text${i + 1}`, title: `Text ${i + 1}`, unit: 'text' })),
];

/** Fields as field_name() of load_scenario.c names them. */
function kpisOf(board, { producer = { kind: 'none' }, fields = DEFAULT_FIELDS, kpis }) {
    const common = { source: sources[producer.kind], priority: 'critical', ...kpis };
    const name = board.replaceAll('-', '_');
    if (producer.value_bytes > 0) {
        return [defineKpi(`${name}.rows`, 'table', { ...common, cap: Math.max(fields, 1), columns })];
    }
    return Array.from({ length: fields }, (_, i) => defineKpi(`${name}.g${String(i + 1).padStart(2, '0')}`, 'gauge', { ...common, unit: 'integer' }));
}

/** Definitions with the scenario's boards; the caller removes the directory. */
export function definitionsOf(scenario) {
    if (!(scenario.producer?.value_bytes > 0) && (scenario.fields ?? DEFAULT_FIELDS) > HEADLINE_TILES) {
        throw new Error(`a board of gauges shows at most ${HEADLINE_TILES}; with producer.value_bytes fields are rows`);
    }
    const perBoard = boardIds(scenario).map((board) => [board, kpisOf(board, scenario)]);
    return makeDefinitions({
        kpiList: perBoard.flatMap(([, kpis]) => kpis),
        boardList: Object.fromEntries(perBoard.map(([board, kpis]) => [board, kpis.map(({ id }) => id)])),
    });
}

/** The servers a scenario needs: sections of the gateway's configuration, and options of sophia-load. */
async function startServers({ producer, gateway = {} }) {
    const config = {};
    const options = [];
    const aside = (server) => options.push('--aside', familyOf(server.pid).join(','));
    if (producer?.kind === 'redis' || gateway.journal?.kind === 'redis') {
        const redis = await startRedis();
        config.redis = { host: '127.0.0.1', port: redis.port };
        options.push('--redis', `127.0.0.1:${redis.port}`);
        aside(redis);
    }
    if (producer?.kind === 'sql') {
        const postgres = await startPostgres({ settings: { fsync: 'on', full_page_writes: 'on' } });
        await installSchema(postgres);
        config.postgres = { url: postgres.url };
        options.push('--postgres', postgres.url);
        aside(postgres);
    }
    return { config, options };
}

const merged = (parts) => parts.reduce((whole, part) => {
    for (const [section, options] of Object.entries(part)) {
        whole[section] = typeof options === 'object' ? { ...whole[section], ...options } : options;
    }
    return whole;
}, {});

async function startFor(scenario, definitions) {
    const { config, options } = await startServers(scenario);
    const ingest = { max_outstanding: Math.max(256, scenario.producer?.outstanding ?? 1) };
    const gateway = await startGateway(merged([
        { definitions: { dir: definitions }, listen: { max_connections: 100000 }, ingest, fanout: { flush_ms: 0 } },
        config, scenario.gateway ?? {},
    ]), { binary: plainBinary });
    await until('the sources to be up', async () => (await gateway.get('/health')).json().status === 'healthy');
    return { gateway, options };
}

let child;

/** Resolves with the exit code. */
const run = (file, args) => new Promise((resolve, reject) => {
    child = spawn(file, args, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? EXIT_UNUSABLE));
});

/** Runs the scenario; `options` are more of sophia-load's. Resolves with its exit code. */
export async function runScenario(scenario, { options = [], build = 'build' } = {}) {
    const program = path.resolve(root, build, 'loadtest/sophia-load');
    const definitions = definitionsOf(scenario);
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-load-'));
    try {
        const file = path.join(directory, 'scenario.json');
        fs.writeFileSync(file, JSON.stringify(scenario));
        const { gateway, options: servers } = await startFor(scenario, definitions);
        const code = await run(program, ['--url', `http://127.0.0.1:${gateway.port}`, '--pid', familyOf(gateway.pid).join(','), ...servers, ...options, file]);
        await gateway.stop();
        return code;
    } finally {
        await stopAll();
        await destroyServers();
        [definitions, directory].forEach((name) => fs.rmSync(name, { recursive: true, force: true }));
    }
}

async function main() {
    const text = { type: 'string' };
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            viewers: text, seconds: text, rate: text, set: { ...text, multiple: true, default: [] }, json: text,
            build: { ...text, default: 'build' }, progress: { type: 'boolean', default: false },
        },
    });
    if (positionals.length !== 1) {
        throw new Error('exactly one scenario is needed');
    }
    const scenario = JSON.parse(fs.readFileSync(positionals[0], 'utf8'));
    const short = { viewers: values.viewers, seconds: values.seconds, 'producer.rate': values.rate };
    Object.entries(short).filter(([, value]) => value !== undefined).forEach(([name, value]) => setMember(scenario, `${name}=${value}`));
    values.set.forEach((assignment) => setMember(scenario, assignment));
    const options = [...(values.json ? ['--json', values.json] : []), ...(values.progress ? ['--progress'] : [])];
    return runScenario(scenario, { options, build: values.build });
}

if (process.argv[1] && path.resolve(process.argv[1]) === path.join(root, 'loadtest/load.mjs')) {
    /* sophia-load ends with the signal as well; what it served is then ended in order. */
    ['SIGINT', 'SIGTERM'].forEach((signal) => process.on(signal, () => child?.kill(signal)));
    process.exitCode = await main().catch((error) => {
        console.error(`load.mjs: ${error.message}`);
        return EXIT_UNUSABLE;
    });
}
