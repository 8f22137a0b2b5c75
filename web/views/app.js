/*
 * The page around a board: header, link chip, the line that says how far the values can be trusted, help.
 *
 * The status line is always there and always one line high: what it says changes, the page does not move.
 */
import { Component } from 'preact';
import { TROUBLES } from '../client/freshness.js';
import { formatAge, formatClock, formatDuration } from '../client/format.js';
import { Board, cardState } from './board.js';
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

function chipNote(store, name) {
    const { link } = store;
    if (name === 'paused') {
        return store.withheldCount > 0 ? `${store.withheldCount} withheld` : '';
    }
    if (link.retryAt !== undefined && !isUp(link)) {
        return `try ${link.attempt || 1} in ${secondsUntil(link.retryAt, store.localNow())} s`;
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

function Chip({ store }) {
    const { name, mark, word } = chipOf(store);
    return html`<div class=${`chip chip-${name}`} title=${chipTitle(store)}>
        <${Mark} name=${mark} /><span class="chip-word">${word}</span><span class="chip-note">${chipNote(store, name)}</span>
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

function downLine(store, board) {
    const { link } = store;
    const now = store.localNow();
    const since = board.knownUntil ? `Values are from ${formatClock(board.knownUntil - store.offsetMs)}, ${formatAge(board.knownUntil, store.now())}.` : 'Nothing has been received yet.';
    if (link.name === 'refused') {
        return `${link.text} ${since}`;
    }
    if (link.name === 'connecting') {
        return link.attempt > 0 ? `Trying again. ${since}` : '';
    }
    const next = link.retryAt === undefined ? '' : ` Next try in ${secondsUntil(link.retryAt, now)} s.`;
    return `${link.name === 'offline' ? 'No network.' : 'Connection lost.'} ${since}${next}`;
}

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

function Status({ store, status, onRetry }) {
    const canRetry = status.kind === 'down' && ['reconnecting', 'offline', 'refused'].includes(store.link.name);
    return html`<div class=${`status status-${status.kind}`}>
        <${Mark} name=${status.mark} /><span class="status-text" title=${status.text}>${status.text}</span>
        ${canRetry && html`<button class="status-button" type="button" onClick=${onRetry}>Try now</button>`}
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

const themeWords = { auto: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark' };
const themeShapes = {
    auto: 'M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12',
    light: 'M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1v1.5M8 13.5v1.5M1 8h1.5M13.5 8h1.5M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
    dark: 'M13.5 10a6 6 0 0 1-7.5-7.5a6 6 0 1 0 7.5 7.5z',
};

function Tool({ label, onClick, path, isPressed, children }) {
    return html`<button class="tool" type="button" aria-label=${label} title=${label} onClick=${onClick}
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
            <button class="chip-button" type="button" aria-haspopup="dialog" title=${chipTitle(store)} onClick=${actions.link}><${Chip} store=${store} /></button>
            <${Tool} label=${store.isPaused ? 'Go on (space)' : 'Pause (space)'} isPressed=${store.isPaused} onClick=${actions.pause}
                path=${store.isPaused ? 'M4.5 2.5l8.5 5.5l-8.5 5.5z' : 'M5.5 3v10M10.5 3v10'} />
            <${Tool} label=${themeWords[view.theme]} onClick=${actions.theme} path=${themeShapes[view.theme]} />
            <${Tool} label="Keyboard shortcuts (?)" onClick=${actions.help} path="M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.5v.4M8 12.8v.4" />
        </div>
    </header>`;
}

// ---- help ----

function shortcutsOf(store) {
    return [
        ...store.list.map(({ id, title }) => [`g ${id[0]}`, `${title} board`]),
        ['space', 'Pause, and go on'],
        ['t', 'TV view'],
        ['d', 'Density'],
        ['l', 'Link: delays, positions, gateway'],
        ['?', 'This help'],
        ['Esc', 'Close, leave the TV view'],
    ];
}

class Help extends Component {
    componentDidMount() {
        this.dialog.showModal();
    }

    render({ store, onClose }) {
        return html`<dialog class="help" aria-labelledby="help-title" onClose=${onClose} ref=${(dialog) => { this.dialog = dialog; }}>
            <h2 id="help-title">Keyboard shortcuts</h2>
            <dl>${shortcutsOf(store).map(([keys, text]) => html`<div key=${keys}><dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl>
            <button class="quiet" type="button" autofocus onClick=${() => this.dialog.close()}>Close</button>
        </dialog>`;
    }
}

// ---- the page ----

function Problem({ title, text, onRetry }) {
    return html`<div class="problem"><${Mark} name="invalid" /><h2>${title}</h2><p>${text}</p>
        ${onRetry && html`<button class="quiet" type="button" onClick=${onRetry}>Try again</button>`}</div>`;
}

function Content({ store, view, now, actions }) {
    const board = store.board(view.boardId);
    if (board.error) {
        return html`<${Problem} title="This board cannot be shown" text=${board.error.message} onRetry=${board.error.retry !== false && actions.reload} />`;
    }
    return board.definition ? html`<${Board} key=${board.id} store=${store} board=${board} now=${now} theme=${view.shownTheme} />` :
        html`<p class="waiting">Loading the board.</p>`;
}

function Heading({ store, view, status, actions }) {
    const { definition } = store.board(view.boardId);
    const listed = store.list.find(({ id }) => id === view.boardId);
    const { title, question } = definition ?? listed ?? { title: '', question: '' };
    return html`<div class=${status.kind === 'down' && !view.isTv ? 'heading is-down' : 'heading'}>
        <div class="heading-words"><h1 tabindex="-1">${title}</h1>${question && html`<p>${question}</p>`}</div>
        ${!view.isTv && html`<${Status} store=${store} status=${status} onRetry=${actions.retry} />`}
    </div>`;
}

function TvBar({ store, view, status, now }) {
    const { definition } = store.board(view.boardId);
    return html`<header class="tv-bar">
        <h1>${definition?.title}</h1>
        <div class=${`status status-${status.kind}`}><${Mark} name=${status.mark} /><span class="status-text">${status.text}</span></div>
        ${store.isDemo && html`<${DemoBadge} />`}<${Chip} store=${store} /><span class="tv-clock">${formatClock(now - store.offsetMs).slice(0, 5)}</span>
    </header>`;
}

export function App({ store, view, actions }) {
    const now = store.now();
    const status = statusOf(store, store.board(view.boardId), now);
    return html`<div class="page">
        ${view.isTv ? html`<${TvBar} store=${store} view=${view} status=${status} now=${now} />` : html`
            <a class="skip" href="#main">Skip to the board</a>
            <${Header} store=${store} view=${view} actions=${actions} />`}
        <main id="main" tabindex="-1">
            ${!view.isTv && html`<${Heading} store=${store} view=${view} status=${status} actions=${actions} />`}
            <${Content} store=${store} view=${view} now=${now} actions=${actions} />
        </main>
        <div class="hidden" role="status">${view.announcement}</div>
        ${view.isHelpOpen && html`<${Help} store=${store} onClose=${actions.closeHelp} />`}
        ${view.isLinkOpen && view.linkParts && html`<${view.linkParts.LinkPanel} ...${view.linkParts} store=${store} word=${chipOf(store).word} onClose=${actions.closeLink} />`}
    </div>`;
}
