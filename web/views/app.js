/*
 * The page around a board: header, link chip, the line that says how far the values can be trusted, what goes wrong.
 *
 * The status line is always there and always one line high: what it says changes, the page does not move.
 */
import { Component } from 'preact';
import { TROUBLES } from '../client/freshness.js';
import { formatAge, formatClock, formatDuration, formatMoment } from '../client/format.js';
import { Board, cardState, shownCards } from './board.js';
import { html, Mark } from './parts.js';

// ---- the link, in words ----

const chipWords = {
    connecting: ['waiting', 'Connecting'],
    catching_up: ['waiting', 'Catching up'],
    live: ['fresh', 'Live'],
    delayed: ['ageing', 'Delayed'],
    offline: ['unreachable', 'Offline'],
    reconnecting: ['unreachable', 'Reconnecting'],
    moved: ['waiting', 'Moving'],
    refused: ['invalid', 'Refused'],
    asleep: ['nodata', 'Asleep'],
    paused: ['paused', 'Paused'],
};

const isUp = (link) => ['live', 'delayed', 'catching_up', 'moved'].includes(link.name);

export function chipOf(store) {
    const { link } = store;
    if (link.name === 'refused' && link.kind === 'token') {
        return { name: 'refused', mark: 'invalid', word: 'Signed out' };
    }
    const name = store.isPaused && isUp(link) ? 'paused' : link.name;
    const [mark, word] = chipWords[name];
    return { name, mark, word };
}

const secondsUntil = (at, now) => Math.max(0, Math.ceil((at - now) / 1000));

function chipNote(store, name, rateS) {
    const { link } = store;
    if (name === 'paused') {
        return store.withheldCount > 0 ? `${store.withheldCount} withheld` : '';
    }
    if (link.retryAt !== undefined && !isUp(link)) {
        return `try ${link.attempt || 1} in ${secondsUntil(link.retryAt, store.localNow())} s`;
    }
    if (isUp(link) && rateS > 0) {
        return `every ${rateS} s`;
    }
    return isUp(link) && link.roundTripMs !== undefined ? `${Math.round(link.roundTripMs)} ms` : '';
}

function chipTitle(store) {
    const lines = [`Link: ${chipOf(store).word.toLowerCase()} for ${formatDuration((store.localNow() - store.link.since) / 1000)}`];
    if (store.link.roundTripMs !== undefined) {
        lines.push(`Round trip: ${Math.round(store.link.roundTripMs)} ms`);
    }
    if (store.delayMs !== undefined) {
        lines.push(`Newest change arrived ${Math.round(store.delayMs)} ms after it was accepted`);
    }
    return lines.join('\n');
}

function Chip({ store, rateS }) {
    const { name, mark, word } = chipOf(store);
    return html`<div class=${`chip chip-${name}`} title=${chipTitle(store)}>
        <${Mark} name=${mark} /><span class="chip-word">${word}</span><span class="chip-note">${chipNote(store, name, rateS)}</span>
    </div>`;
}

// ---- how far can the values be trusted ----

const troubleWords = {
    unreachable: 'unreachable', invalid: 'invalid', expired: 'expired', stale: 'stale',
};

/** Every card of the board by freshness, and the oldest value on it. */
export function summaryOf(store, board, now) {
    const groups = {};
    let oldest = null;
    for (const { row } of board.definition.layout) {
        for (const { kpi: id } of row) {
            const kpi = board.definition.kpis[id];
            if (kpi) {
                const { freshness, asOf } = cardState(store, board, kpi, now);
                (groups[freshness] ??= []).push(kpi.title);
                const limits = board.definition.classes?.[kpi.class];
                if (asOf !== undefined && limits && (!oldest || asOf < oldest.asOf)) {
                    oldest = { asOf, title: kpi.title };
                }
            }
        }
    }
    return { groups, oldest };
}

const plural = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;

function troubleLine({ groups }) {
    const kinds = TROUBLES.filter((kind) => kind !== 'nodata' && groups[kind]);
    if (kinds.length === 0) {
        return null;
    }
    const counts = kinds.map((kind, i) => `${i === 0 ? plural(groups[kind].length, 'value') : groups[kind].length} ${troubleWords[kind]}`).join(', ');
    const titles = kinds.flatMap((kind) => groups[kind]);
    const named = titles.length <= 3 ? titles.join(', ') : `${titles.slice(0, 3).join(', ')} and ${titles.length - 3} more`;
    return { mark: kinds[0], counts, text: `${counts}: ${named}` };
}

/** Codes that say that this page is not of this gateway's version. */
const isOtherVersion = ({ name, kind }) => name === 'refused' && kind === 'stop';

function downLine(store, board) {
    const { link } = store;
    const now = store.localNow();
    const since = board.knownUntil ? `Values are from ${formatClock(board.knownUntil - store.offsetMs)}, ${formatAge(board.knownUntil, store.now())}.` : 'Nothing has been received yet.';
    if (isOtherVersion(link)) {
        return `${link.text} It may be older than the gateway: reload it. ${since}`;
    }
    if (link.name === 'refused') {
        return `${link.text} ${since}`;
    }
    if (link.name === 'connecting') {
        return link.attempt > 0 ? `Trying again. ${since}` : '';
    }
    const next = link.retryAt === undefined ? '' : ` Next try in ${secondsUntil(link.retryAt, now)} s.`;
    return `${link.name === 'offline' ? 'No network.' : lostWords[link.code] ?? 'Connection lost.'} ${since}${next}`;
}

/** Close codes after which the page comes back by itself, and why it was sent away. PROTOCOL.md, "Codes". */
const lostWords = {
    4300: 'The gateway has as many viewers as it takes.',
    4301: 'This page asked for too much at once, so the gateway ended the link.',
    4302: 'This page was too slow to read its answers, so the gateway ended the link.',
    4304: 'The gateway failed.',
};

function calmLine({ groups, oldest }, now) {
    const missing = groups.nodata?.length ?? 0;
    if (missing > 0 && Object.keys(groups).length === 1) {
        return { kind: 'calm', mark: 'nodata', text: 'No values have arrived yet.' };
    }
    const ageing = groups.ageing?.length ?? 0;
    const rest = ageing > 0 ? `${plural(ageing, 'value')} ageing, none stale.` : 'All values current.';
    const all = missing > 0 ? `${plural(missing, 'panel')} without data. ${ageing > 0 ? rest : 'All others current.'}` : rest;
    return { kind: 'calm', mark: ageing > 0 ? 'ageing' : 'fresh', text: oldest ? `${all} Oldest: ${oldest.title}, ${formatAge(oldest.asOf, now)}.` : all };
}

/** {kind: 'down'|'trouble'|'paused'|'calm', mark, text}: what the status line says now. */
export function statusOf(store, board, now) {
    if (!isUp(store.link)) {
        const text = downLine(store, board);
        if (text) {
            return { kind: 'down', mark: 'unreachable', text };
        }
    }
    if (!board.definition || !board.held.position) {
        return { kind: 'calm', mark: 'waiting', text: 'Waiting for values.' };
    }
    if (store.link.name === 'moved') {
        const seconds = secondsUntil(store.link.retryAt ?? 0, store.localNow());
        return { kind: 'calm', mark: 'waiting', text: `This gateway is being replaced. The page moves to the next one in ${seconds} s and misses nothing.` };
    }
    const summary = summaryOf(store, board, now);
    const trouble = troubleLine(summary);
    if (trouble) {
        return { kind: 'trouble', ...trouble };
    }
    if (store.isPaused) {
        const count = store.withheldCount;
        return { kind: 'paused', mark: 'paused', text: `Paused. ${count > 0 ? `${plural(count, 'change')} withheld.` : 'Nothing has changed since.'} Press space to go on.` };
    }
    return calmLine(summary, now);
}

function Status({ store, status, actions }) {
    const { link } = store;
    const canRetry = status.kind === 'down' && ['reconnecting', 'offline', 'refused'].includes(link.name);
    const isSignedOut = canRetry && link.kind === 'token';
    return html`<div class=${`status status-${status.kind}`}>
        <${Mark} name=${status.mark} /><span class="status-text" title=${status.text}>${status.text}</span>
        ${canRetry && html`<span class="status-buttons">
            ${isSignedOut && html`<button class="status-button" type="button" onClick=${actions.token}>Sign in</button>`}
            <button class="status-button" type="button" onClick=${isOtherVersion(link) ? actions.reloadPage : actions.retry}>
                ${isOtherVersion(link) ? 'Reload' : 'Try now'}</button>
        </span>`}
    </div>`;
}

// ---- header ----

class Navigation extends Component {
    /** On a narrow screen the boards scroll: the one that is shown is in sight. */
    componentDidUpdate() {
        const { boardId, store } = this.props;
        const shown = `${boardId} of ${store.list.length}`;
        if (shown !== this.shown) {
            this.shown = shown;
            this.element.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
        }
    }

    render({ store, boardId, onBoard }) {
        const follow = (id) => (event) => {
            if (!event.metaKey && !event.ctrlKey && !event.shiftKey) {
                event.preventDefault();
                onBoard(id);
            }
        };
        return html`<nav class="boards" aria-label="Boards" ref=${(element) => { this.element = element; }}>
            ${store.list.map(({ id, title }) => html`<a key=${id} href=${`?board=${encodeURIComponent(id)}`}
                aria-current=${id === boardId ? 'page' : undefined} onClick=${follow(id)}>${title}</a>`)}
        </nav>`;
    }
}

const themeWords = { auto: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark', contrast: 'Theme: high contrast' };
const themeShapes = {
    auto: 'M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12',
    light: 'M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1v1.5M8 13.5v1.5M1 8h1.5M13.5 8h1.5M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
    dark: 'M13.5 10a6 6 0 0 1-7.5-7.5a6 6 0 1 0 7.5 7.5z',
    contrast: 'M8 2a6 6 0 1 0 0 12a6 6 0 0 0 0-12zM8 4.5v7M9.8 5v6M11.6 6.2v3.6',
};

function Tool({ label, onClick, path, isPressed, isMinor, children }) {
    return html`<button class=${isMinor ? 'tool tool-minor' : 'tool'} type="button" aria-label=${label} title=${label} onClick=${onClick}
        aria-pressed=${isPressed === undefined ? undefined : String(isPressed)}>
        <svg class="mark" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path class="mark-line" d=${path} /></svg>${children}
    </button>`;
}

export function DemoBadge() {
    return html`<span class="demo" title="The numbers on this page are invented."><${Mark} name="demo" />Demo data</span>`;
}

function Header({ store, view, actions }) {
    return html`<header class="top">
        <a class="brand" href="?" onClick=${(event) => { event.preventDefault(); actions.board(store.list[0]?.id); }}>
            <svg class="brand-mark" viewBox="0 0 16 16" aria-hidden="true"><path d="M1.5 11.5l4-4l3 2.5l6-7" /></svg>Sophia</a>
        <${Navigation} store=${store} boardId=${view.boardId} onBoard=${actions.board} />
        <div class="tools">
            ${store.isDemo && html`<${DemoBadge} />`}
            <button class="chip-button" type="button" aria-haspopup="dialog" title=${chipTitle(store)} onClick=${actions.link}><${Chip} store=${store} rateS=${view.rateS} /></button>
            <${Tool} label=${store.isPaused ? 'Go on (space)' : 'Pause (space)'} isPressed=${store.isPaused} onClick=${actions.pause}
                path=${store.isPaused ? 'M4.5 2.5l8.5 5.5l-8.5 5.5z' : 'M5.5 3v10M10.5 3v10'} />
            <${Tool} label="Filter (/)" isMinor onClick=${actions.openFilter} path="M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.4 10.4l3.6 3.6" />
            <${Tool} label=${themeWords[view.theme]} isMinor onClick=${() => actions.theme()} path=${themeShapes[view.theme]} />
            <${Tool} label="View: update rate, theme, export (v)" onClick=${actions.settings} path="M2 4.5h6.5M12 4.5h2M8.5 4.5a1.75 1.75 0 1 0 3.5 0a1.75 1.75 0 0 0-3.5 0M2 11.5h2M7.5 11.5h6.5M4 11.5a1.75 1.75 0 1 0 3.5 0a1.75 1.75 0 0 0-3.5 0" />
            <${Tool} label="Keyboard shortcuts (?)" isMinor onClick=${actions.help} path="M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.5v.4M8 12.8v.4" />
        </div>
    </header>`;
}

// ---- the page ----

/** Why a board cannot be shown, for the person in front of the page; codes of the link and of HTTP. */
const boardProblems = {
    401: ['You are not signed in', 'These boards are shown to people who have signed in.'],
    403: ['You may not see this board', 'Your sign-in is valid, but this board is not among those you may see. Whoever runs the gateway can change that.'],
    404: ['There is no such board', 'It may have been renamed or removed. The boards you can see are named above.'],
    429: ['Too many connections', 'The gateway takes no more from your network just now. Try again in a moment.'],
    503: ['The gateway is starting or stopping', 'It has nothing true to show yet. Try again in a moment.'],
    4202: ['Too many boards at once', 'This page follows more boards than the gateway allows on one connection.'],
};
const sameAs = { 4103: 403, 4200: 404 };

function Problem({ error, actions }) {
    const code = sameAs[error.code] ?? error.code ?? error.status;
    const [title, text] = boardProblems[code] ?? ['This board cannot be shown', error.message];
    return html`<div class="problem"><${Mark} name="invalid" /><h2>${title}</h2><p>${text}</p>
        <p class="problem-buttons">
            ${code === 401 && html`<button class="quiet" type="button" onClick=${actions.token}>Sign in</button>`}
            ${error.retry !== false && html`<button class="quiet" type="button" onClick=${actions.reload}>Try again</button>`}
        </p></div>`;
}

function Content({ store, view, now, actions }) {
    const board = store.board(view.boardId);
    if (board.error) {
        return html`<${Problem} error=${board.error} actions=${actions} />`;
    }
    return board.definition ? html`<${Board} key=${board.id} store=${store} board=${board} now=${now} theme=${view.shownTheme}
        filter=${view.filter} walk=${view.away.walk} onOpen=${actions.details} />` : html`<p class="waiting">Loading the board.</p>`;
}

// ---- the filter ----

function Filter({ store, view, now, actions }) {
    const board = store.board(view.boardId);
    const found = board.definition ? shownCards(store, board, view.filter, now) : { shown: 0, all: 0 };
    const keyed = (event) => {
        if (event.key === 'Escape') {
            event.stopPropagation();
            actions.closeFilter();
        } else if (event.key === 'Enter') {
            document.querySelector('.card-open')?.focus();
        }
    };
    return html`<div class="filter" role="search">
        <label for="filter">Filter</label>
        <input id="filter" type="text" maxlength="100" autocomplete="off" spellcheck="false" placeholder="a word, stale, warning ..." value=${view.filter}
            onInput=${(event) => actions.filter(event.target.value)} onKeyDown=${keyed} />
        <span class="filter-count">${view.filter ? `${found.shown} of ${found.all} cards` : `${found.all} cards`}</span>
        <button class="quiet" type="button" onClick=${actions.closeFilter}>Clear</button>
    </div>`;
}

function Heading({ store, view, status, now, actions }) {
    const { definition } = store.board(view.boardId);
    const listed = store.list.find(({ id }) => id === view.boardId);
    const { title, question } = definition ?? listed ?? { title: '', question: '' };
    return html`<div class=${status.kind === 'down' ? 'heading is-down' : 'heading'}>
        <div class="heading-words"><h1 tabindex="-1">${title}</h1>${question && html`<p>${question}</p>`}</div>
        <${Status} store=${store} status=${status} actions=${actions} />
    </div>
    ${view.isFiltering && html`<${Filter} store=${store} view=${view} now=${now} actions=${actions} />`}`;
}

/** What paper must say: which board, of when, and whether the numbers are invented. */
function PrintHead({ store, view, status, now }) {
    const { definition } = store.board(view.boardId);
    return html`<p class="print-head">${store.isDemo ? 'DEMO DATA: the numbers are invented. ' : ''}${definition?.title} \u00b7 printed ${formatMoment(now)} \u00b7 ${status.text}</p>`;
}

// ---- lines at the foot: they cover, and move nothing ----

function AwayBar({ store, view, actions }) {
    const { walk } = view.away;
    if (!walk || walk.boardId !== view.boardId || view.isTv) {
        return null;
    }
    const step = walk.changed[walk.at];
    const title = step && store.board(walk.boardId).definition?.kpis[step.kpi]?.title;
    const text = step ? `${walk.at + 1} of ${walk.changed.length}: ${title}` :
        `While you were away (${formatDuration(walk.awayMs / 1000)}): ${plural(walk.changed.length, 'value')} changed.`;
    return html`<div class="foot-line away" role="group" aria-label="While you were away"><span>${text}</span>
        <button class="quiet" type="button" onClick=${actions.nextAway}>${walk.at + 1 < walk.changed.length ? 'Next' : 'Done'} <kbd>n</kbd></button>
        <button class="quiet" type="button" onClick=${actions.forgetAway}>Dismiss</button>
    </div>`;
}

function Toast({ toast, actions }) {
    return html`<div class="foot-line toast"><span>${toast.text}</span>
        ${toast.action && html`<button class="quiet" type="button" onClick=${toast.action}>${toast.label}</button>`}
        <button class="quiet" type="button" onClick=${actions.dismiss}>Dismiss</button>
    </div>`;
}

function TvBar({ store, view, status, now }) {
    const { definition } = store.board(view.boardId);
    return html`<header class="tv-bar">
        <h1>${definition?.title ?? 'Sophia'}</h1>
        <div class=${`status status-${status.kind}`}><${Mark} name=${status.mark} /><span class="status-text">${status.text}</span></div>
        ${store.isDemo && html`<${DemoBadge} />`}<${Chip} store=${store} rateS=${view.rateS} /><span class="tv-clock">${formatClock(now - store.offsetMs).slice(0, 5)}</span>
    </header>`;
}

/** Dialogs are loaded when they are first asked for. */
function Dialogs({ store, view, now, actions }) {
    const { details, sheets } = view.parts;
    const board = store.board(view.boardId);
    const kpi = board.error ? undefined : board.definition?.kpis[view.kpiId];
    return html`
        ${view.sheet && sheets && html`<${sheets.Sheet} key=${view.sheet} store=${store} view=${view} actions=${actions} />`}
        ${kpi && details && html`<${details.Details} key=${view.kpiId} store=${store} view=${view} board=${board} kpi=${kpi} now=${now} actions=${actions} />`}`;
}

export function App({ store, view, actions }) {
    const now = store.now();
    const status = statusOf(store, store.board(view.boardId), now);
    return html`<div class="page">
        ${view.isTv ? html`<${TvBar} store=${store} view=${view} status=${status} now=${now} />` : html`
            <a class="skip" href="#main">Skip to the board</a>
            <${Header} store=${store} view=${view} actions=${actions} />`}
        <main id="main" tabindex="-1">
            <${PrintHead} store=${store} view=${view} status=${status} now=${now} />
            ${!view.isTv && html`<${Heading} store=${store} view=${view} status=${status} now=${now} actions=${actions} />`}
            <${Content} store=${store} view=${view} now=${now} actions=${actions} />
        </main>
        ${(view.toast || (view.away.walk && !view.isTv)) && html`<aside class="feet" aria-label="Notices">
            <${AwayBar} store=${store} view=${view} actions=${actions} />${view.toast && html`<${Toast} toast=${view.toast} actions=${actions} />`}</aside>`}
        <div class="hidden" role="status">${view.voice?.polite}</div>
        <div class="hidden" role="alert">${view.voice?.alert}</div>
        ${view.isLinkOpen && view.linkParts && html`<${view.linkParts.LinkPanel} ...${view.linkParts} store=${store} word=${chipOf(store).word} onClose=${actions.closeLink} />`}
        <${Dialogs} store=${store} view=${view} now=${now} actions=${actions} />
    </div>`;
}
