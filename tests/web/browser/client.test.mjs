/* The client library in a real browser: its vectors, and the page of its README, served by somebody else. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root } from '../../support/gateway.mjs';
import { hasBrowser, openBrowser, openGateway, openPage } from '../support/browser.mjs';
import { installClient, readmeExamples } from '../support/packed_client.mjs';
import { readVectors } from '../support/read_vectors.mjs';
import { serveFolders } from '../support/static_server.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
let browser;
let client;
let site;

before(async () => {
    if (!skip) {
        [browser, client] = await Promise.all([openBrowser(), installClient()]);
        await writeFile(path.join(client.folder, 'plain.html'), (await readmeExamples()).html);
        await writeFile(path.join(client.folder, 'empty.html'), '<!doctype html><title>Vectors</title>');
        site = await serveFolders({ '/support/': path.join(root, 'tests/web/support'), '/': client.folder });
    }
});
after(async () => {
    await browser?.close();
    await site?.stop();
    await client?.remove();
});

test('every vector of the protocol holds in the browser', { skip }, async () => {
    const { page, close } = await openPage(browser);
    await page.goto(`${site.url}/empty.html`);
    const cases = await page.evaluate(async (vectors) => {
        const { vectorCases } = await import('/support/client_vectors.mjs');
        return vectorCases(await import('/node_modules/sophia-gateway-client/index.mjs'), vectors);
    }, await readVectors());
    assert.ok(cases.length > 100, `${cases.length} cases`);
    assert.deepEqual(cases.filter(({ failure }) => failure !== null), []);
    await close();
});

test('the page of the README shows a board, and what changes on it', { skip }, async () => {
    const source = await openGateway({ demo: { enabled: false }, listen: { allowed_origins: [site.url] } });
    const { page, troubles, close } = await openPage(browser);
    const row = (title) => page.evaluate((wanted) => [...document.querySelectorAll('tr')]
        .map((line) => [...line.cells].map((cell) => cell.textContent)).find(([name]) => name === wanted), title);
    const shows = (title, text) => page.waitForFunction(([name, value]) => [...document.querySelectorAll('tr')]
        .some((line) => line.cells[0].textContent === name && line.cells[1].textContent === value), [title, text]);
    await source.gateway.post({ field: 'exec.revenue_mtd', value: '1284300.50' });
    await page.goto(`${site.url}/plain.html?gateway=${encodeURIComponent(source.url)}`);
    await shows('Revenue, month to date', '$1.28M').catch(async (error) => {
        throw new Error(`${error.message}\n${await page.evaluate(() => document.body.innerText)}\n${troubles}`);
    });
    assert.equal((await row('Revenue, month to date'))[2], 'fresh');
    assert.equal(await page.textContent('#link'), 'live');
    await source.gateway.post({ field: 'exec.revenue_mtd', value: '2000000.00' });
    await shows('Revenue, month to date', '$2.00M');
    await source.gateway.post({ field: 'exec.top_deals#D1', value: { name: '<b>x</b>', amount: '1.00', stage: 'Proposal', probability: 0.5 } });
    await page.waitForFunction(() => document.body.textContent.includes('<b>x</b>'));
    await source.gateway.post({ field: 'exec.top_deals#D1', delete: true });
    await page.waitForFunction(() => !document.body.textContent.includes('<b>x</b>'));
    assert.deepEqual(troubles, []);
    await close();
    await source.stop();
});
