/* The Node example of the client library's README, copied and run as its reader does, against the real gateway. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root, startGateway, stopAll } from '../support/gateway.mjs';
import { until } from '../support/waiting.mjs';
import { installClient, readmeExamples } from '../web/support/packed_client.mjs';

let gateway;
let client;
before(async () => {
    client = await installClient();
    gateway = await startGateway({ fanout: { heartbeat_ms: 400 } });
    await writeFile(path.join(client.folder, 'watch.mjs'), (await readmeExamples()).js);
});
after(async () => {
    await stopAll();
    await client.remove();
});

const [major, minor] = process.versions.node.split('.').map(Number);
/** What Node has to be told to have a WebSocket of its own; null: this one has none. */
const ownSocketOptions = major >= 22 ? [] : (major === 20 && minor >= 10 ? ['--experimental-websocket'] : null);

class Example {
    constructor(options, boards, port = gateway.port) {
        this.out = '';
        this.told = '';
        this.process = spawn(process.execPath, [...options, 'watch.mjs', `http://127.0.0.1:${port}`, ...boards], { cwd: client.folder });
        this.process.stdout.on('data', (text) => { this.out += text; });
        this.process.stderr.on('data', (text) => { this.told += text; });
        this.ended = new Promise((resolve) => { this.process.on('exit', (code, signal) => resolve(code ?? signal)); });
    }

    prints(line) {
        return until(`"${line}" in ${this.out.slice(-300)} ${this.told.slice(-300)}`, () => `\n${this.out}`.includes(`\n${line}\n`));
    }

    tells(text, count = 1) {
        return until(`"${text}" in ${this.told.slice(-300)}`, () => this.told.split(text).length > count, { within: 20000 });
    }

    async stop() {
        this.process.kill('SIGINT');
        assert.equal(await this.ended, 0, this.told);
    }
}

test('the examples are the files beside them', async () => {
    const examples = await readmeExamples();
    const read = (name) => readFile(path.join(root, 'web/client/examples', name), 'utf8');
    assert.equal(examples.js, await read('watch.mjs'));
    assert.equal(examples.html, await read('plain.html'));
});

test('the package holds what it needs and nothing of the page', async () => {
    const { exports } = JSON.parse(await readFile(path.join(client.folder, 'node_modules/sophia-gateway-client/package.json'), 'utf8'));
    for (const file of Object.values(exports['.'])) {
        await readFile(path.join(client.folder, 'node_modules/sophia-gateway-client', file));
    }
    await assert.rejects(readFile(path.join(client.folder, 'node_modules/sophia-gateway-client/tsconfig.json')));
});

for (const [name, options] of [['ws', []], ['a WebSocket of its own', ownSocketOptions]]) {
    const skip = options === null ? 'this Node has none' : false;
    test(`the Node example prints what changes, with ${name}`, { skip }, async () => {
        await gateway.post({ field: 'test.count', value: 41 });
        const example = new Example(options, ['alpha']);
        await example.tells('link: live');
        await gateway.post({ field: 'test.count', value: 42 });
        await example.prints('test.count 42 fresh');
        await gateway.post({ field: 'test.count', value: null });
        await example.prints('test.count null nodata');
        await example.stop();
    });
}

test('the Node example is told of a board that does not exist', async () => {
    const example = new Example([], ['nowhere', 'alpha']);
    await example.tells('problem: nowhere');
    await example.tells('link: live');
    await example.stop();
});

test('the Node example survives its gateway, and one that is not there yet', async () => {
    const first = await startGateway({});
    const { port } = first;
    const example = new Example([], ['alpha'], port);
    await example.tells('link: live');
    await first.kill();
    await example.tells('link: reconnecting');
    const second = await startGateway({ listen: { port } });
    await example.tells('link: live', 2);
    await second.post({ field: 'test.count', value: 7 });
    await example.prints('test.count 7 fresh');
    await example.stop();
    await second.stop();
});
