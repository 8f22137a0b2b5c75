/* The page in a Chromium over https: it finds out by its address that the gateway is reached by wss. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeCertificate } from '../../support/tls.mjs';
import { hasBrowser, openBrowser, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = !hasBrowser ? 'no Chromium here' : process.env.SOPHIA_URL ? 'needs a gateway of its own' : false;

let browser;
let source;
before(async () => {
    if (!skip) {
        const { certificate, key } = makeCertificate();
        browser = await openBrowser();
        source = await openGateway({ tls: { certificate_file: certificate, key_file: key } });
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});

test('a board is live over https and wss', { skip }, async () => {
    const view = await openPage(browser);
    const addresses = [];
    let received = 0;
    view.page.on('websocket', (socket) => {
        addresses.push(socket.url());
        socket.on('framereceived', () => { received++; });
    });
    await showBoard(view.page, source.url, 'executive');
    assert.match(source.url, /^https:/);
    assert.deepEqual(addresses, [`${source.url.replace('https:', 'wss:')}/ws`]);
    await view.page.waitForFunction(() => document.querySelectorAll('.card').length > 5);
    assert.ok(received > 1, `${received} frames`);
    assert.ok(await source.gateway.metric('gw_tls_handshakes_total', { kind: 'full' }) >= 1);
    assert.deepEqual(view.troubles, []);
    await view.close();
});
