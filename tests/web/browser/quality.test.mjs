/* Four boards, three themes, six states, in a real Chromium: accessibility, policy, width. */
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

/** Whatever axe finds, as lines. It is evaluated through the debugger, which no policy stops. */
async function findings(page) {
    if (!await page.evaluate(() => 'axe' in globalThis)) {
        await page.evaluate(axe);
    }
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary.split('\n')[1]}`));
}

/** The same page in each dress: its looks hang on this attribute alone. */
async function findingsInEachTheme(page) {
    const found = [];
    for (const theme of ['light', 'dark', 'contrast']) {
        await page.evaluate((name) => { document.documentElement.dataset.theme = name; }, theme);
        found.push(...(await findings(page)).map((finding) => `${theme}: ${finding}`));
    }
    return found;
}

test('the real gateway: no board breaks the policy or says anything in anger', { skip }, async () => {
    for (const board of BOARDS) {
        const { page, troubles, close } = await openPage(browser);
        await showBoard(page, source.url, board);
        assert.deepEqual(await page.evaluate(() => window.policyViolations), [], board);
        assert.deepEqual(troubles, [], board);
        await close();
    }
});

/** A state of the page: how its values are, and what then happens to the link. */
const states = {
    good: { scenario: 'normal' },
    broken: { scenario: 'broken' },
    stale: { scenario: 'stale' },
    empty: { scenario: 'empty' },
    down: { scenario: 'normal', befall: (fixture) => fixture.gateway.silence(), sign: '.status-down' },
    refused: { scenario: 'normal', befall: (fixture) => fixture.gateway.closeAll(4102), sign: '.status-down .status-button' },
};

for (const [state, { scenario, befall, sign }] of Object.entries(states)) {
    test(`${state}: axe finds nothing on four boards in three themes`, { skip }, async () => {
        for (const board of BOARDS) {
            const fixture = await openFixture({ scenario, heartbeatMs: befall ? 400 : 1000 });
            const { page, close } = await openPage(browser);
            await showBoard(page, fixture.url, board);
            befall?.(fixture);
            await page.waitForSelector(sign ?? '.status');
            assert.deepEqual(await findingsInEachTheme(page), [], board);
            await close();
            await fixture.stop();
        }
    });
}

/** What can lie over a board, by the address or a key that brings it there. */
const layers = [
    ['details of a number', '&kpi=exec.revenue_mtd', '', '.details .uplot'], ['details of a table', '&kpi=exec.top_deals', '', '.details table'],
    ['the filter', '&filter=deals', '', '#filter'], ['view settings', '', 'v', '.sheet fieldset'], ['keyboard help', '', '?', '.sheet .keys'],
    ['a toast', '', 'c', '.toast'], ['the TV view', '&tv=1', '', '.tv-bar'],
];

test('axe finds nothing on what lies over a board either', { skip }, async () => {
    const fixture = await openFixture();
    for (const [name, query, key, sign] of layers) {
        const { page, close } = await openPage(browser);
        await showBoard(page, fixture.url, 'executive', query);
        if (key) {
            await page.keyboard.press(key);
        }
        await page.waitForSelector(sign);
        assert.deepEqual(await findingsInEachTheme(page), [], name);
        await close();
    }
    await fixture.stop();
});

test('the check itself finds what is wrong', { skip }, async () => {
    const { page, close } = await openPage(browser);
    await showBoard(page, source.url, 'executive');
    await page.evaluate(() => {
        document.documentElement.style.setProperty('--ink-2', '#c0c0c0');
        new Image().src = 'http://elsewhere.invalid/x.png';
    });
    assert.ok((await findings(page)).some((finding) => finding.startsWith('color-contrast')));
    await page.waitForFunction(() => window.policyViolations.some((violation) => violation.startsWith('img-src')));
    await close();
});

/** 320 px is a window of 1280 px at 400 %. */
for (const width of [320, 360, 768, 1280, 1920, 3840]) {
    test(`nothing scrolls sideways at ${width} px, and details fit`, { skip }, async () => {
        const { page, close } = await openPage(browser, { width, height: Math.max(256, Math.round(width * 0.6)) });
        for (const board of [...BOARDS, 'executive&kpi=exec.revenue_mtd']) {
            await showBoard(page, source.url, board);
            const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll('.sheet-body')]
                .map(({ scrollWidth, clientWidth, tagName }) => [scrollWidth - clientWidth, tagName]).filter(([beyond]) => beyond > 0));
            assert.deepEqual(wide, [], board);
        }
        await page.waitForSelector('.details[open]');
        const { x, right, bottom } = await page.locator('.details').evaluate((element) => element.getBoundingClientRect().toJSON());
        assert.ok(x >= 0 && right <= width && bottom <= Math.max(256, Math.round(width * 0.6)), `${x} ${right} ${bottom}`);
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
