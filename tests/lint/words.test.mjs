/* Names that name nothing, and promises nobody keeps. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { codeOf, filesOf, root, sourcesOf } from './sources.mjs';

const folders = ['protocol', 'gateway', 'web', 'tests', 'loadtest', 'deploy', 'docs'];
const empty = /(^|[^a-z])(managers?|helpers?|utils?|misc|common)($|[^a-z])/i;

test('no file is named after nothing', () => {
    const found = folders.flatMap((folder) => filesOf(root, folder, [''])).filter((file) => empty.test(file));
    assert.equal(found.length, 0, found.join('\n'));
});

test('no struct, union or enum is named after nothing', () => {
    const found = sourcesOf(root, ['protocol', 'gateway', 'tests', 'loadtest']).flatMap(({ file, text }) =>
        [...codeOf(text).matchAll(/\b(?:struct|union|enum)\s+(\w+)/g)].map((match) => match[1])
            .filter((name) => empty.test(name.replaceAll('_', ' '))).map((name) => `${file}: ${name}`));
    assert.equal(found.length, 0, found.join('\n'));
});

test('no typedef hides a struct', () => {
    const found = sourcesOf(root, ['protocol', 'gateway']).flatMap(({ file, text }) =>
        [...codeOf(text).matchAll(/\btypedef\s+(?:struct|union)\b[^;{]*/g)].map((match) => `${file}: ${match[0]}`));
    assert.equal(found.length, 0, found.join('\n'));
});

test('a TODO names its issue', () => {
    const found = folders.flatMap((folder) => filesOf(root, folder, ['.c', '.h', '.js', '.mjs', '.css', '.yaml', '.md', '.build']))
        .filter((file) => path.posix.dirname(file) !== 'tests/lint')
        .flatMap((file) => readFileSync(path.join(root, file), 'utf8').split('\n').flatMap((line, index) =>
            (/\b(TODO(?!\(#\d+\))|FIXME|XXX)\b/.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])));
    assert.equal(found.length, 0, found.join('\n'));
});
