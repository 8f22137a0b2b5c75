/*
 * A wall display for as long as one likes: four boards in turn on the real gateway, which is killed and started again at a
 * third of the time and replaced by one with another build of the page at two thirds. Fails when the screen was ever blank.
 *
 *     node tests/web/wall_run.mjs [--minutes 30] [--seconds-per-board 10]
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build } from '../../web/build.mjs';
import { BOARDS, openBrowser, openGateway, openPage } from './support/browser.mjs';

const option = (name, usual) => (process.argv.includes(`--${name}`) ? Number(process.argv[process.argv.indexOf(`--${name}`) + 1]) : usual);
const minutes = option('minutes', 30);
const seconds = option('seconds-per-board', 10);
const LOOK_EVERY_MS = 250;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-wall-'));
const first = await build(path.join(folder, 'first'));

/** The same page under another hash, as a deploy would bring it. */
function otherBuild() {
    const target = path.join(folder, 'other');
    const [, own] = first.folder.split('/');
    const other = own.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    fs.cpSync(first.target, target, { recursive: true });
    fs.renameSync(path.join(target, 'assets', own), path.join(target, 'assets', other));
    for (const file of ['index.html', 'sw.js']) {
        const name = path.join(target, file);
        fs.writeFileSync(name, fs.readFileSync(name, 'utf8').replaceAll(own, other));
    }
    return { target, hash: other };
}

const open = (dir, port = 0) => openGateway({ web: { dir }, listen: { port } });
let source = await open(first.target);
const { port } = source.gateway;
const restart = async (dir) => {
    await source.gateway.kill();
    source = await open(dir, port);
};

const browser = await openBrowser();
const { page, troubles, close } = await openPage(browser, { width: 1920, height: 1080 });
await page.goto(`${source.url}/?tv=1&rotate=${BOARDS.map((id) => `${id}:${seconds}`).join()}`);
await page.waitForSelector('.card');

/** What is on the wall; null while the page is being loaded anew, which is counted apart. */
const look = () => page.evaluate(() => ({
    board: new URL(location.href).searchParams.get('board'), cards: document.querySelectorAll('.card').length, problem: document.querySelector('.problem')?.textContent,
    build: /assets\/([0-9a-f]+)/.exec(document.querySelector('script[src]')?.src)?.[1], height: document.documentElement.scrollHeight - innerHeight,
})).catch(() => null);

const other = otherBuild();
const seen = { looks: 0, loading: 0, longestMs: 0, boards: new Map(), builds: new Set() };
const begin = Date.now();
const end = begin + minutes * 60000;
const events = [[begin + (end - begin) / 3, () => restart(first.target)], [begin + ((end - begin) * 2) / 3, () => restart(other.target)]];
let underWay = Promise.resolve();
let goodAt = Date.now();
while (Date.now() < end) {
    if (events.length > 0 && Date.now() >= events[0][0]) {
        underWay = events.shift()[1]();
    }
    const shown = await look();
    seen.looks++;
    if (shown === null || shown.cards === 0) {
        seen.loading++;
        seen.longestMs = Math.max(seen.longestMs, Date.now() - goodAt);
    } else {
        goodAt = Date.now();
        assert.equal(shown.problem, undefined);
        assert.ok(shown.height <= 0, `${shown.board} scrolls`);
        seen.boards.set(shown.board, (seen.boards.get(shown.board) ?? 0) + 1);
        seen.builds.add(shown.build);
    }
    await new Promise((resolve) => { setTimeout(resolve, LOOK_EVERY_MS); });
}
await underWay;
console.log(JSON.stringify({ minutes, ...seen, boards: Object.fromEntries(seen.boards), builds: [...seen.builds] }));
await page.waitForSelector('.chip-live', { timeout: 60000 });
assert.deepEqual([...seen.boards.keys()].sort(), [...BOARDS].sort(), 'every board had its turn');
assert.ok(seen.builds.has(other.hash), 'the new build was loaded');
assert.ok(seen.longestMs < 3000, `without a board for ${seen.longestMs} ms`);
console.log(troubles.filter((line) => !/ERR_CONNECTION_REFUSED|WebSocket/.test(line)).join('\n') || 'no troubles');
await close();
await browser.close();
await source.stop();
fs.rmSync(folder, { recursive: true });
