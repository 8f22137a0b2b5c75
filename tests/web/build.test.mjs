/* The byte and request budget of the built page, and that nothing in it breaks the page's own policy. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build, staticImports } from '../../web/build.mjs';

const KB = 1000;
const FIRST_VIEW_BYTES = 60 * KB;
const SCRIPT_BYTES = 40 * KB;
const WITH_CHARTS_BYTES = 90 * KB;
const REQUESTS = 16;
/** Beside page and assets: board list, definition, WebSocket. */
const OTHER_REQUESTS = 3;

let built;
let page;
const zipped = (text) => gzipSync(text, { level: 9 }).length;
const total = (names) => names.reduce((sum, name) => sum + zipped(built.files[name]), 0);

before(async () => {
    built = await build(await mkdtemp(path.join(os.tmpdir(), 'sophia-web-')));
    page = await readFile(path.join(built.target, 'index.html'), 'utf8');
});
after(() => rm(built.target, { recursive: true, force: true }));

test('the first view fits the budget of bytes and requests', (t) => {
    const scripts = staticImports(built.files, 'main.js');
    const scriptBytes = total(scripts);
    const allBytes = scriptBytes + zipped(page) + total(['style.css']);
    const requests = scripts.length + 2 + OTHER_REQUESTS;
    t.diagnostic(`scripts ${scriptBytes} B, first view ${allBytes} B without API answers, ${requests} requests`);
    assert.ok(scriptBytes <= SCRIPT_BYTES, `scripts ${scriptBytes} B`);
    assert.ok(allBytes <= FIRST_VIEW_BYTES, `first view ${allBytes} B`);
    assert.ok(requests <= REQUESTS, `${requests} requests`);
});

test('charts come later and fit their budget', (t) => {
    const first = staticImports(built.files, 'main.js');
    const chart = staticImports(built.files, 'views/chart.js').filter((name) => !first.includes(name));
    assert.ok(chart.includes('vendor/uplot.js'));
    const bytes = total([...first, ...chart, 'style.css']) + zipped(page);
    t.diagnostic(`with charts ${bytes} B`);
    assert.ok(bytes <= WITH_CHARTS_BYTES, `with charts ${bytes} B`);
});

test('everything the first view needs is preloaded, from the hashed folder', () => {
    for (const name of staticImports(built.files, 'main.js')) {
        assert.ok(page.includes(`"${built.folder}/${name}"`), name);
    }
    assert.match(built.folder, /^assets\/[0-9a-f]{16}$/);
});

test('every import is relative and exists', () => {
    for (const [file, text] of Object.entries(built.files).filter(([name]) => name.endsWith('.js'))) {
        for (const [, name] of text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([\w./-]+)['"]/g)) {
            assert.match(name, /^\.\.?\//, `${file} imports ${name}`);
            assert.ok(built.files[path.posix.join(path.posix.dirname(file), name)], `${file} imports ${name}`);
        }
    }
});

test('no inline script or style, and no markup from text in our own modules', () => {
    assert.doesNotMatch(page, /<script(?![^>]*\bsrc=)/);
    assert.doesNotMatch(page, /<style|\bstyle=|\bon[a-z]+=/);
    for (const [file, text] of Object.entries(built.files).filter(([name]) => name.endsWith('.js') && !name.startsWith('vendor/'))) {
        assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, file);
        assert.doesNotMatch(text, /\bstyle=/, file);
    }
});

test('the same sources give the same hash', async () => {
    const again = await build(built.target);
    assert.equal(again.folder, built.folder);
});
