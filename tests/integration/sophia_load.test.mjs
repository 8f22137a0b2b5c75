/*
 * The load generator judges: against the real gateway it finds nothing, against a server that is made to look wrong it says what.
 * Its times are not judged here: other tests share the machine.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { definitionsOf } from '../../loadtest/load.mjs';
import { root, startGateway, stopAll, strictBinary } from '../support/gateway.mjs';
import { WrongGateway } from '../support/wrong_gateway.mjs';

const program = path.join(path.dirname(strictBinary), '../loadtest/sophia-load');
const scenariosDirectory = path.join(root, 'loadtest/scenarios');
const scenarioOf = (name) => JSON.parse(fs.readFileSync(path.join(scenariosDirectory, `${name}.json`), 'utf8'));

let directory;
before(() => { directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-load-test-')); });
after(async () => {
    await stopAll();
    fs.rmSync(directory, { recursive: true, force: true });
});

/** Resolves with { code, text, result } of one run. */
function load(scenario, args) {
    const [file, result] = ['scenario.json', 'result.json'].map((name) => path.join(directory, name));
    fs.writeFileSync(file, JSON.stringify(scenario));
    fs.rmSync(result, { force: true });
    return new Promise((resolve) => {
        execFile(program, [...args, '--json', result, file], (error, stdout, stderr) => {
            const isThere = fs.existsSync(result);
            resolve({ code: error ? error.code : 0, text: stdout + stderr, result: isThere ? JSON.parse(fs.readFileSync(result, 'utf8')) : undefined });
        });
    });
}

async function withGateway(scenario, act) {
    const definitions = definitionsOf(scenario);
    try {
        const gateway = await startGateway({ definitions: { dir: definitions }, fanout: { flush_ms: 0 } });
        const answer = await act(gateway, ['--url', `http://127.0.0.1:${gateway.port}`, '--pid', String(gateway.pid)]);
        await gateway.stop();
        return answer;
    } finally {
        fs.rmSync(definitions, { recursive: true, force: true });
    }
}

test('two seconds of a steady stream to 200 viewers are without fault', async () => {
    const scenario = { ...scenarioOf('steady'), viewers: 200, seconds: 2, warmup_s: 0.5, expect: { resyncs: 0, min_copies: 50, min_changes: 50 } };
    const { code, text, result } = await withGateway(scenario, (gateway, args) => load(scenario, args));
    assert.equal(code, 0, text);
    assert.deepEqual([result.violations, result.lost, result.behind, result.errors], [0, 0, 0, {}]);
    assert.ok(result.deliveries >= 200 * 50, text);
    assert.ok(result.latency_ms.values > 0 && result.latency_ms.p50 > 0 && result.latency_ms.p50 <= result.latency_ms.max, text);
    assert.ok(result.rss_kib.empty > 1000 && result.rss_kib.end > 1000, text);
});

test('slow, limited, moving and SSE viewers end with the whole board', async () => {
    const scenario = {
        ...scenarioOf('mobile'), viewers: 60, seconds: 2, warmup_s: 0.5, max_rate: 10, transport: { ws: 0.5, sse: 0.5 }, churn_per_s: 10,
        storm: { at_s: 1, viewers: 20 }, producer: { kind: 'ingest', rate: 50, outstanding: 2, batch: 2, value_bytes: 900 }, expect: {},
    };
    const { code, text, result } = await withGateway(scenario, (gateway, args) => load(scenario, args));
    assert.equal(code, 0, text);
    assert.ok(result.returned.viewers >= 20 && result.messages.merged > 0, text);
});

test('several boards each get their own', async () => {
    const scenario = { ...scenarioOf('hot_board'), viewers: 50, seconds: 1, warmup_s: 0.2, expect: { resyncs: 0, min_copies: 40 } };
    const { code, text } = await withGateway(scenario, (gateway, args) => load(scenario, args));
    assert.equal(code, 0, text);
});

const kindsOf = {
    none: [], skip: ['gap'], hide: ['missing'], swap: ['value'], early: ['gap'], again: ['back'], nonce: ['nonce'],
};
for (const [mistake, kinds] of Object.entries(kindsOf)) {
    test(`a server whose mistake is "${mistake}" is ${kinds.length === 0 ? 'cleared' : 'found out'}`, async () => {
        const scenario = { ...scenarioOf('steady'), viewers: 8, seconds: 0.8, warmup_s: 0, quiet_s: 2, expect: {} };
        const server = await new WrongGateway({ mistake }).start('load-1');
        const { code, text, result } = await load(scenario, ['--url', `http://127.0.0.1:${server.port}`]);
        await server.stop();
        assert.ok(server.updates > server.at, `only ${server.updates} updates: the mistake was not made`);
        assert.equal(code, kinds.length === 0 ? 0 : 1, text);
        for (const kind of kinds) {
            assert.ok(result.violations_by_kind[kind] > 0, text);
            assert.match(text, new RegExp(`violation: ${kind}: `));
        }
    });
}

test('an expectation that does not hold is printed and ends with 1', async () => {
    const scenario = { ...scenarioOf('steady'), viewers: 4, seconds: 0.3, warmup_s: 0, expect: { min_deliveries: 1e9 } };
    const server = await new WrongGateway().start('load-1');
    const { code, text, result } = await load(scenario, ['--url', `http://127.0.0.1:${server.port}`]);
    await server.stop();
    assert.equal(code, 1, text);
    assert.match(text, /BROKEN: min_deliveries is \d+, wanted 1000000000/);
    assert.deepEqual(result.expectations.filter(({ held }) => !held).map(({ name }) => name), ['min_deliveries']);
});

test('what cannot run ends with 2 and says why', async () => {
    const url = ['--url', 'http://127.0.0.1:1'];
    const steady = { ...scenarioOf('steady'), viewers: 1 };
    for (const [scenario, args, words] of [
        [steady, [], /--url is missing/],
        [steady, url, /the first values were not accepted/],
        [{ ...steady, viewer: 1 }, url, /no member viewer/],
        [{ ...steady, expect: { p98_ms: 1 } }, url, /p98_ms/],
        [steady, [...url, '--set', 'viewers'], /MEMBER=VALUE/],
        [steady, [...url, '--pid', 'x'], /no process: x/],
        [steady, ['--url', 'ws://127.0.0.1:1'], /no address of a gateway/],
        [steady, [...url, '--viewers', '900000'], /open files/],
    ]) {
        const { code, text } = await load(scenario, args);
        assert.equal(code, 2, text);
        assert.match(text, words);
    }
});

test('every scenario that ships can be read', async () => {
    const names = fs.readdirSync(scenariosDirectory);
    assert.ok(names.length >= 8);
    for (const name of names) {
        const scenario = JSON.parse(fs.readFileSync(path.join(scenariosDirectory, name), 'utf8'));
        assert.equal(name, `${scenario.name}.json`);
        const { code, text } = await load(scenario, ['--url', 'http://127.0.0.1:1']);
        assert.equal(code, 2, text);
        assert.match(text, /the first values were not accepted/); // nobody is there; it was read until then
    }
});
