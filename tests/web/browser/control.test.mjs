/* What a person can do to the page: filter, slow down, dress, export, print, share, walk through what changed. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { until } from '../../support/waiting.mjs';
import { hasBrowser, openBrowser, openFixture, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const REVENUE = 'exec.revenue_mtd';
let browser;
let source;
let view;

before(async () => { browser = skip ? null : await openBrowser(); });
after(() => browser?.close());
beforeEach(async () => {
    if (!skip) {
        source = await openFixture({ heartbeatMs: 400 });
        view = await openPage(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
        await showBoard(view.page, source.url, 'executive');
    }
});
afterEach(async () => {
    assert.deepEqual(view?.troubles ?? [], []);
    assert.deepEqual(await view?.page.evaluate(() => window.policyViolations) ?? [], []);
    await view?.close();
    await source?.stop();
});

const press = (key) => view.page.keyboard.press(key);
const parameter = (name) => new URL(view.page.url()).searchParams.get(name);
const cards = () => view.page.evaluate(() => [...document.querySelectorAll('.card')].map((card) => card.dataset.kpi));
const heard = (type) => source.gateway.heard.filter((message) => message.type === type);
const setHidden = (isHidden) => view.page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: state });
    document.dispatchEvent(new Event('visibilitychange'));
}, isHidden ? 'hidden' : 'visible');

// ---- the filter ----

test('slash filters by name, state and row, counts, and Escape ends it', { skip }, async () => {
    const all = await cards();
    await press('/');
    await view.page.waitForSelector('#filter:focus');
    await view.page.keyboard.type('critical');
    await view.page.waitForFunction(() => document.querySelectorAll('.card').length < 4);
    assert.ok((await cards()).includes('exec.deals_at_risk'));
    assert.match(await view.page.locator('.filter-count').innerText(), new RegExp(`^\\d of ${all.length} cards$`));
    await view.page.fill('#filter', 'maison verte');
    await view.page.waitForFunction(() => document.querySelectorAll('.card').length === 1);
    assert.deepEqual(await cards(), ['exec.top_deals']);
    assert.equal(await view.page.locator('.card tbody tr').count(), 1, 'only the row that matches');
    assert.equal(parameter('filter'), 'maison verte');
    await view.page.fill('#filter', 'no such thing');
    await view.page.waitForSelector('text=Nothing on this board matches');
    await view.page.focus('#filter');
    await press('Escape');
    await view.page.waitForSelector('#filter', { state: 'detached' });
    assert.deepEqual(await cards(), all);
    assert.equal(parameter('filter'), null);
});

// ---- update rate ----

test('a slower rate is asked of the gateway, kept in the address, and asked for again by a reload', { skip }, async () => {
    await press('v');
    await view.page.click('.sheet >> text=5 s');
    await until('the rate to be asked for', () => heard('quality').some(({ max_rate: rate }) => rate === 0.2), { within: 5000 });
    assert.equal(parameter('rate'), '5');
    source.gateway.heard.length = 0;
    await view.page.reload();
    await view.page.waitForSelector('.chip-live');
    assert.equal(heard('subscribe')[0].max_rate, 0.2);
    await press('v');
    await view.page.click('.sheet >> text=Instant');
    await until('the limit to be lifted', () => heard('quality').some(({ max_rate: rate }) => rate === 0), { within: 5000 });
});

// ---- pause ----

test('the pause button counts what is withheld', { skip }, async () => {
    await view.page.click('[aria-label^="Pause"]');
    source.gateway.publish('executive', { [REVENUE]: { v: '7000000.00' }, 'exec.win_rate': { v: 0.5 } });
    await view.page.waitForFunction(() => document.querySelector('.chip-note').textContent === '2 withheld');
    assert.match(await view.page.locator('.status').innerText(), /2 changes withheld/);
    await view.page.click('[aria-label^="Go on"]');
    await view.page.waitForFunction((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`).value === '$7,000,000.00', REVENUE);
});

// ---- dress ----

test('d changes the density, and the address and the browser keep it', { skip }, async () => {
    await press('d');
    assert.equal(await view.page.getAttribute('html', 'data-density'), 'compact');
    assert.equal(parameter('density'), 'compact');
    await view.page.goto(`${source.url}/?board=executive`);
    await view.page.waitForSelector('.card');
    assert.equal(await view.page.getAttribute('html', 'data-density'), 'compact');
});

test('high contrast is a theme, and what the system asks for is followed', { skip }, async () => {
    await view.page.goto(`${source.url}/?board=executive&theme=contrast`);
    await view.page.waitForSelector('.card');
    assert.equal(await view.page.getAttribute('html', 'data-theme'), 'contrast');
    await view.page.goto(`${source.url}/?board=executive`);
    await view.page.waitForSelector('.card');
    assert.equal(await view.page.getAttribute('html', 'data-theme'), 'light', 'a theme in a link is not kept');
    await view.page.emulateMedia({ contrast: 'more' });
    await view.page.waitForSelector('html[data-theme="contrast"]');
    await view.page.emulateMedia({ contrast: 'no-preference', colorScheme: 'dark' });
    await view.page.waitForSelector('html[data-theme="dark"]');
});

// ---- links ----

test('c copies a link that shows the same view to somebody else', { skip }, async () => {
    await view.page.goto(`${source.url}/?board=executive&filter=revenue&rate=30&theme=dark&density=compact`);
    await view.page.waitForSelector('.chip-live');
    await press('c');
    await view.page.waitForSelector('.toast');
    const link = await view.page.evaluate(() => navigator.clipboard.readText());
    assert.equal(link, view.page.url());
    const other = await openPage(browser);
    await other.page.goto(link);
    await other.page.waitForSelector('.chip-live');
    assert.equal(await other.page.inputValue('#filter'), 'revenue');
    assert.deepEqual([await other.page.getAttribute('html', 'data-theme'), await other.page.getAttribute('html', 'data-density')], ['dark', 'compact']);
    await other.close();
});

// ---- exports ----

async function download(action) {
    const [file] = await Promise.all([view.page.waitForEvent('download'), action()]);
    return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

test('x exports the board with age and demo mark', { skip }, async () => {
    const { name, bytes } = await download(() => press('x'));
    assert.match(name, /^executive-\d{8}-\d{6}-demo\.csv$/);
    const [head, ...lines] = bytes.toString().trimEnd().split('\r\n');
    assert.equal(head, 'time,board,field,title,member,value,unit,revision,state,freshness,as_of,age_s,demo');
    const revenue = lines.find((line) => line.includes(`,${REVENUE},`));
    assert.match(revenue, /"Revenue, month to date",,1284300\.50,USD,\d+,ok,Current,\d{4}-[^,]*Z,\d+,demo$/);
    assert.ok(lines.some((line) => line.includes('exec.top_deals#D001,Top deals,amount,450000.00,money,')));
});

test('a history is exported as CSV and its chart as PNG', { skip }, async () => {
    await view.page.click(`[data-kpi="${REVENUE}"] .card-open`);
    await view.page.waitForSelector('.details .uplot canvas');
    const text = await download(() => view.page.click('.details >> text=History as CSV'));
    assert.equal(text.bytes.toString().trimEnd().split('\r\n').length, 31);
    const image = await download(() => view.page.click('.details >> text=Chart as PNG'));
    assert.match(image.name, /^exec\.revenue_mtd-\d{8}-\d{6}-demo\.png$/);
    assert.deepEqual([...image.bytes.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    assert.ok(image.bytes.readUInt32BE(16) > 400, `${image.bytes.readUInt32BE(16)} px wide`);
});

test('paper is light, without buttons, and says of when it is and that it is invented', { skip }, async () => {
    await view.page.goto(`${source.url}/?board=executive&theme=dark`);
    await view.page.waitForSelector('.chip-live');
    await view.page.emulateMedia({ media: 'print' });
    await view.page.evaluate(() => dispatchEvent(new Event('beforeprint')));
    const head = await view.page.locator('.print-head').innerText();
    assert.match(head, /^DEMO DATA: the numbers are invented\. Executive \u00b7 printed \d+ \w+ \d{4}, \d\d:\d\d \u00b7 All values current/);
    assert.equal(await view.page.getAttribute('html', 'data-theme'), 'light');
    assert.equal(await view.page.locator('.top').isVisible(), false);
    await view.page.evaluate(() => dispatchEvent(new Event('afterprint')));
    assert.equal(await view.page.getAttribute('html', 'data-theme'), 'dark');
});

// ---- while nobody looked ----

test('n walks through what changed while the page was hidden, worst first', { skip }, async () => {
    await view.page.clock.install({ time: Date.now() });
    await view.page.reload();
    await view.page.waitForSelector('.chip-live');
    await setHidden(true);
    await view.page.clock.fastForward(120000);
    source.gateway.publish('executive', { [REVENUE]: { v: '2000000.00' }, 'exec.win_rate': { v: 0.41, level: 'crit' } });
    await setHidden(false);
    await view.page.waitForSelector('.away');
    assert.match(await view.page.locator('.away').innerText(), /While you were away \(2.min.*\): 2 values changed/);
    await press('n');
    await view.page.waitForSelector('[data-kpi="exec.win_rate"].card-away');
    assert.match(await view.page.locator('[data-kpi="exec.win_rate"] .was').innerText(), /was 73\.4%/);
    assert.equal(await view.page.evaluate(() => document.activeElement.closest('.card')?.dataset.kpi), 'exec.win_rate');
    await press('n');
    await view.page.waitForSelector(`[data-kpi="${REVENUE}"].card-away`);
    await press('n');
    await view.page.waitForSelector('.away', { state: 'detached' });
});

test('a page that was hidden while nothing changed says nothing', { skip }, async () => {
    await setHidden(true);
    const beats = source.gateway.heard.length;
    await setHidden(false);
    await until('the page to be back', () => source.gateway.heard.length > beats, { within: 5000 });
    source.gateway.publish('executive', { [REVENUE]: { v: '2000000.00' } });
    await view.page.waitForFunction((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`).value === '$2,000,000.00', REVENUE);
    assert.equal(await view.page.locator('.away').count(), 0);
});

// ---- keys ----

test('single keys can be switched off, and stay off', { skip }, async () => {
    await press('?');
    await view.page.click('.sheet >> text=Single keys act');
    await press('Escape');
    await view.page.waitForSelector('.sheet', { state: 'detached' });
    await press('d');
    await press('/');
    assert.equal(await view.page.getAttribute('html', 'data-density'), 'comfortable');
    assert.equal(await view.page.locator('#filter').count(), 0);
    await view.page.reload();
    await view.page.waitForSelector('.chip-live');
    await press('d');
    assert.equal(await view.page.getAttribute('html', 'data-density'), 'comfortable');
});

test('every key of the help sheet does what it says', { skip }, async () => {
    await press('?');
    const sheet = await view.page.locator('.keys').innerText();
    for (const words of [/Executive board/, /Pause/, /Filter/, /From card to card/, /Next change/, /Density/, /TV view/, /Copy/, /Export/]) {
        assert.match(sheet, words);
    }
    await press('Escape');
    await press('t');
    await view.page.waitForSelector('html.tv');
    await press('Escape');
    await view.page.waitForSelector('html:not(.tv)');
    await press('v');
    await view.page.waitForSelector('.sheet >> text=Update rate');
});

test('arrows go from card to card, Enter opens, Escape comes back to the card', { skip }, async () => {
    const focused = () => view.page.evaluate(() => document.activeElement.closest('.card')?.dataset.kpi);
    await press('ArrowDown');
    assert.equal(await focused(), REVENUE);
    await press('ArrowRight');
    assert.equal(await focused(), 'exec.pipeline_value');
    await press('ArrowDown');
    assert.equal(await focused(), 'exec.team_productivity');
    await press('ArrowLeft');
    await press('ArrowUp');
    assert.equal(await focused(), REVENUE);
    await press('Enter');
    await view.page.waitForSelector('.details[open]');
    await press('Escape');
    await view.page.waitForSelector('.details', { state: 'detached' });
    assert.equal(await focused(), REVENUE);
});
