/*
 * Freshness is what the page promises: with its source silent, every card of every board passes its class's limits at the
 * very second, the banner counts right, and a link that died without a word is told in time. Time is the test's own.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BOARDS, hasBrowser, openBrowser, openFixture, openPage, showBoard } from '../support/browser.mjs';

const skip = hasBrowser ? false : 'no Chromium here';
const START = 1795255391000;
/** Values of the fixture were observed this long before it started. */
const HEAD_START_MS = 500;
const TROUBLES = ['expired', 'stale'];

let browser;
before(async () => { browser = skip ? null : await openBrowser(); });
after(() => browser?.close());

function expected(limits, ageMs) {
    if (!limits || ageMs <= limits.fresh_s * 1000) {
        return 'fresh';
    }
    if (ageMs <= limits.stale_s * 1000) {
        return 'ageing';
    }
    return ageMs <= limits.expired_s * 1000 ? 'stale' : 'expired';
}

/** A board whose clock, here and at the gateway, says what it is told. */
async function openAt(board, options = {}) {
    const clock = { at: START };
    const source = await openFixture({ heartbeatMs: 60000, now: () => clock.at, sharesClock: true, ...options });
    const view = await openPage(browser, { timezoneId: 'UTC' });
    await view.page.clock.setFixedTime(START);
    await showBoard(view.page, source.url, board);
    const setTime = async (at) => {
        clock.at = at;
        await view.page.clock.setFixedTime(at);
        await view.page.evaluate(() => new Promise((resolve) => {
            document.dispatchEvent(new Event('visibilitychange')); // paints
            requestAnimationFrame(() => requestAnimationFrame(resolve));
        }));
    };
    const stop = async () => {
        await view.close();
        await source.stop();
    };
    return { ...view, source, setTime, stop };
}

for (const board of BOARDS) {
    test(`${board}: every card turns at the limits of its class, and the banner counts right`, { skip }, async (t) => {
        const { page, source, setTime, stop, troubles } = await openAt(board);
        const { kpis, layout, classes } = source.gateway.definitions.find(({ id }) => id === board);
        const ids = layout.flatMap(({ row }) => row.map(({ kpi }) => kpi));
        const limitsOf = (id) => classes[kpis[id].class] ?? null;
        const edges = new Set(ids.map(limitsOf).filter(Boolean).flatMap(({ fresh_s: fresh, stale_s: stale, expired_s: end }) => [fresh, stale, end]));
        assert.ok(edges.size >= 3);
        for (const edge of [...edges].sort((a, b) => a - b)) {
            for (const ageMs of [edge * 1000, edge * 1000 + 1]) {
                await setTime(START - HEAD_START_MS + ageMs);
                const shown = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.card')].map((card) =>
                    [card.dataset.kpi, /card-(fresh|ageing|stale|expired|nodata|waiting)/.exec(card.className)[1]])));
                const wanted = Object.fromEntries(ids.map((id) => [id, expected(limitsOf(id), ageMs)]));
                assert.deepEqual(shown, wanted, `at ${ageMs} ms`);
                const counts = TROUBLES.map((word) => [Object.values(wanted).filter((state) => state === word).length, word]).filter(([count]) => count > 0);
                const banner = counts.map(([count, word], i) => (i === 0 ? `${count} value${count === 1 ? '' : 's'} ${word}` : `${count} ${word}`)).join(', ');
                const text = await page.locator('.status').innerText();
                assert.ok(banner ? text.startsWith(`${banner}: `) : /none stale|All values current/.test(text), `${banner} / ${text}`);
            }
            if (process.env.SOPHIA_SHOTS) {
                await page.screenshot({ path: path.join(process.env.SOPHIA_SHOTS, `freshness-${board}-${edge}s.png`) });
            }
        }
        t.diagnostic(`${ids.length} cards, ${edges.size} limits`);
        assert.deepEqual(troubles, []);
        await stop();
    });
}

test('a stale number is readable, hatched, and says so in a word and as a sentence', { skip }, async () => {
    const { page, setTime, stop } = await openAt('executive');
    const card = page.locator('[data-kpi="exec.revenue_mtd"]');
    await setTime(START + 601000);
    assert.match(await card.innerText(), /1\.28.*Not refreshed for longer than it should be.*Stale.*10.min ago/s);
    assert.match(await card.evaluate((element) => getComputedStyle(element).backgroundImage), /repeating-linear-gradient/);
    await setTime(START + 25 * 3600000);
    assert.match(await card.innerText(), /Expired\s*.*21 Nov 2026, 10:03/s);
    await stop();
});

test('a link that died in silence: delayed after 1.5 heartbeats, down after 2.5 and a tick', { skip }, async () => {
    const source = await openFixture({ heartbeatMs: 10000 });
    const { page, close } = await openPage(browser);
    await page.clock.install();
    await showBoard(page, source.url, 'executive');
    source.gateway.silence();
    await page.clock.runFor(14000);
    assert.equal(await page.locator('.status-down').count(), 0);
    assert.match(await page.locator('.chip').innerText(), /Live/);
    await page.clock.runFor(2500);
    assert.match(await page.locator('.chip').innerText(), /Delayed/);
    await page.clock.runFor(9500);
    await page.waitForSelector('.status-down');
    assert.match(await page.locator('.status').innerText(), /(Connection lost|Trying again)\. Values are from \d\d:\d\d:\d\d/);
    await close();
    await source.stop();
});
