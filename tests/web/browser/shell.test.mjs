/* What a first visit costs on the real gateway, and what is left of the page without a network: itself, never a value. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasBrowser, openBrowser, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = !hasBrowser ? 'no Chromium here' : process.env.SOPHIA_URL ? 'needs a gateway of its own' : false;
let browser;
let source;
before(async () => {
    if (!skip) {
        [browser, source] = await Promise.all([openBrowser(), openGateway()]);
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});

/** Requests and bytes of a first visit, as the browser counts them on the wire. */
async function visit(board, isThere) {
    const { page, close } = await openPage(browser);
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    const requests = new Map();
    session.on('Network.requestWillBeSent', ({ requestId, request }) => requests.set(requestId, { url: request.url, bytes: 0 }));
    session.on('Network.webSocketCreated', ({ requestId, url }) => requests.set(requestId, { url, bytes: 0 }));
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => Object.assign(requests.get(requestId) ?? {}, { bytes: encodedDataLength }));
    await showBoard(page, source.url, board);
    await page.waitForSelector(isThere);
    await page.waitForFunction(() => document.querySelectorAll('.card-waiting').length === 0);
    const seen = [...requests.values()].filter(({ url }) => !url.startsWith('data:'));
    await close();
    const bytesOf = (isWanted) => seen.filter(({ url }) => isWanted(new URL(url).pathname)).reduce((sum, { bytes }) => sum + bytes, 0);
    return { seen, bytes: bytesOf((path) => !path.startsWith('/api/')), answers: bytesOf((path) => path.startsWith('/api/')) };
}

test('a first view without charts: at most 16 requests, and 60 KB of page, all of it from the gateway', { skip }, async (t) => {
    const { seen, bytes, answers } = await visit('operations', '.card');
    t.diagnostic(`${seen.length} requests, ${bytes} B of page with headers, ${answers} B of answers`);
    assert.ok(seen.length <= 16, seen.map(({ url }) => url).join('\n'));
    assert.ok(seen.length >= 6, `${seen.length} requests counted`);
    assert.ok(bytes <= 60000 && bytes > 20000, `${bytes} B`);
    const own = new URL(source.url).host;
    assert.deepEqual(seen.filter(({ url }) => new URL(url).host !== own), []);
});

test('a first view with charts: at most 90 KB of page', { skip }, async (t) => {
    const { seen, bytes, answers } = await visit('executive', '.uplot canvas');
    t.diagnostic(`${seen.length} requests, ${bytes} B of page with headers, ${answers} B of answers`);
    assert.ok(bytes <= 90000 && bytes > 40000, `${bytes} B`);
    assert.ok(seen.length <= 18, `${seen.length} requests`);
});

test('without a network the page opens from its own files, and shows no value', { skip }, async () => {
    const { page, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    const kept = await page.evaluate(async () => {
        const names = await caches.keys();
        return (await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname)))).flat();
    });
    assert.ok(kept.includes('/') && kept.some((path) => path.endsWith('/main.js')), kept.join());
    assert.deepEqual(kept.filter((path) => path !== '/' && !path.startsWith('/assets/')), [], 'nothing but the page itself is kept');
    await page.context().setOffline(true);
    await page.goto(`${source.url}/?board=executive`);
    await page.waitForSelector('.status-down');
    assert.match(await page.locator('.status').innerText(), /Nothing has been received yet/);
    assert.equal(await page.locator('.card data').count(), 0);
    assert.deepEqual(await page.evaluate(() => window.policyViolations), []);
    await page.context().setOffline(false);
    await page.waitForSelector('.chip-live', { timeout: 45000 });
    await page.waitForSelector('.card');
    await close();
});

test('the page can be installed: a manifest with a name, a start and an icon that is served', { skip }, async () => {
    const { page, troubles, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await page.waitForSelector('link[rel="manifest"]', { state: 'attached', timeout: 15000 });
    const session = await page.context().newCDPSession(page);
    const { data, errors } = await session.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
    const manifest = JSON.parse(data);
    assert.equal(manifest.display, 'standalone');
    for (const { src, type } of manifest.icons) {
        const icon = await fetch(new URL(src, `${source.url}/`));
        assert.equal(icon.status, 200);
        assert.equal(icon.headers.get('content-type'), type);
    }
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
    assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
    assert.deepEqual(troubles, []);
    await close();
});
