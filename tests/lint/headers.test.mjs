/* A header compiles alone, twice is as good as once, and a source includes its own header first. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { root, sourcesOf } from './sources.mjs';

const run = promisify(execFile);
const libraries = ['libwebsockets', 'liburing', 'libuv', 'hiredis', 'libpq', 'jansson', 'yaml-0.1', 'openssl', 'zlib', 'cmocka'];
const all = sourcesOf(root, ['protocol', 'gateway', 'tests', 'loadtest']);
const headers = all.filter(({ file }) => file.endsWith('.h'));

const compilerOptions = () => [
    '-fsyntax-only', '-x', 'c', '-std=gnu17', '-Wall', '-Wextra', '-Wstrict-prototypes', '-Werror', '-D_GNU_SOURCE',
    '-I.', '-Igateway', ...execFileSync('pkg-config', ['--cflags', ...libraries], { encoding: 'utf8' }).split(/\s+/).filter(Boolean),
];

/** SOPHIA_STATE_BOARD_H for gateway/state/board.h: where it is included from, in capitals. */
const guardOf = (file) => `SOPHIA_${file.replace(/^gateway\//, '').replace(/[^A-Za-z0-9]/g, '_').toUpperCase()}`;

test('every header compiles alone', async () => {
    const options = compilerOptions();
    const problems = [];
    const compile = async ({ file }) => {
        // Included by a source of one line: a guard must not be reported as an unused file of its own.
        const child = run('gcc', [...options, '-include', file, '/dev/null'], { cwd: root });
        await child.catch((error) => problems.push(`${file}: ${error.stderr}`));
    };
    const left = [...headers];
    await Promise.all([1, 2].map(async () => {
        while (left.length > 0) {
            await compile(left.pop());
        }
    }));
    assert.equal(problems.length, 0, problems.join('\n'));
    assert.ok(headers.length > 30, `only ${headers.length} headers were found`);
});

test('every header has a guard named after its place', () => {
    const problems = headers.flatMap(({ file, text }) => {
        const match = text.match(/^#ifndef (\w+)\n#define (\w+)\n/m);
        // Test headers are never included together with the tree's own of the same name: a short guard will do.
        const isRight = file.startsWith('tests/') ? /^SOPHIA_\w+_H$/.test(match?.[1]) : match?.[1] === guardOf(file);
        return isRight && match[1] === match[2] ? [] : [`${file}: guard is ${match?.[1] ?? 'missing'}, not ${guardOf(file)}`];
    });
    assert.equal(problems.length, 0, problems.join('\n'));
});

test('no two headers share a guard', () => {
    const seen = new Map();
    const problems = headers.flatMap(({ file, text }) => {
        const guard = text.match(/^#ifndef (\w+)$/m)?.[1];
        const other = seen.get(guard);
        seen.set(guard, file);
        return other ? [`${file} and ${other}: ${guard}`] : [];
    });
    assert.equal(problems.length, 0, problems.join('\n'));
});

test('a source includes its own header first', () => {
    const known = new Set(headers.map(({ file }) => file));
    const problems = all.filter(({ file }) => file.endsWith('.c')).flatMap(({ file, includes }) => {
        const own = file.replace(/\.c$/, '.h');
        if (!known.has(own) || includes[0]?.name === own || includes[0]?.name === own.replace(/^gateway\//, '')
            || (file.startsWith('tests/') && includes[0]?.name === path.posix.basename(own))
            || (file.startsWith('tests/') && own.endsWith(`/${includes[0]?.name}`))) {
            return [];
        }
        return [`${file}:${includes[0]?.line ?? 1}: includes ${includes[0]?.name ?? 'nothing'} before its own header`];
    });
    assert.equal(problems.length, 0, problems.join('\n'));
});
