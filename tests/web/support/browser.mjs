/*
 * A real Chromium in front of a page of the real gateway (one of our own with demo values, or the one named by SOPHIA_URL),
 * or of the fixture of this folder where a test must make the gateway misbehave.
 * Every page opened here counts what breaks its policy and what it says in anger.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { plainBinary, root, startGateway } from '../../support/gateway.mjs';
import { isSecure } from '../../support/tls.mjs';
import { FixtureGateway } from './fixture_gateway.mjs';

const require = createRequire(new URL('../../../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');
export const axeSource = require.resolve('axe-core/axe.min.js');

const executablePath = process.env.SOPHIA_CHROMIUM ?? '/usr/bin/chromium';
export const hasBrowser = existsSync(executablePath);
const flags = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
];

export const openBrowser = () => chromium.launch({ executablePath, args: flags });

/** The real gateway with the shipped boards: {url, gateway, stop}. config is laid over its configuration. */
export async function openGateway(config = {}) {
    if (process.env.SOPHIA_URL) {
        return { url: process.env.SOPHIA_URL.replace(/\/$/, ''), gateway: null, stop: async () => {} };
    }
    const definitions = { dir: path.join(root, 'deploy/definitions') };
    const gateway = await startGateway({ definitions, demo: { enabled: true }, web: { dir: path.join(root, 'web/dist') }, ...config }, { binary: plainBinary });
    return { url: `${isSecure(gateway.port) ? 'https' : 'http'}://127.0.0.1:${gateway.port}`, gateway, stop: () => gateway.stop() };
}

/** The fixture: {url, gateway, stop}. */
export async function openFixture(options) {
    const gateway = await new FixtureGateway(options).start();
    return { url: gateway.url, gateway, stop: () => gateway.stop() };
}

/** A page with `troubles`: policy violations, uncaught errors and console errors, as text. */
export async function openPage(browser, { width = 1280, height = 800, theme = 'light', ...options } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, ignoreHTTPSErrors: true, ...options });
    const page = await context.newPage();
    const troubles = [];
    page.on('pageerror', (error) => troubles.push(`error: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && troubles.push(`console: ${message.text()}`));
    await page.addInitScript(() => {
        window.policyViolations = [];
        document.addEventListener('securitypolicyviolation', (event) =>
            window.policyViolations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
    return { page, troubles, close: () => context.close() };
}

export async function showBoard(page, url, board, query = '') {
    await page.goto(`${url}/?board=${board}${query}`);
    await page.waitForSelector('.card');
    await page.waitForSelector('.chip-live');
}

export const BOARDS = ['executive', 'competitive', 'knowledge', 'operations'];
