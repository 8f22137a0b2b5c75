/* The client library as somebody else has it: packed by npm, unpacked into node_modules/ of a folder of theirs. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../support/gateway.mjs';

const run = promisify(execFile);
const client = path.join(root, 'web/client');

/** A folder with the library (and `ws`, as npm would bring it): {folder, remove}. */
export async function installClient() {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'sophia-client-'));
    const target = path.join(folder, 'node_modules/sophia-gateway-client');
    await mkdir(target, { recursive: true });
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: client });
    await run('tar', ['xzf', path.join(folder, JSON.parse(stdout)[0].filename), '-C', target, '--strip-components=1']);
    await symlink(path.join(root, 'web/node_modules/ws'), path.join(folder, 'node_modules/ws'));
    return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** The code blocks of the README, by language: what its reader copies. */
export async function readmeExamples() {
    const text = await readFile(path.join(client, 'README.md'), 'utf8');
    return Object.fromEntries([...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => [language, code]));
}
