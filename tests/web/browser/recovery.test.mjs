/* The gateway dies and comes back under a page that is open: it says so, keeps its numbers, and recovers by itself. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasBrowser, openBrowser, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const KPI = 'exec.revenue_mtd';
let browser;

before(async () => {
    browser = hasBrowser ? await openBrowser() : null;
});
after(() => browser?.close());

const shown = (page) => page.evaluate((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`)?.value, KPI);

test('a killed gateway is told, the last numbers stay, and the page recovers with the new ones', { skip }, async () => {
    const quiet = { demo: { enabled: false } };
    const first = await openGateway(quiet);
    await first.gateway.post({ field: KPI, value: '1000.00' });
    const { page, close } = await openPage(browser);
    await showBoard(page, first.url, 'executive');
    await page.waitForFunction((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`)?.value === '$1,000.00', KPI);

    const { port } = first.gateway;
    await first.gateway.kill();
    await page.waitForSelector('.status-down');
    assert.equal(await shown(page), '$1,000.00', 'the last number stays on the screen');

    const second = await openGateway({ ...quiet, listen: { port } });
    await second.gateway.post({ field: KPI, value: '2000.00' });
    await page.waitForFunction((kpi) => document.querySelector(`[data-kpi="${kpi}"] data`)?.value === '$2,000.00', KPI, { timeout: 45000 });
    await page.waitForSelector('.chip-live');
    await close();
    await second.stop();
});
