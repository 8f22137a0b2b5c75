/* A display on a wall: boards in turn, never a blank screen, whatever the gateway does. Minutes pass by a clock of the test. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { until } from '../../support/waiting.mjs';
import { hasBrowser, openBrowser, openFixture, openPage } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
let browser;
let source;
let view;

before(async () => { browser = skip ? null : await openBrowser(); });
after(() => browser?.close());
beforeEach(async () => {
    if (!skip) {
        source = await openFixture({ heartbeatMs: 400 });
        view = await openPage(browser, { width: 1920, height: 1080, serviceWorkers: 'block' });
        await view.page.clock.install({ time: Date.now() });
    }
});
afterEach(async () => {
    await view?.close();
    await source?.stop();
});

const shows = (kpi) => view.page.waitForSelector(`[data-kpi="${kpi}"]`);
const open = async (rotate) => {
    await view.page.goto(`${source.url}/?tv=1&rotate=${rotate}`);
    await view.page.waitForSelector('.chip-live');
};
const turn = (seconds) => view.page.clock.fastForward(seconds * 1000);

test('boards follow each other for as long as each is given, on one connection', { skip }, async () => {
    await open('executive:60,competitive:45,operations:30');
    await shows('exec.revenue_mtd');
    await turn(60);
    await shows('comp.league');
    assert.equal(new URL(view.page.url()).searchParams.get('board'), 'competitive');
    await turn(45);
    await shows('ops.state');
    await turn(30);
    await shows('exec.revenue_mtd');
    assert.equal(source.gateway.heard.filter(({ type }) => type === 'hello').length, 1);
    assert.deepEqual(view.troubles, []);
});

test('a board that cannot be had is passed over, and the last one stays until another is there', { skip }, async () => {
    await view.page.route('**/dashboards/competitive/definition', (route) => route.abort());
    await open('executive:60,competitive:60,operations:60');
    await shows('exec.revenue_mtd');
    await turn(60);
    for (let i = 0; i < 9; i++) {
        await turn(1);
        assert.ok(await view.page.locator('.card').count() > 0, 'never blank');
    }
    await until('the board after it', async () => {
        await turn(1);
        assert.ok(await view.page.locator('.card').count() > 0, 'never blank');
        return await view.page.locator('[data-kpi="ops.state"]').count() > 0;
    }, { within: 10000 });
});

test('without a gateway the last values stay, marked, and the rotation goes on with what is held', { skip }, async () => {
    await open('executive:60,operations:60');
    await shows('exec.revenue_mtd');
    await turn(60);
    await shows('ops.state');
    await source.gateway.stop();
    await view.page.waitForSelector('.status-down');
    await turn(60);
    await shows('exec.revenue_mtd');
    assert.match(await view.page.locator('.status').innerText(), /Values are from \d\d:\d\d:\d\d/);
    source = await openFixture({ heartbeatMs: 400, port: source.gateway.port });
    await until('the page to be back', async () => {
        await turn(5);
        return await view.page.locator('.chip-live').count() > 0;
    }, { within: 20000 });
    assert.ok(await view.page.locator('.card').count() > 0);
});

test('a new build of the page is loaded between two boards, once it can be', { skip }, async () => {
    await open('executive:60,competitive:60');
    await shows('exec.revenue_mtd');
    await view.page.evaluate(() => { window.isOld = true; });
    const [own] = [...source.gateway.files.keys()].map((name) => /^\/assets\/([0-9a-f]+)\//.exec(name)?.[1]).filter(Boolean);
    const other = 'feedfacefeedface';
    const page = source.gateway.files.get('/');
    const renamed = { ...page, body: Buffer.from(page.body.toString().replaceAll(own, other)) };
    renamed.zipped = (await import('node:zlib')).gzipSync(renamed.body);
    source.gateway.files.set('/', renamed);
    await turn(60);
    await shows('comp.league');
    assert.equal(await view.page.evaluate(() => window.isOld), true, 'half a deploy is no reason to load');
    for (const [name, file] of [...source.gateway.files]) {
        if (name.startsWith(`/assets/${own}/`)) {
            source.gateway.files.set(name.replace(own, other), file);
        }
    }
    await turn(60);
    await view.page.waitForFunction(() => window.isOld === undefined && document.querySelector('[data-kpi="exec.revenue_mtd"]'));
    const query = new URL(view.page.url()).searchParams;
    assert.deepEqual([query.get('board'), query.get('tv'), query.get('rotate')], ['executive', '1', 'executive:60,competitive:60']);
    assert.ok(await view.page.evaluate((build) => document.querySelector(`script[src*="${build}"]`) !== null, other));
});

test('the screen is kept awake, and again after the page was hidden', { skip }, async () => {
    await view.page.addInitScript(() => {
        window.locks = 0;
        Object.defineProperty(navigator, 'wakeLock', { value: { request: async () => { window.locks++; return { release: async () => {} }; } } });
    });
    await open('executive:60');
    await view.page.waitForFunction(() => window.locks === 1);
    await view.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await view.page.waitForFunction(() => window.locks === 2);
});
