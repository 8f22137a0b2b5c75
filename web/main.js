/*
 * Wires the page: address -> board, socket -> store -> views, keys and buttons -> actions.
 *
 * One connection for the life of the page; switching boards is a subscription on it. Painting happens at most once
 * per animation frame and not at all while the page is hidden; a tick per second lets the ages grow.
 */
import { render } from 'preact';
import { Connection, followPage } from './client/connection.js';
import { closeText } from './client/protocol.js';
import { Store } from './client/store.js';
import { App, chipOf, statusOf } from './views/app.js';
import { html } from './views/parts.js';

const ANNOUNCE_EVERY_MS = 30000;
const TICK_MS = 1000;

const root = document.getElementById('app');
const page = document.documentElement;
const systemDark = matchMedia('(prefers-color-scheme: dark)');

// ---- what the browser remembers; a browser that forbids it forgets ----

function remembered(key) {
    try {
        return localStorage.getItem(`sophia.${key}`);
    } catch {
        return null;
    }
}

function remember(key, value) {
    try {
        localStorage.setItem(`sophia.${key}`, value);
    } catch {
        // Private windows may refuse: the choice then lasts as long as the page.
    }
}

// ---- what is shown, apart from the values ----

function viewOfAddress() {
    const query = new URLSearchParams(location.search);
    return { boardId: query.get('board') ?? '', isTv: query.get('tv') === '1' };
}

const view = {
    ...viewOfAddress(),
    theme: remembered('theme') ?? 'auto',
    density: remembered('density') ?? 'comfortable',
    isHelpOpen: false,
    isLinkOpen: false,
    linkParts: null, // what the link panel is made of
    announcement: '',
};

function addressOf({ boardId, isTv }) {
    const query = new URLSearchParams({ board: boardId });
    if (isTv) {
        query.set('tv', '1');
    }
    return `?${query}`;
}

function dress() {
    view.shownTheme = view.theme === 'auto' ? (systemDark.matches ? 'dark' : 'light') : view.theme;
    page.dataset.theme = view.shownTheme;
    page.dataset.density = view.density;
    page.classList.toggle('tv', view.isTv);
}

// ---- painting ----

let isPaintDue = false;
/** What is posted here in a frame's turn is read when the frame has been painted. */
const afterPaint = new MessageChannel();
afterPaint.port1.onmessage = () => view.linkParts?.delays.painted();

function paint() {
    isPaintDue = false;
    render(html`<${App} store=${store} view=${view} actions=${actions} />`, root);
    afterPaint.port2.postMessage(null);
}

function schedule() {
    if (!isPaintDue) {
        isPaintDue = true;
        requestAnimationFrame(paint);
    }
}

// ---- who watches: where the site says so, a token is fetched from it, for the gateway to check ----

const tokenPath = document.querySelector('meta[name="token-path"]')?.content;

async function fetchToken() {
    const response = await fetch(tokenPath, { cache: 'no-store' });
    return response.ok ? (await response.text()).trim() : undefined;
}

// ---- a gateway that lets nobody in says for how long ----

async function retryAfter() {
    const response = await fetch('/health/ready', { cache: 'no-store' });
    return response.ok ? 0 : Number(response.headers.get('retry-after')) * 1000;
}

// ---- the store and the link ----

const store = new Store({ onChange: schedule });

const connection = new Connection({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`,
    client: 'sophia-web',
    renewToken: tokenPath ? fetchToken : undefined,
    retryAfter,
    positionOf: (board) => store.positionOf(board),
    onState: (link) => {
        store.setLink(link);
        loadLinkParts();
    },
    onBoardError: (board, error) => board && store.setBoardError(board, error.code === 4103 ? { ...error, message: closeText(4103) } : error),
    takeDelays: () => view.linkParts?.delays.take() ?? [],
    onMessage: (message) => {
        const answer = store.receive(message);
        noteDelay(message);
        followCatalog();
        return answer;
    },
});

// ---- how late changes are: nothing of it is needed before the page is live ----

async function loadLinkParts() {
    if (store.link.name !== 'live' || view.linkParts) {
        return;
    }
    const parts = await Promise.all([import('./client/delays.js'), import('./views/link_panel.js')]).catch(() => null);
    if (parts && !view.linkParts) { // or else the next time the page is live
        const [{ Delays }, { LinkPanel }] = parts;
        const delays = new Delays({ now: () => store.now() });
        connection.boards.forEach((_, board) => delays.note({ type: 'subscribed', board, max_rate: connection.maxRate }));
        view.linkParts = { LinkPanel, connection, delays };
    }
}

function noteDelay(message) {
    if (!store.isPaused && document.visibilityState === 'visible') {
        view.linkParts?.delays.note(message);
    }
}

// ---- definitions ----

async function fetchJson(path) {
    const { token } = connection;
    const response = await fetch(path, { headers: { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) } });
    if (!response.ok) {
        const problem = await response.json().catch(() => ({}));
        throw new Error(problem.detail ?? problem.title ?? `The gateway answered ${response.status}.`);
    }
    return response.json();
}

const loading = new Set();

async function loadDefinition(id) {
    if (loading.has(id)) {
        return;
    }
    loading.add(id);
    try {
        if (store.setDefinition(await fetchJson(`/api/v1/dashboards/${encodeURIComponent(id)}/definition`))) {
            connection.resync(id);
        }
    } catch (error) {
        if (!store.board(id).definition) {
            store.setBoardError(id, { message: error.message, isLoadFailure: true });
        }
    } finally {
        loading.delete(id);
    }
}

async function loadList() {
    try {
        store.setList(await fetchJson('/api/v1/dashboards'));
    } catch {
        return; // the link chip says that the gateway is away; the list is asked for again when it is back
    }
    if (!view.boardId && store.list.length > 0) {
        showBoard(store.list[0].id, 'replace');
    }
}

/** New definitions at the gateway, other rights, or definitions that could not be read when it was away: read them now. */
function followCatalog() {
    const board = store.board(view.boardId);
    if (store.list.length === 0) {
        loadList();
    }
    if (!view.boardId || loading.has(view.boardId)) {
        return;
    }
    const isOld = board.definition && ((store.catalog && board.definition.catalog !== store.catalog && board.triedCatalog !== store.catalog) ||
        (board.view && board.definition.view !== board.view && board.triedView !== board.view));
    if (isOld || (!board.definition && board.error?.isLoadFailure && store.link.name === 'catching_up')) {
        board.triedCatalog = store.catalog;
        board.triedView = board.view;
        loadList();
        loadDefinition(view.boardId);
    }
}

// ---- actions ----

let watched = '';

function showBoard(id, history = 'push') {
    if (!id) {
        return;
    }
    if (store.isPaused && id !== watched) {
        actions.pause();
    }
    view.boardId = id;
    if (history !== 'none') {
        window.history[`${history}State`](null, '', addressOf(view));
    }
    if (watched !== id) {
        if (watched) {
            connection.unwatch(watched);
        }
        watched = id;
        connection.watch(id);
    }
    if (!store.board(id).definition) {
        loadDefinition(id);
    }
    const listed = store.list.find((board) => board.id === id);
    document.title = listed ? `${listed.title} · Sophia` : 'Sophia';
    schedule();
}

function setTv(isTv) {
    view.isTv = isTv;
    window.history.replaceState(null, '', addressOf(view));
    dress();
    schedule();
    keepAwake();
}

const nextTheme = { auto: 'light', light: 'dark', dark: 'auto' };

const actions = {
    board: (id) => {
        showBoard(id);
        page.scrollTo?.(0, 0);
    },
    pause: () => {
        if (store.isPaused) {
            store.resume();
        } else {
            store.pause();
        }
        view.linkParts?.delays.restart();
    },
    theme: () => {
        view.theme = nextTheme[view.theme] ?? 'auto';
        remember('theme', view.theme);
        dress();
        schedule();
    },
    density: () => {
        view.density = view.density === 'compact' ? 'comfortable' : 'compact';
        remember('density', view.density);
        dress();
        schedule();
    },
    help: () => {
        view.isHelpOpen = true;
        schedule();
    },
    closeHelp: () => {
        view.isHelpOpen = false;
        schedule();
    },
    link: () => {
        view.isLinkOpen = Boolean(view.linkParts);
        schedule();
    },
    closeLink: () => {
        view.isLinkOpen = false;
        schedule();
    },
    retry: () => connection.retry(),
    reload: () => {
        store.board(view.boardId).error = null;
        connection.unwatch(view.boardId);
        connection.watch(view.boardId);
        loadDefinition(view.boardId);
    },
};

// ---- keys ----

let goPressedAt = 0;

const isTyping = (element) => element?.closest?.('input, textarea, select, [contenteditable]');
const usesSpace = (element) => element?.closest?.('button, a, [role=region], dialog');

function goTo(letter) {
    const target = store.list.find(({ id }) => id[0] === letter);
    if (target) {
        actions.board(target.id);
    }
}

function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || view.isHelpOpen || view.isLinkOpen) {
        return;
    }
    const isGo = performance.now() - goPressedAt < 1500;
    goPressedAt = 0;
    if (isGo && /^[a-z]$/.test(event.key)) {
        goTo(event.key);
        return;
    }
    switch (event.key) {
    case 'g':
        goPressedAt = performance.now();
        break;
    case '?':
        actions.help();
        break;
    case 'l':
        actions.link();
        break;
    case 't':
        setTv(!view.isTv);
        break;
    case 'd':
        actions.density();
        break;
    case 'Escape':
        if (view.isTv) {
            setTv(false);
        }
        break;
    case ' ':
        if (usesSpace(event.target)) {
            return;
        }
        actions.pause();
        event.preventDefault();
        break;
    default:
        break;
    }
}

// ---- the one polite voice: at most one sentence per half minute, and only when it says something new ----

let spokenAt = -Infinity;
let spoken = 'Live';

function speak() {
    const chip = chipOf(store);
    const status = statusOf(store, store.board(view.boardId), store.now());
    const state = status.kind === 'trouble' ? `${status.counts} on this board` : chip.word;
    const isPassing = ['connecting', 'catching_up', 'moved'].includes(chip.name);
    if (isPassing || state === spoken || performance.now() - spokenAt < ANNOUNCE_EVERY_MS) {
        return;
    }
    spoken = state;
    spokenAt = performance.now();
    view.announcement = status.kind === 'trouble' ? `${state}.` : `Link: ${state.toLowerCase()}.`;
}

// ---- a wall display stays awake; the lock is lost whenever the page is hidden ----

let wakeLock = null;

async function keepAwake() {
    if (!view.isTv) {
        wakeLock?.release().catch(() => {});
        wakeLock = null;
        return;
    }
    try {
        wakeLock = await navigator.wakeLock.request('screen');
    } catch {
        wakeLock = null; // not allowed or not known here: the display's own settings decide
    }
}

// ---- start ----

dress();
systemDark.addEventListener('change', () => {
    dress();
    schedule();
});
addEventListener('keydown', pressed);
addEventListener('popstate', () => {
    Object.assign(view, viewOfAddress());
    dress();
    showBoard(view.boardId || store.list[0]?.id, 'none');
});
document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') {
        view.linkParts?.delays.restart();
        schedule();
        keepAwake();
    }
});
setInterval(() => {
    if (document.visibilityState === 'visible') {
        speak();
        schedule();
    }
}, TICK_MS);

followPage(connection);
if (tokenPath) {
    connection.token = await fetchToken().catch(() => undefined);
}
connection.start();
loadList();
if (view.boardId) {
    showBoard(view.boardId, 'none');
}
keepAwake();
schedule();
