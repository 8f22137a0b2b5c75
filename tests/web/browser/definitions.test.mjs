/* Definitions drive the page: what is added to a file and reloaded appears on a page that is open. On the real gateway. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { root } from '../../support/gateway.mjs';
import { hasBrowser, openBrowser, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = !hasBrowser ? 'no Chromium here' : process.env.SOPHIA_URL ? 'needs a gateway of its own' : false;
let browser;
let source;
let directory;

before(async () => {
    if (!skip) {
        directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-definitions-'));
        fs.cpSync(path.join(root, 'deploy/definitions'), directory, { recursive: true });
        [browser, source] = await Promise.all([openBrowser(), openGateway({ definitions: { dir: directory }, demo: { enabled: false } })]);
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
    fs.rmSync(directory ?? '', { recursive: true, force: true });
});

function edit(file, change) {
    const name = path.join(directory, file);
    fs.writeFileSync(name, JSON.stringify(change(JSON.parse(fs.readFileSync(name, 'utf8')))));
}

test('a KPI added to a definition file appears on the open page, takes values, and goes again', { skip }, async () => {
    const { page, troubles, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await page.evaluate(() => { window.isSame = true; });
    const added = {
        id: 'exec.trial_accounts', title: 'Trial accounts', about: 'Accounts that are trying the product.', type: 'gauge', unit: 'integer',
        source: { kind: 'http' }, class: 'pushed', roles: ['everybody'], privacy: 'public',
    };
    edit('kpis/executive.json', ({ kpis, ...rest }) => ({ ...rest, kpis: [...kpis, added] }));
    edit('boards/executive.json', ({ layout, ...rest }) => ({ ...rest, layout: [...layout.slice(0, 3), { row: [{ kpi: added.id, span: 4 }] }, ...layout.slice(3)] }));
    edit('boards/knowledge.json', (board) => ({ ...board, id: 'zoo', title: 'Zoo', order: 90 }));
    source.gateway.signal('SIGHUP');
    await page.waitForSelector(`[data-kpi="${added.id}"]`, { timeout: 20000 });
    await page.waitForSelector('nav >> text=Zoo');
    await source.gateway.post({ field: added.id, value: 31 });
    await page.waitForFunction((id) => document.querySelector(`[data-kpi="${id}"] data`)?.value === '31', added.id);
    await page.click(`[data-kpi="${added.id}"] .card-open`);
    assert.match(await page.locator('.details').innerText(), /Accounts that are trying the product/);
    await page.keyboard.press('Escape');

    edit('boards/executive.json', ({ layout, ...rest }) => ({ ...rest, layout: layout.filter((_, i) => i !== 3) }));
    source.gateway.signal('SIGHUP');
    await page.waitForSelector(`[data-kpi="${added.id}"]`, { state: 'detached', timeout: 20000 });
    assert.equal(await page.evaluate(() => window.isSame), true, 'the page was never loaded again');
    assert.deepEqual(troubles, []);
    await close();
});
