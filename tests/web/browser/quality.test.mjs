/* Four boards, two themes, in a real Chromium: accessibility, policy, width. A healthy page comes from the real gateway. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { axeSource, BOARDS, hasBrowser, openBrowser, openFixture, openGateway, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
let browser;
let source;
let axe;

before(async () => {
    if (hasBrowser) {
        [browser, source, axe] = await Promise.all([openBrowser(), openGateway(), readFile(axeSource, 'utf8')]);
    }
});
after(async () => {
    await browser?.close();
    await source?.stop();
});

/** What axe finds serious or critical, as lines. It is evaluated through the debugger, which no policy stops. */
async function seriousFindings(page) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary.split('\n')[1]}`));
}

for (const theme of ['light', 'dark']) {
    for (const board of BOARDS) {
        test(`${board}, ${theme}: axe finds nothing serious and the policy is kept`, { skip }, async () => {
            const { page, troubles, close } = await openPage(browser, { theme });
            await showBoard(page, source.url, board);
            assert.deepEqual(await seriousFindings(page), []);
            assert.deepEqual(await page.evaluate(() => window.policyViolations), []);
            assert.deepEqual(troubles, []);
            await close();
        });
    }
}

for (const scenario of ['broken', 'empty', 'stale']) {
    test(`a board that is ${scenario} is as accessible as a good one`, { skip }, async () => {
        const troubled = await openFixture({ scenario });
        for (const theme of ['light', 'dark']) {
            const { page, troubles, close } = await openPage(browser, { theme });
            await showBoard(page, troubled.url, 'executive');
            assert.deepEqual(await seriousFindings(page), [], theme);
            assert.deepEqual(troubles, []);
            await close();
        }
        await troubled.stop();
    });
}

test('a page that was refused is as accessible as a live one', { skip }, async () => {
    const refusing = await openFixture();
    for (const theme of ['light', 'dark']) {
        const { page, close } = await openPage(browser, { theme });
        await showBoard(page, refusing.url, 'executive');
        refusing.gateway.closeAll(4102);
        await page.waitForSelector('.status-down .status-button');
        assert.deepEqual(await seriousFindings(page), [], theme);
        await close();
    }
    await refusing.stop();
});

test('the check itself finds what is wrong', { skip }, async () => {
    const { page, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await page.evaluate(() => {
        document.documentElement.style.setProperty('--ink-2', '#c0c0c0');
        new Image().src = 'http://elsewhere.invalid/x.png';
    });
    assert.ok((await seriousFindings(page)).some((finding) => finding.startsWith('color-contrast')));
    await page.waitForFunction(() => window.policyViolations.some((violation) => violation.startsWith('img-src')));
    await close();
});

for (const width of [360, 768, 1280, 1920, 3840]) {
    test(`no board scrolls sideways at ${width} px`, { skip }, async () => {
        const { page, close } = await openPage(browser, { width, height: Math.round(width * 0.6) });
        for (const board of BOARDS) {
            await showBoard(page, source.url, board);
            const [content, visible] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
            assert.ok(content <= visible, `${board}: ${content} px wide`);
        }
        await close();
    });
}

test('every control can be reached by keyboard and is at least 44 px', { skip }, async () => {
    const { page, close } = await openPage(browser, { width: 360, height: 740 });
    await showBoard(page, source.url, 'executive');
    const small = await page.evaluate(() => [...document.querySelectorAll('a[href], button')]
        .filter((element) => element.getClientRects().length > 0 && !element.classList.contains('skip'))
        .map((element) => ({ name: element.textContent || element.ariaLabel, box: element.getBoundingClientRect() }))
        .filter(({ box }) => box.height < 43.5 || box.width < 32).map(({ name, box }) => `${name} ${box.width}x${box.height}`));
    assert.deepEqual(small, []);
    await close();
});
