/*
 * The page for those who do not see it or do not use a mouse: what the browser tells an assistive program of each board,
 * written down word for word, and a walk through the whole product by keys alone.
 *
 * SOPHIA_UPDATE=1 writes the trees anew; look at what has changed before it is committed.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BOARDS, hasBrowser, openBrowser, openFixture, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const NOW = 1795255391000;
const trees = path.join(path.dirname(fileURLToPath(import.meta.url)), '../trees');
let browser;
let source;

before(async () => {
    if (!skip) {
        [browser, source] = await Promise.all([openBrowser(), openFixture({ now: () => NOW })]);
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});

async function openStill(query) {
    const view = await openPage(browser, { timezoneId: 'UTC' });
    await view.page.clock.setFixedTime(NOW);
    await view.page.goto(`${source.url}/${query}`);
    await view.page.waitForSelector('.chip-live');
    await view.page.waitForFunction(() => document.querySelectorAll('.card').length > 0 && document.querySelectorAll('.card-waiting').length === 0);
    return view;
}

function compare(name, tree) {
    const file = path.join(trees, `${name}.yml`);
    if (process.env.SOPHIA_UPDATE) {
        fs.mkdirSync(trees, { recursive: true });
        fs.writeFileSync(file, `${tree}\n`);
    }
    assert.equal(`${tree}\n`, fs.readFileSync(file, 'utf8'), `${file} says otherwise`);
}

for (const board of BOARDS) {
    test(`${board}: the accessibility tree is the one that was agreed on`, { skip }, async () => {
        const { page, close } = await openStill(`?board=${board}`);
        compare(board, await page.locator('main').ariaSnapshot());
        await close();
    });
}

test('details: the accessibility tree is the one that was agreed on', { skip }, async () => {
    const { page, close } = await openStill('?board=executive&kpi=exec.deals_at_risk');
    await page.waitForSelector('.details .uplot');
    compare('details', await page.locator('.details').ariaSnapshot());
    await close();
});

test('the whole product by keys alone', { skip }, async () => {
    const { page, troubles, close } = await openPage(browser);
    const press = (key) => page.keyboard.press(key);
    const focused = () => page.evaluate(() => {
        const { activeElement: element } = document;
        const outline = getComputedStyle(element).outlineStyle !== 'none' || getComputedStyle(element.closest('.card') ?? element).outlineStyle !== 'none';
        return { name: (element.getAttribute('aria-label') ?? element.textContent ?? '').trim().slice(0, 40), tag: element.tagName, outline };
    });
    await showBoard(page, source.url, 'executive');
    await press('Tab');
    assert.deepEqual(await focused(), { name: 'Skip to the board', tag: 'A', outline: true });
    const names = [];
    for (let i = 0; i < 14; i++) {
        await press('Tab');
        const { name, tag, outline } = await focused();
        assert.ok(outline, `nothing shows that ${tag} ${name} has the focus`);
        names.push(name);
    }
    assert.deepEqual(names.slice(0, 5), ['Sophia', 'Executive', 'Competitive', 'Knowledge', 'Operations']);
    assert.ok(names.some((name) => name.startsWith('Pause')) && names.some((name) => name.startsWith('View')) && names.includes('Revenue, month to date'), names.join());

    await press('Enter');
    await page.waitForSelector('.details[open]');
    for (let i = 0; i < 40 && !(await focused()).name.startsWith('90 days'); i++) {
        await press('Tab');
    }
    await press('Enter');
    await page.waitForFunction(() => /^90 points/.test(document.querySelector('.history-note').textContent));
    await press('Escape');

    await press('v');
    await page.waitForSelector('.sheet[open]');
    for (let i = 0; i < 20 && await page.evaluate(() => document.activeElement.name !== 'theme'); i++) {
        await press('Tab');
    }
    await press('ArrowDown');
    await press('ArrowDown');
    await page.waitForSelector('html[data-theme="dark"]');
    await press('Escape');

    await press('g');
    await press('k');
    await page.waitForSelector('[data-kpi="know.documents"]');
    await press('/');
    await page.keyboard.type('topics');
    await page.waitForFunction(() => document.querySelectorAll('.card').length === 1);
    await press('Enter');
    assert.equal((await focused()).name, 'Topics');
    await press('Escape');
    await press('Space');
    assert.equal(await page.locator('.chip-paused').count(), 0, 'space on a button is the button\u2019s');
    await press('Escape');
    assert.deepEqual(troubles, []);
    await close();
});
