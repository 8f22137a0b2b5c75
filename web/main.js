/*
 * Wires the page: address -> view, socket -> store -> views, keys and buttons -> actions.
 *
 * One connection for the life of the page; switching boards is a subscription on it. Painting happens at most once
 * per animation frame and not at all while the page is hidden; a tick per second lets the ages grow. What the first
 * view does not need (details, sheets, export, wall display) is loaded when it is asked for.
 */
import { render } from 'preact';
import { Away } from './away.js';
import { Connection, followPage } from './client/connection.js';
import { Store } from './client/store.js';
import { keyboard } from './keys.js';
import { addressOf, THEMES, viewOf } from './view_state.js';
import { App } from './views/app.js';
import { html } from './views/parts.js';

const TICK_MS = 1000;
const TOAST_MS = 6000;
const MISSED_AGAIN_MS = 2000;
/** PROTOCOL.md, "Codes". */
const FORBIDDEN = 4103;
const UNKNOWN_BOARD = 4200;
/** The page's own files are kept once the first view is long there. */
const SHELL_AFTER_MS = 4000;
/** Nobody asks what changed while they looked aside. */
const AWAY_MIN_MS = 5000;

const root = document.getElementById('app');
const page = document.documentElement;
const systemDark = matchMedia('(prefers-color-scheme: dark)');
const systemContrast = matchMedia('(prefers-contrast: more)');

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

const addressed = viewOf(location.search);
const away = new Away();

const view = {
    ...addressed,
    theme: addressed.theme ?? remembered('theme') ?? 'auto',
    density: addressed.density ?? remembered('density') ?? 'comfortable',
    hasKeys: remembered('keys') !== 'off',
    isFiltering: addressed.filter !== '',
    isLinkOpen: false,
    linkParts: null, // what the link panel is made of
    sheet: '', // the dialog that is open: 'help', 'settings', 'token'
    toast: null, // {text, action?, label?}
    parts: {}, // what was loaded later, by name
    away,
    voice: null, // what is said aloud, once it is loaded
};

function dress() {
    const system = systemContrast.matches ? 'contrast' : systemDark.matches ? 'dark' : 'light';
    view.shownTheme = view.isPrinting ? 'light' : view.theme === 'auto' ? system : view.theme;
    page.dataset.theme = view.shownTheme;
    page.dataset.density = view.density;
    page.classList.toggle('tv', view.isTv);
}

/** The address always names what is shown; 'push' where going back should undo it. */
function keepAddress(how = 'replace') {
    if (how !== 'none' && view.boardId) {
        window.history[`${how}State`](null, '', addressOf(view));
    }
}

/** Something about the view changed. */
function changeView(members, how = 'replace') {
    Object.assign(view, members);
    keepAddress(how);
    dress();
    schedule();
}

let toastTimer = 0;

/** A line at the foot of the page that goes by itself. It moves nothing. */
function toast(text, more = {}) {
    clearTimeout(toastTimer);
    view.voice?.say(text);
    changeView({ toast: { text, ...more } }, 'none');
    toastTimer = setTimeout(() => changeView({ toast: null }, 'none'), more.lastsMs ?? TOAST_MS);
}

// ---- what is loaded when it is needed ----

const loaders = {
    details: () => import('./views/details.js'),
    sheets: () => import('./views/sheets.js'),
    exporting: () => import('./exporting.js'),
    tv: () => import('./tv.js'),
};

async function need(name) {
    if (!view.parts[name]) {
        try {
            view.parts[name] = await loaders[name]();
        } catch {
            toast('A part of this page could not be loaded. Reload the page, or try again when the gateway is back.');
            return null;
        }
        schedule();
    }
    return view.parts[name];
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
    onBoardError: refused,
    takeDelays: () => view.linkParts?.delays.take() ?? [],
    onMessage: (message) => {
        const answer = store.receive(message);
        noteDelay(message);
        followCatalog();
        followBuild(message);
        if (answer === 'applied' || answer === 'same') {
            settleAway();
        }
        return answer;
    },
});

/** A board that may not be seen any more, or is gone: nothing of it stays, here or in an open dialog. */
function refused(id, error) {
    if (!id) {
        return;
    }
    if (error.code === FORBIDDEN || error.code === UNKNOWN_BOARD) {
        store.boards.delete(id);
        Object.assign(view, id === view.boardId ? { kpiId: '' } : {});
    }
    store.setBoardError(id, error);
}

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
        const message = problem.detail ?? problem.title ?? `The gateway answered ${response.status}.`;
        throw Object.assign(new Error(message), { status: response.status, code: problem.code });
    }
    return response.json();
}

const loading = new Set();

async function loadDefinition(id) {
    if (loading.has(id)) {
        return;
    }
    loading.add(id);
    const board = store.board(id);
    const before = board.definition;
    try {
        if (store.setDefinition(await fetchJson(`/api/v1/dashboards/${encodeURIComponent(id)}/definition`))) {
            connection.resync(id);
        }
        nameThePage();
        if (before) {
            tellNewDefinition(board, before);
        }
    } catch (error) {
        board.missedAt = store.localNow();
        if (!board.definition) {
            store.setBoardError(id, { message: error.message, status: error.status, isLoadFailure: true });
        }
    } finally {
        loading.delete(id);
    }
}

function tellNewDefinition(board, before) {
    const { kpis } = board.definition;
    const added = Object.keys(kpis).filter((id) => !before.kpis[id]);
    const gone = Object.keys(before.kpis).filter((id) => !kpis[id]);
    const parts = [added.length > 0 && `new: ${added.map((id) => kpis[id].title).join(', ')}`, gone.length > 0 && `gone: ${gone.map((id) => before.kpis[id].title).join(', ')}`];
    const text = parts.filter(Boolean).join('; ');
    if (board.id === view.boardId && before.catalog !== board.definition.catalog) {
        toast(`The definitions of this board have changed${text && `; ${text}`}.`);
    }
}

async function loadList() {
    try {
        store.setList(await fetchJson('/api/v1/dashboards'));
    } catch {
        return; // the link chip says that the gateway is away; the list is asked for again when it is back
    }
    if (!view.boardId && store.list.length > 0) {
        showBoard(view.rotation[0]?.id ?? store.list[0].id, 'replace');
    }
    nameThePage();
}

/** Could not be read, but not because the gateway said no. */
const isMissed = (board) => !board.definition && board.missedAt !== undefined && !(board.error?.status < 500) &&
    store.localNow() - board.missedAt > MISSED_AGAIN_MS;

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
    if (isOld || isMissed(board)) {
        board.triedCatalog = store.catalog;
        board.triedView = board.view;
        loadList();
        loadDefinition(view.boardId);
    }
}

// ---- another build of the page behind the same address ----

let firstBuild = null;

async function followBuild(message) {
    if (message.type !== 'welcome') {
        return;
    }
    const isOther = firstBuild !== null && firstBuild !== message.build;
    firstBuild = message.build;
    if (isOther && !view.isTv && await (await need('tv'))?.newerBuild()) {
        toast('There is a newer version of this page.', { label: 'Reload', action: () => location.reload(), lastsMs: 60000 });
    }
}

// ---- while nobody looked ----

function leave() {
    const board = store.board(view.boardId);
    if (board.held.position) {
        away.leave(board, store.localNow());
    }
}

const cardsOf = (definition) => definition.layout.flatMap(({ row }) => row.map(({ kpi }) => kpi));

function settleAway() {
    const board = store.board(view.boardId);
    if (!store.isPaused && document.visibilityState === 'visible' && board.definition) {
        const walk = away.settle(board, cardsOf(board.definition), store.localNow());
        if (walk && walk.awayMs < AWAY_MIN_MS) {
            away.forget();
        }
    }
}

/** To the next card that changed; behind the last one the walk is over. */
function nextAway() {
    const step = away.next();
    schedule();
    if (step) {
        const handle = document.getElementById(`card-${step.kpi}`)?.querySelector('.card-open');
        handle?.closest('.card').scrollIntoView({ block: 'center' });
        handle?.focus({ preventScroll: true });
    }
}

// ---- actions ----

let watched = '';

function showBoard(id, how = 'push') {
    if (!id) {
        return;
    }
    if (watched !== id) {
        if (store.isPaused) {
            store.resume();
            view.linkParts?.delays.restart();
        }
        if (watched) {
            connection.unwatch(watched);
            Object.assign(view, { kpiId: how === 'none' ? view.kpiId : '', days: how === 'none' ? view.days : 0 });
        }
        watched = id;
        connection.watch(id);
    }
    view.boardId = id;
    keepAddress(how);
    if (!store.board(id).definition) {
        loadDefinition(id);
    }
    nameThePage();
    schedule();
}

function nameThePage() {
    const board = store.board(view.boardId);
    const title = (board.definition ?? store.list.find(({ id }) => id === view.boardId))?.title;
    document.title = title ? `${title} \u00b7 Sophia` : 'Sophia';
}

let tv = null;

async function followTv() {
    if (!view.isTv) {
        tv?.stop();
        tv = null;
        return;
    }
    const parts = tv ? null : await need('tv');
    if (parts && view.isTv && !tv) {
        tv = new parts.Tv({
            view: () => view,
            prepare: (id) => {
                connection.watch(id);
                loadDefinition(id);
            },
            isReady: (id) => Boolean(store.board(id).definition && store.board(id).held.position && !store.board(id).error),
            show: (id) => showBoard(id, 'replace'),
            drop: (id) => id !== watched && connection.unwatch(id),
            renew: (id) => location.replace(addressOf({ ...view, boardId: id, kpiId: '' })),
        });
        tv.start();
    }
}

const isCovered = () => document.querySelector('dialog[open]') !== null;

async function openSheet(sheet) {
    if (await need('sheets')) {
        changeView({ sheet }, 'none');
    }
}

async function openDetails(kpiId, how = 'push') {
    changeView({ kpiId, days: how === 'none' ? view.days : 0 }, how);
    if (!await need('details')) {
        changeView({ kpiId: '' });
    }
}

const actions = {
    board: (id) => {
        showBoard(id);
        page.scrollTo?.(0, 0);
    },
    pause: () => {
        if (store.isPaused) {
            away.back();
            store.resume();
            settleAway();
        } else {
            leave();
            store.pause();
        }
        view.linkParts?.delays.restart();
    },
    details: (kpiId) => openDetails(kpiId),
    closeDetails: () => {
        if (view.kpiId) {
            changeView({ kpiId: '', days: 0 });
        }
    },
    days: (days) => changeView({ days }),
    history: (kpiId, days) => fetchJson(`/api/v1/kpis/${encodeURIComponent(kpiId)}/history${days ? `?days=${days}` : ''}`),
    rate: (rateS) => {
        connection.setRate(rateS ? 1 / rateS : 0);
        changeView({ rateS });
    },
    theme: (theme) => {
        const next = theme ?? THEMES[(THEMES.indexOf(view.theme) + 1) % THEMES.length];
        remember('theme', next);
        changeView({ theme: next });
    },
    density: () => {
        const density = view.density === 'compact' ? 'comfortable' : 'compact';
        remember('density', density);
        changeView({ density });
    },
    keys: (hasKeys) => {
        remember('keys', hasKeys ? 'on' : 'off');
        changeView({ hasKeys });
    },
    help: () => openSheet('help'),
    settings: () => openSheet('settings'),
    token: () => openSheet('token'),
    link: () => changeView({ isLinkOpen: Boolean(view.linkParts) }, 'none'),
    closeLink: () => changeView({ isLinkOpen: false }, 'none'),
    closeSheet: () => changeView({ sheet: '' }, 'none'),
    showToken: (token, isKept) => {
        remember('token', isKept ? token : '');
        connection.setToken(token);
        actions.reload();
    },
    filter: (filter) => changeView({ filter }),
    openFilter: () => {
        changeView({ isFiltering: true }, 'none');
        paint(); // at once: the next key already belongs to the field
        document.getElementById('filter')?.focus();
    },
    closeFilter: () => changeView({ filter: '', isFiltering: false }),
    copyLink: async () => {
        const link = new URL(addressOf(view), location.href).href;
        try {
            await navigator.clipboard.writeText(link);
            toast('Link to this view copied.');
        } catch {
            toast(`This browser does not let the page copy. The link: ${link}`, { lastsMs: 30000 });
        }
    },
    exportCsv: async () => (await need('exporting'))?.saveBoard(store, store.board(view.boardId)),
    print: () => window.print(),
    nextAway,
    forgetAway: () => {
        away.forget();
        schedule();
    },
    dismiss: () => changeView({ toast: null }, 'none'),
    tv: () => {
        changeView({ isTv: !view.isTv });
        followTv();
    },
    escape: () => {
        if (view.isTv) {
            actions.tv();
        } else if (view.isFiltering) {
            actions.closeFilter();
        } else if (view.away.walk) {
            actions.forgetAway();
        }
    },
    retry: () => connection.retry(),
    reload: () => {
        store.board(view.boardId).error = null;
        connection.unwatch(view.boardId);
        connection.watch(view.boardId);
        loadList();
        loadDefinition(view.boardId);
    },
    reloadPage: () => location.reload(),
};

// ---- start ----

dress();
for (const query of [systemDark, systemContrast]) {
    query.addEventListener('change', () => changeView({}, 'none'));
}
/** On paper everything is light, and complete: canvases too are drawn anew. */
const setPrinting = (isPrinting) => () => {
    view.isPrinting = isPrinting;
    dress();
    paint();
};
addEventListener('beforeprint', setPrinting(true));
addEventListener('afterprint', setPrinting(false));
addEventListener('keydown', keyboard({ actions, boards: () => store.list, isOn: () => view.hasKeys, isCovered }));
addEventListener('popstate', () => {
    const { theme, density, ...rest } = viewOf(location.search);
    Object.assign(view, rest, { theme: theme ?? view.theme, density: density ?? view.density, isFiltering: rest.filter !== '' });
    connection.setRate(view.rateS ? 1 / view.rateS : 0);
    dress();
    showBoard(view.boardId || store.list[0]?.id, 'none');
    if (view.kpiId) {
        openDetails(view.kpiId, 'none');
    }
    followTv();
});
document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') {
        away.back();
        view.linkParts?.delays.restart();
        schedule();
        tv?.keepAwake();
    } else {
        leave();
    }
});
setInterval(() => {
    if (document.visibilityState === 'visible') {
        view.voice?.listen(store, store.board(view.boardId), performance.now());
        schedule();
    }
}, TICK_MS);

followPage(connection);
connection.maxRate = view.rateS ? 1 / view.rateS : 0;
connection.token = remembered('token') || undefined;
if (tokenPath) {
    connection.token = await fetchToken().catch(() => undefined);
}
connection.start();
loadList();
if (view.boardId) {
    showBoard(view.boardId, 'none');
}
if (view.kpiId) {
    openDetails(view.kpiId, 'none');
}
followTv();
schedule();
import('./voice.js').then(({ Voice }) => { view.voice = new Voice(); }, () => {}); // without it the page is silent, and whole
setTimeout(async () => (await import('./shell.js').catch(() => null))?.install(), SHELL_AFTER_MS);
