/* What the page knows about its link, says about it, and tells the gateway. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { until } from '../../support/waiting.mjs';
import { axeSource, hasBrowser, openBrowser, openFixture, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
let browser;

before(async () => {
    browser = hasBrowser ? await openBrowser() : null;
});
after(() => browser?.close());

/** The panel's lines by their terms. */
const facts = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.link-panel dl div')]
    .map((line) => [line.querySelector('dt').textContent, line.querySelector('dd').innerText.replaceAll('\u202f', ' ')])));

async function openPanel(page) {
    await until('the panel is there', async () => {
        await page.keyboard.press('l');
        return page.locator('.link-panel').count();
    }, { within: 10000 });
}

test('the page reports how late changes are, and the operations board shows it', { skip }, async () => {
    const source = await openGateway();
    const { page, troubles, close } = await openPage(browser);
    await showBoard(page, source.url, 'operations');
    await until('a report counts', () => source.gateway.metric('gw_client_reports_total', { result: 'counted' }), { within: 20000 });
    const count = await source.gateway.metric('gw_client_delay_seconds_count');
    const sum = await source.gateway.metric('gw_client_delay_seconds_sum');
    assert.ok(count >= 1 && count <= 8, `${count} delays in the first report`);
    assert.ok(sum / count < 1, `${sum / count} s on average`);
    assert.equal(await source.gateway.metric('gw_client_reports_total', { result: 'too_soon' }), 0);
    await page.waitForFunction(() => /\d\s*ms/.test(document.querySelector('[data-kpi="ops.client_delay_p95"] .value')?.textContent ?? ''));
    assert.deepEqual(troubles, []);
    await close();
    await source.stop();
});

test('the link panel tells delays, positions, counts and the gateway', { skip }, async () => {
    const source = await openGateway();
    const { page, troubles, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await openPanel(page);
    await page.waitForFunction(() => /^half within/.test([...document.querySelectorAll('.link-panel dd')][2].textContent));
    const told = await facts(page);
    assert.match(told.Link, /^Live\s+for \d/);
    assert.match(told['Round trip'], /^\d+ ms/);
    assert.match(told['Change to screen'], /^half within \d+ ms, 95 of 100 within \d+ ms, longest \d+ ms\s+[\d,]+ changes?/);
    assert.match(told.Received, /^[\d,]+ frames?\s+[\d,]+ changes? in [\d,]+ updates?, [\d,]+ of them merged$/);
    assert.match(told.Resyncs, /^0\s+1 connection$/);
    assert.match(told.Gateway, /node test-node/);
    const { epoch } = (await source.gateway.snapshot('executive'));
    assert.match(told['Position, executive'], new RegExp(`^${epoch}\\.\\d+\\.[0-9a-f]{8}$`));
    await page.evaluate(await readFile(axeSource, 'utf8'));
    const { violations } = await page.evaluate(() => globalThis.axe.run(document.querySelector('dialog')));
    assert.deepEqual(violations.map(({ id }) => id), []);
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    await page.click('.chip-button');
    await page.waitForSelector('.link-panel');
    assert.deepEqual(await page.evaluate(() => window.policyViolations), []);
    assert.deepEqual(troubles, []);
    await close();
    await source.stop();
});

test('the panel opens when the link is down, and counts what mending took', { skip }, async () => {
    const source = await openFixture({ heartbeatMs: 400 });
    const { page, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await openPanel(page);
    source.gateway.closeAll(4102);
    await page.waitForFunction(() => document.querySelector('.link-panel dd').textContent.startsWith('Signed out'));
    await page.keyboard.press('Escape');
    await page.click('.status-button >> text=Try now');
    await page.waitForSelector('.chip-live');
    await openPanel(page);
    assert.match((await facts(page)).Resyncs, /2 connections/);
    await close();
    await source.stop();
});
