/* C as .clang-format says, shell as shellcheck likes it. `./dev format` mends the first. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { filesOf, root } from './sources.mjs';

function complaints(command, args) {
    const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
    assert.equal(error, undefined, `${command} did not run: ${error}`);
    return status === 0 ? '' : `${stdout}${stderr}`;
}

test('every C file is formatted', () => {
    const files = ['protocol', 'gateway', 'tests', 'loadtest'].flatMap((folder) => filesOf(root, folder, ['.c', '.h']));
    const found = complaints('clang-format', ['--dry-run', '-Werror', ...files]);
    const bad = new Set([...found.matchAll(/^([^:\n]+):\d+:\d+: /gm)].map((match) => match[1]));
    assert.ok(found === '', `run ./dev format:\n${[...bad].join('\n')}`);
});

test('every shell script is clean', () => {
    const found = complaints('shellcheck', ['dev', '.ci/run', ...['tests', 'deploy', 'loadtest'].flatMap((folder) => filesOf(root, folder, ['.sh']))]);
    assert.equal(found, '');
});
