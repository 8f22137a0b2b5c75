/* The page in a Chromium that negotiates permessage-deflate with the real gateway: what it shows is what the gateway has. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../../support/waiting.mjs';
import { hasBrowser, openBrowser, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = !hasBrowser ? 'no Chromium here' : process.env.SOPHIA_URL ? 'needs a gateway of its own' : false;

let browser;
let source;
before(async () => {
    if (!skip) {
        browser = await openBrowser();
        source = await openGateway({ fanout: { deflate_min_bytes: 1 } });
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});

test('every board is live over compressed frames', { skip }, async () => {
    const view = await openPage(browser);
    const sockets = [];
    view.page.on('websocket', (socket) => {
        const frames = { received: [], isClosed: false };
        socket.on('framereceived', ({ payload }) => frames.received.push(payload));
        socket.on('close', () => { frames.isClosed = true; });
        sockets.push(frames);
    });
    const deflatedBytes = (at) => source.gateway.metric('gw_deflate_bytes_total', { at });
    await showBoard(view.page, source.url, 'executive');
    assert.equal(await source.gateway.metric('gw_deflate_viewers'), 1);
    const earlier = await deflatedBytes('before');
    const updates = () => sockets.flatMap(({ received }) => received).map((text) => JSON.parse(text)).filter(({ type }) => type === 'update');
    await until('updates', () => updates().length >= 5, { within: 20000 });
    assert.ok(await deflatedBytes('before') > earlier);
    assert.ok(await deflatedBytes('after') < await deflatedBytes('before') * 0.7);
    assert.ok(sockets.every(({ isClosed }) => !isClosed), 'Chromium closed a connection');
    const shown = await view.page.evaluate(() => document.querySelectorAll('.card').length);
    assert.ok(shown > 5, `${shown} cards`);
    await view.page.waitForSelector('.chip-live');
    assert.deepEqual(view.troubles, []);
    await view.close();
});
