/* One KPI by itself: what is told about it, its history from the gateway, and its address. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { until } from '../../support/waiting.mjs';
import { hasBrowser, openBrowser, openFixture, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const KPI = 'exec.revenue_mtd';
let browser;
let source;
let view;

before(async () => {
    if (!skip) {
        [browser, source] = await Promise.all([openBrowser(), openFixture({ heartbeatMs: 400 })]);
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});
beforeEach(async () => { view = skip ? null : await openPage(browser); });
afterEach(async () => {
    assert.deepEqual(view?.troubles ?? [], []);
    assert.deepEqual(await view?.page.evaluate(() => window.policyViolations) ?? [], []);
    await view?.close();
});

const openDetails = async (kpi = KPI) => {
    await showBoard(view.page, source.url, 'executive');
    await view.page.click(`[data-kpi="${kpi}"] .card-open`);
    await view.page.waitForSelector('.details[open]');
};
const parameter = (name) => new URL(view.page.url()).searchParams.get(name);

test('a card opens to its definition in words, limits and freshness, and the address names it', { skip }, async () => {
    await openDetails();
    assert.equal(parameter('kpi'), KPI);
    const text = await view.page.locator('.details').innerText();
    for (const words of [
        /Recognised revenue since the first day of the month/, /Higher is better/, /Warning below 95% of pace; critical below 85% of pace/,
        /Current up to 6.min, stale after 10.min, expired after 1.h/, /Every 5.min/, /same day last month/, /Exactly \$1,284,300\.50/, /exec\.revenue_mtd/,
    ]) {
        assert.match(text, words);
    }
});

test('the history is read from the gateway, for the span that is asked for, and is a table too', { skip }, async () => {
    await openDetails();
    await view.page.waitForSelector('.details .uplot');
    assert.ok(source.gateway.requests.includes(`/api/v1/kpis/${KPI}/history`));
    assert.match(await view.page.locator('.history-note').innerText(), /30 points, one per 1.d/);
    await view.page.click('.details >> text=90 days');
    await view.page.waitForFunction(() => /^90 points.*from the database/.test(document.querySelector('.history-note').textContent));
    assert.equal(parameter('days'), '90');
    await view.page.click('.details .history-bar >> text=Table');
    assert.equal(await view.page.locator('.details .history tbody tr').count(), 90);
});

test('a change arrives in the open details', { skip }, async () => {
    await openDetails();
    source.gateway.publish('executive', { [KPI]: { v: '4242424.00', as_of: Date.now() } });
    await view.page.waitForFunction(() => document.querySelector('.details data')?.value === '$4,242,424.00');
});

test('events that name the KPI are listed', { skip }, async () => {
    await openDetails('exec.deals_at_risk');
    assert.match(await view.page.locator('[aria-label="Related events"]').innerText(), /Six deals at risk, two of them above \$250K\s+Alerts/);
    assert.doesNotMatch(await view.page.locator('[aria-label="Related events"]').innerText(), /Competitive win rate/);
});

test('a link to the details opens them, Escape closes them, and the address follows', { skip }, async () => {
    await view.page.goto(`${source.url}/?board=executive&kpi=exec.win_rate&days=7`);
    await view.page.waitForSelector('.details[open] .uplot');
    assert.ok(source.gateway.requests.includes('/api/v1/kpis/exec.win_rate/history?days=7'));
    await view.page.keyboard.press('Escape');
    await view.page.waitForSelector('.details', { state: 'detached' });
    assert.equal(parameter('kpi'), null);
    assert.equal(parameter('board'), 'executive');
});

test('going back closes what was opened', { skip }, async () => {
    await openDetails();
    await view.page.goBack();
    await view.page.waitForSelector('.details', { state: 'detached' });
    await view.page.goForward();
    await view.page.waitForSelector('.details[open]');
});

test('a table opens to all of its rows', { skip }, async () => {
    await openDetails('exec.top_deals');
    assert.equal(await view.page.locator('.details-panel tbody tr').count(), 5);
    assert.match(await view.page.locator('.details .facts').innerText(), /The five largest open deals/);
});

test('a history that cannot be read is told, and what the page has is shown', { skip }, async () => {
    await view.page.route('**/history*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"Not now.","status":503}' }));
    await openDetails();
    await view.page.waitForFunction(() => /could not be read: Not now\./.test(document.querySelector('.history-note').textContent));
    await view.page.waitForSelector('.details .uplot');
    view.troubles.length = 0; // Chromium says every 503 on its console
});

test('of two spans asked for in a hurry the last one is shown', { skip }, async () => {
    let release;
    await view.page.route('**/history?days=90', async (route) => {
        await new Promise((resolve) => { release = resolve; });
        await route.continue();
    });
    await openDetails();
    await view.page.click('.details >> text=90 days');
    await until('the slow request', () => release, { within: 5000 });
    await view.page.click('.details >> text=7 days');
    await view.page.waitForFunction(() => /^7 points/.test(document.querySelector('.history-note').textContent));
    const answered = view.page.waitForResponse(/days=90/);
    release();
    await answered;
    assert.match(await view.page.locator('.history-note').innerText(), /^7 points/);
});

test('decisions are markers on the chart, numbered, and a list beside it', { skip }, async () => {
    await showBoard(view.page, source.url, 'executive');
    const list = view.page.locator('[data-kpi="exec.revenue_series"] .markers li');
    assert.deepEqual((await list.allInnerTexts()).map((text) => text.split('\n').join(' ').replace(/(\d) ?(\S+ \S+).*/s, '$1 $2')), ['1 Move two', '2 Extend the']);
});
