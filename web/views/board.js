/*
 * A board: its layout rows, and one card per KPI. Tiles show one number or state; panels.js shows the rest.
 *
 * A card is drawn again only when what it shows has changed: its KPI's version, its age in words, its freshness.
 * There is no knowledge of any KPI here, only of types and units.
 */
import { Component } from 'preact';
import { freshnessOf, freshnessWord, troubleText } from '../client/freshness.js';
import {
    bandWord, formatAge, formatDelta, formatExact, formatMoment, formatParts, formatValue,
} from '../client/format.js';
import { html, levelWords, Mark, Pill } from './parts.js';
import { panelBody } from './panels.js';

/** State word, shape and age: the line every card ends with. */
export function Freshness({ freshness, age, moment, text }) {
    return html`<p class=${`freshness is-${freshness}`} title=${moment}>
        <${Mark} name=${freshness} /><span class="freshness-word">${freshnessWord(freshness)}</span>
        ${age && html`<span class="freshness-age">${age}</span>`}
        ${text && html`<span class="freshness-reason" title=${text}>${text}</span>`}
    </p>`;
}

// ---- sparkline ----

const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 32;

function sparkPath(points) {
    const values = points.map(([, v]) => (v === null || v === undefined ? NaN : Number(v)));
    const known = values.filter(Number.isFinite);
    const low = Math.min(...known);
    const span = Math.max(...known) - low || 1;
    let path = '';
    let isDown = false;
    let end = '';
    values.forEach((value, i) => {
        if (!Number.isFinite(value)) {
            isDown = false;
            return;
        }
        const x = ((i * SPARK_WIDTH) / Math.max(1, values.length - 1)).toFixed(1);
        const y = (SPARK_HEIGHT - 3 - ((value - low) / span) * (SPARK_HEIGHT - 6)).toFixed(1);
        path += `${isDown ? 'L' : 'M'}${x} ${y}`;
        end = `M${x} ${y}h0`;
        isDown = true;
    });
    return { path, end, known };
}

/** The end is a line of no length with a round cap: it stays a dot however the drawing is stretched. */
function Sparkline({ points, kpi }) {
    if (!points || points.length < 2) {
        return html`<span class="spark" />`;
    }
    const { path, end, known } = sparkPath(points);
    const label = known.length === 0 ? 'no points' : `${points.length} points, lowest ${
        formatValue(Math.min(...known), kpi)}, highest ${formatValue(Math.max(...known), kpi)}`;
    return html`<svg class="spark" viewBox=${`-5 0 ${SPARK_WIDTH + 10} ${SPARK_HEIGHT}`} preserveAspectRatio="none"
        role="img" aria-label=${`Recent history: ${label}`}>
        <path class="spark-line" d=${path} /><path class="spark-end" d=${end} />
    </svg>`;
}

// ---- tiles ----

export function Delta({ value, kpi }) {
    const delta = formatDelta(value?.v, value?.base, kpi);
    if (!delta) {
        return kpi.compare && html`<p class="delta" />`;
    }
    const label = kpi.compare_label ?? '';
    return html`<p class=${`delta is-${delta.verdict}`}>
        <span class="delta-change"><span aria-hidden="true">${delta.arrow}${' '}</span>${delta.text}</span>
        ${label && html`<span class="delta-label">${/^vs\b|^than\b/.test(label) ? label : `vs ${label}`}</span>`}
    </p>`;
}

const targetWords = { pace: 'pace', plan: 'plan', limit: 'limit', usual: 'usual' };

function targetText({ value, kpi }) {
    if (value?.target === undefined || value.v === undefined || typeof value.v === 'object') {
        return '';
    }
    const word = kpi.target?.label ?? targetWords[kpi.target?.kind] ?? 'target';
    const share = Number(value.v) / Number(value.target);
    const text = `${word} ${formatValue(value.target, kpi)}`;
    return kpi.unit === 'money' && Number.isFinite(share) ? `${Math.round(share * 100)}% of ${text}` : capitalised(text);
}

function Companions({ companions }) {
    return companions.map(({ kpi, value }) => html`<span class="companion" key=${kpi.id}>
        ${kpi.title}${' '}<data value=${formatExact(value?.v, kpi)}>${formatValue(value?.v, kpi)}</data>
    </span>`);
}

const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function stateOf(value, kpi) {
    const state = value?.v === undefined ? undefined : kpi.states?.[value.v];
    return { title: capitalised(state?.title ?? String(value?.v ?? '\u2014')), level: state?.level ?? 'info' };
}

export function StateValue({ value, kpi }) {
    const { title, level } = stateOf(value, kpi);
    return html`<p class="value value-state">
        ${value?.v !== undefined && html`<${Mark} name=${level} />`}<span class="value-text">${title}</span>
    </p>`;
}

export function NumberValue({ value, kpi }) {
    const { prefix, digits, suffix } = formatParts(value?.v, kpi);
    const exact = formatExact(value?.v, kpi);
    const word = bandWord(value?.v, value?.v === undefined ? [] : kpi.bands);
    const isWord = kpi.unit === 'text' || kpi.unit === 'none';
    return html`<p class=${`value${isWord ? ' value-words' : ''}`}>
        <data class="value-text" value=${exact} title=${exact}>${prefix && html`<span class="value-prefix">${prefix}</span>`}${digits}${suffix &&
            html`<span class="value-suffix">${suffix}</span>`}</data>
        ${word && html`<span class="value-word">${word}</span>`}
    </p>`;
}

/** A value in trouble says why, in the place of its change: the change of a value one cannot rely on says nothing. */
function Tile({ kpi, value, points, companions, trouble }) {
    const target = targetText({ value, kpi });
    return html`
        <div class="tile-main">
            ${kpi.type === 'state' ? html`<${StateValue} value=${value} kpi=${kpi} />` :
                html`<${NumberValue} value=${value} kpi=${kpi} />`}
            ${kpi.history && html`<${Sparkline} points=${points} kpi=${kpi} />`}
        </div>
        <div class="tile-notes">
            ${trouble ? html`<p class="delta trouble" title=${trouble}>${trouble}</p>` : html`<${Delta} value=${value} kpi=${kpi} />`}
            ${(target || companions.length > 0) && html`<p class="tile-extra">
                ${target && html`<span class="target">${target}</span>`}<${Companions} companions=${companions} />
            </p>`}
        </div>`;
}

// ---- cards ----

const TILE_TYPES = new Set(['gauge', 'counter', 'state']);
const FLASH_EVERY_MS = 1000;
const WATCHED = ['kpi', 'version', 'freshness', 'age', 'points', 'minute', 'theme', 'companionKey', 'span', 'rowFilter', 'step', 'markers'];

export function levelOf(kpi, value) {
    return kpi.type === 'state' ? stateOf(value, kpi).level : value?.level;
}

class Card extends Component {
    shouldComponentUpdate(next) {
        return WATCHED.some((name) => next[name] !== this.props[name]);
    }

    /** Two names of one animation: swapping them starts it again. At most once per second, and only for another value. */
    flashClass() {
        const { changes, value } = this.props.entry;
        const now = Date.now();
        const isChange = this.seen?.v !== undefined && this.seen.changes !== changes && this.seen.v !== value?.v;
        if (isChange && now - (this.flashedAt ?? 0) >= FLASH_EVERY_MS) {
            this.flashedAt = now;
            this.flash = this.flash === 'flash-a' ? 'flash-b' : 'flash-a';
        }
        this.seen = { changes, v: value?.v };
        return this.flash ?? '';
    }

    /** A tile opens wherever it is clicked, except while text is being selected; by keyboard its title does. */
    clicked = (event) => {
        const { kpi, onOpen } = this.props;
        if (TILE_TYPES.has(kpi.type) && !event.target.closest('button, a') && String(getSelection()) === '') {
            onOpen(kpi.id);
        }
    };

    render({ kpi, entry, freshness, age, asOf, span, points, companions, now, theme, step, markers, kpis, onOpen }) {
        const isTile = TILE_TYPES.has(kpi.type);
        const level = levelOf(kpi, entry.value);
        const trouble = troubleText(freshness, entry.value?.reason);
        const id = `card-${kpi.id}`;
        const classes = ['card', `span-${span}`, isTile ? 'tile' : `panel panel-${kpi.type}`, `card-${freshness}`,
            level ? `level-${level}` : '', step ? 'card-away' : '', kpi.display ? `display-${kpi.display}` : '',
            isTile ? this.flashClass() : ''];
        return html`<article class=${classes.filter(Boolean).join(' ')} aria-labelledby=${id} data-kpi=${kpi.id} onClick=${this.clicked}>
            <header class="card-head">
                <h2 id=${id}><button class="card-open" type="button" title=${kpi.about} onClick=${() => onOpen(kpi.id)}>${kpi.title}</button></h2>
                ${step && step.was !== undefined && typeof step.was !== 'object' && html`<span class="was">was ${
                    kpi.type === 'state' ? stateOf({ v: step.was }, kpi).title : formatValue(step.was, kpi)}</span>`}
            </header>
            ${isTile ? html`<${Tile} kpi=${kpi} value=${entry.value} points=${points} companions=${companions} trouble=${trouble} />` :
                panelBody({ kpi, entry, now, theme, markers, kpis })}
            <footer class="card-foot">
                <${Freshness} freshness=${freshness} age=${age} text=${isTile ? '' : trouble}
                    moment=${asOf ? `As of ${formatMoment(asOf)}` : undefined} />
                ${entry.value?.state === 'partial' && html`<${Pill} level="info" word="Partial" />`}
                ${(level === 'warn' || level === 'crit') && kpi.type !== 'state' && html`<${Pill} level=${level} />`}
            </footer>
        </article>`;
    }
}

export const hasRows = (kpi) => kpi.type === 'table' || kpi.type === 'feed' || kpi.type === 'series';

/** Freshness of a card; 'waiting' until the board has been received, and rows without any entry are simply empty. */
export function cardState(store, board, kpi, now) {
    const entry = board.entry(kpi.id);
    const limits = board.definition.classes?.[kpi.class] ?? null;
    if (!board.held.position) {
        return { entry, freshness: 'waiting' };
    }
    const { asOf } = entry;
    if (hasRows(kpi) && entry.rows.size === 0) {
        return { entry, freshness: 'nodata' };
    }
    const value = hasRows(kpi) ? { as_of: asOf } : entry.value;
    return { entry, asOf, freshness: freshnessOf(value, limits, store.isSourceUp(kpi), now) };
}

function companionsOf(board, kpi) {
    return (kpi.with ?? []).filter((id) => board.definition.kpis[id])
        .map((id) => ({ kpi: board.definition.kpis[id], value: board.entry(id).value, version: board.entry(id).version }));
}

// ---- the filter: a card matches by its name, its state, or the text of a row; then only those rows are shown ----

const wordsOf = (filter) => filter.toLowerCase().split(/\s+/).filter(Boolean);
const isIn = (text, words) => words.every((word) => text.includes(word));

function cardText(kpi, entry, freshness) {
    return [kpi.title, kpi.id, kpi.about, freshnessWord(freshness), levelWords[levelOf(kpi, entry.value)], entry.value?.v].join(' ').toLowerCase();
}

const rowText = ([key, { v }]) => `${key} ${typeof v === 'object' ? Object.values(v).join(' ') : v}`.toLowerCase();

/** {isShown, rows}: rows is undefined when the card is shown whole. */
function match(kpi, entry, freshness, words) {
    if (words.length === 0 || isIn(cardText(kpi, entry, freshness), words)) {
        return { isShown: true };
    }
    const rows = [...entry.rows].filter((row) => isIn(rowText(row), words));
    return { isShown: rows.length > 0, rows: new Map(rows) };
}

export function shownCards(store, board, filter, now) {
    const cards = board.definition.layout.flatMap(({ row }) => row.map(({ kpi }) => board.definition.kpis[kpi])).filter(Boolean);
    const shown = cards.filter((kpi) => {
        const { entry, freshness } = cardState(store, board, kpi, now);
        return match(kpi, entry, freshness, wordsOf(filter)).isShown;
    });
    return { shown: shown.length, all: cards.length };
}

// ---- markers: what was decided, on every line over time of the board ----

/** Rows of the board's timelines: {at, title}, oldest first. */
function markersOf(board) {
    const markers = [];
    for (const kpi of Object.values(board.definition.kpis)) {
        const time = kpi.display === 'timeline' && kpi.columns?.find(({ unit }) => unit === 'time');
        for (const { v } of time ? board.entry(kpi.id).rows.values() : []) {
            const at = typeof v?.[time.key] === 'number' ? v[time.key] : Date.parse(v?.[time.key]);
            if (Number.isFinite(at)) {
                markers.push({ at, title: String(v.title ?? kpi.title) });
            }
        }
    }
    return markers.sort((a, b) => a.at - b.at);
}

/** The same list as long as nothing in it changed, so that charts are not drawn for nothing. */
export function markersOn(board) {
    const version = Object.values(board.definition.kpis).filter(({ display }) => display === 'timeline').map(({ id }) => board.entry(id).version).join();
    if (board.markerVersion !== version || board.markerDefinition !== board.definition) {
        Object.assign(board, { markerVersion: version, markerDefinition: board.definition, markers: markersOf(board) });
    }
    return board.markers;
}

function BoardCard({ store, board, kpi, span, now, theme, words, walk, markers, onOpen }) {
    const { entry, asOf, freshness } = cardState(store, board, kpi, now);
    const { isShown, rows } = match(kpi, entry, freshness, words);
    if (!isShown) {
        return null;
    }
    const companions = companionsOf(board, kpi);
    const step = walk?.boardId === board.id ? walk.changed[walk.at] : undefined;
    return html`<${Card} kpi=${kpi} entry=${rows ? { ...entry, rows } : entry} version=${entry.version} freshness=${freshness} asOf=${asOf}
        age=${asOf === undefined ? '' : formatAge(asOf, now)} points=${board.points(kpi.id)} now=${now} theme=${theme}
        minute=${Math.floor(now / 60000)} span=${span} companions=${companions} rowFilter=${rows ? words.join(' ') : ''}
        companionKey=${companions.map(({ version }) => version).join()} step=${step?.kpi === kpi.id ? step : undefined} markers=${markers} kpis=${board.definition.kpis} onOpen=${onOpen} />`;
}

function rowKind(row, kpis) {
    if (row.every(({ kpi }) => TILE_TYPES.has(kpis[kpi]?.type))) {
        return 'row-tiles';
    }
    return row.every(({ kpi }) => kpis[kpi]?.display === 'strip') ? 'row-strip' : 'row-panels';
}

export function Board({ store, board, now, theme, filter, walk, onOpen }) {
    const { layout, kpis } = board.definition;
    const words = wordsOf(filter);
    const markers = markersOn(board);
    const isEmpty = words.length > 0 && shownCards(store, board, filter, now).shown === 0;
    return html`<div class=${words.length > 0 ? 'board is-filtered' : 'board'}>
        ${isEmpty && html`<p class="nothing">Nothing on this board matches \u201c${filter}\u201d.</p>`}
        ${layout.map(({ row, section }, index) => html`
        ${section && html`<h2 class="section" key=${`section ${section}`}>${section}</h2>`}
        <div class=${`row ${rowKind(row, kpis)}`} key=${index}>${row.filter(({ kpi }) => kpis[kpi]).map(({ kpi, span }) => html`
            <${BoardCard} key=${kpi} store=${store} board=${board} kpi=${kpis[kpi]} span=${span ?? 12} now=${now} theme=${theme}
                words=${words} walk=${walk} markers=${markers} onOpen=${onOpen} />`)}
        </div>`)}
    </div>`;
}
