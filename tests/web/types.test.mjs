/* The types of the client library: made from the sources as they are, and usable as they are packed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installClient } from './support/packed_client.mjs';

const client = fileURLToPath(new URL('../../web/client/', import.meta.url));
const compiler = createRequire(new URL('../../web/package.json', import.meta.url)).resolve('typescript/bin/tsc');

/** What the compiler prints; '' when it is content. */
const compile = (...options) => new Promise((resolve) => {
    execFile(process.execPath, [compiler, ...options], (error, stdout) => resolve(stdout));
});

async function filesOf(folder) {
    const names = (await readdir(folder)).sort();
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name), 'utf8')])));
}

test('the committed types are those of the sources, and the sources agree with their comments', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'sophia-types-'));
    assert.equal(await compile('-p', path.join(client, 'tsconfig.json'), '--outDir', folder), '');
    assert.deepEqual(await filesOf(path.join(client, 'types')), await filesOf(folder), 'npm run types, in web/');
    await rm(folder, { recursive: true });
});

const program = `import { watch, formatPosition, type Change, type JudgedValue, type LinkState } from 'sophia-gateway-client';

const gateway = watch({
    url: new URL('https://boards.example'),
    boards: ['executive'],
    onChange: ({ board, fields, isSnapshot }: Change) => console.log(board, fields.length, isSnapshot),
    onLink: (link: LinkState) => console.log(link.name === 'refused' ? link.text : link.retryAt),
    renewToken: async () => undefined,
});
const value: JudgedValue | undefined = gateway.value('executive', 'exec.revenue_mtd');
const state: 'fresh' | undefined = value?.freshness === 'fresh' ? value.freshness : undefined;
console.log(state, value?.as_of?.toFixed(0), formatPosition(gateway.store.positionOf('executive')), gateway.definition('executive')?.title);
gateway.close();
`;

test('a strict TypeScript program can use the package, and is told what it does wrong', async () => {
    const { folder, remove } = await installClient();
    const options = ['--noEmit', '--strict', '--module', 'NodeNext', '--target', 'ES2022', '--lib', 'ES2023,DOM'];
    await writeFile(path.join(folder, 'package.json'), '{"type": "module"}');
    await writeFile(path.join(folder, 'good.ts'), program);
    assert.equal(await compile(...options, path.join(folder, 'good.ts')), '');
    const wrong = [["boards: ['executive']", 'boards: 7'], ["name === 'refused'", "name === 'gone'"], ['gateway.close()', 'gateway.stop()'], ['as_of?.', 'as_of.']];
    for (const [i, [good, bad]] of wrong.entries()) {
        await writeFile(path.join(folder, `bad${i}.ts`), program.replace(good, bad));
    }
    const found = await compile(...options, ...wrong.map((_, i) => path.join(folder, `bad${i}.ts`)));
    wrong.forEach(([, bad], i) => assert.match(found, new RegExp(`bad${i}\\.ts.*error`), bad));
    await remove();
});
