/*
 * What does not fit one number: parts of a whole, tables, feeds, series, strips of states, heat maps.
 *
 * Everything drawn has its numbers beside it as text or a table. Text of producers goes in as text nodes only.
 */
import { Component } from 'preact';
import { freshnessWord } from '../client/freshness.js';
import { formatDuration, formatTime, formatValue } from '../client/format.js';
import { compareKeys } from '../client/protocol.js';
import { html, Mark } from './parts.js';

// ---- cells ----

const levelOfWord = {
    critical: 'crit', crit: 'crit', high: 'crit', error: 'crit', failed: 'crit', down: 'crit', offline: 'crit',
    expired: 'crit', invalid: 'crit', unreachable: 'crit',
    unhealthy: 'crit', firing: 'crit', warning: 'warn', warn: 'warn', medium: 'warn', moderate: 'warn', degraded: 'warn',
    'half-open': 'warn', half_open: 'warn', late: 'warn', stale: 'warn', pending: 'warn', partial: 'warn', ok: 'ok',
    up: 'ok', healthy: 'ok', success: 'ok', succeeded: 'ok', done: 'ok', closed: 'ok', resolved: 'ok', fresh: 'ok',
    connected: 'ok', current: 'ok',
};

const worded = (text) => {
    if (text === 'nodata') {
        return freshnessWord(text);
    }
    const words = String(text).replaceAll('_', ' ');
    return words.charAt(0).toUpperCase() + words.slice(1);
};

/** `levels` of the column judge a word ({"open": "crit"}); without them the usual words speak for themselves. */
function StateWord({ value, column }) {
    const level = column?.levels?.[value] ?? levelOfWord[String(value).toLowerCase()] ?? 'info';
    return html`<span class=${`state-word is-${level}`}><${Mark} name=${level} />${worded(value)}</span>`;
}

function cell(value, column, kpi, now) {
    if (value === undefined || value === null || value === '') {
        return html`<span class="absent">${'\u2014'}</span>`;
    }
    switch (column.unit) {
    case 'severity':
    case 'state':
        return html`<${StateWord} value=${value} column=${column} />`;
    case 'time':
        return formatTime(value, now);
    case 'duration':
        return formatDuration(Number(value));
    default:
        if (typeof value === 'object') {
            return Array.isArray(value) ? value.join(', ') : JSON.stringify(value);
        }
        if (typeof value === 'string' && ISO_DAY.test(value)) {
            return formatTime(value, now);
        }
        return formatValue(value, { ...column, currency: kpi.currency, precision: column.decimals ?? (column.unit === 'percent' ? 0 : undefined) });
    }
}

const ISO_DAY = /^\d{4}-\d{2}-\d{2}$/;
const LEFT_UNITS = new Set(['text', 'none', 'severity', 'state', undefined]);
const alignOf = (column) => (LEFT_UNITS.has(column.unit) ? 'left' : 'right');

/** The row's own key, shown where no column names the row. No member can be called this. */
const KEY = ' key';

/**
 * Columns as defined, behind the row key when the first of them does not name the row; without a definition, the
 * members of the first row.
 */
function columnsOf(kpi, entry) {
    if (kpi.columns?.length) {
        const [first] = kpi.columns;
        const isNamed = kpi.type !== 'table' || first.unit === 'text' || kpi.columns.some(({ key }) => key === 'title' || key === 'name');
        return isNamed ? kpi.columns : [{ key: KEY, title: 'Name', unit: 'text' }, ...kpi.columns];
    }
    const [first] = entry.rows.values();
    const keys = typeof first?.v === 'object' ? Object.keys(first.v) : ['v'];
    return keys.map((key) => ({ key, title: worded(key), unit: key === 'v' ? kpi.unit : undefined }));
}

function memberOf(value, key) {
    if (typeof value?.v === 'object') {
        return Object.hasOwn(value.v, key) ? value.v[key] : undefined;
    }
    return key === 'v' ? value?.v : undefined;
}

// ---- rows ----

class Row extends Component {
    shouldComponentUpdate(next) {
        return next.rev !== this.props.rev || next.minute !== this.props.minute || next.columns !== this.props.columns;
    }

    /** Only a row that has just come is marked: tables whose rows tick every second would glow for ever. */
    render({ draw, isNew }) {
        this.flash ??= isNew ? 'flash-a' : '';
        return draw(this.flash);
    }
}

/** Knows whether it was drawn before, so that only rows that come later are marked as new. */
class Rows extends Component {
    render({ tag, className, rows, draw, minute, columns }) {
        const isNew = this.wasDrawn === true;
        this.wasDrawn = this.wasDrawn || rows.length > 0;
        return html`<${tag} class=${className} role=${tag === 'ol' ? 'list' : undefined}>${rows.map(([key, value]) => html`
            <${Row} key=${key} rev=${value.rev} isNew=${isNew} minute=${minute} columns=${columns}
                draw=${(flash) => draw(key, value, flash)} />`)}
        </${tag}>`;
    }
}

// ---- tables ----

function compareCells(a, b) {
    if (a === undefined || b === undefined) {
        return Number(a === undefined) - Number(b === undefined);
    }
    const [x, y] = [Number(a), Number(b)];
    if (Number.isFinite(x) && Number.isFinite(y)) {
        return x - y;
    }
    return String(a) < String(b) ? -1 : Number(String(a) > String(b));
}

export function sortedRows(entry, columns) {
    const sort = columns.find((column) => column.sort);
    const sign = sort?.sort === 'desc' ? -1 : 1;
    return [...entry.rows].sort(([keyA, a], [keyB, b]) => {
        const order = sort ? sign * compareCells(memberOf(a, sort.key), memberOf(b, sort.key)) : 0;
        return order || compareKeys(keyA, keyB);
    });
}

export function Table({ kpi, entry, now, rows, columns }) {
    const drawRow = (key, value, flash) => html`<tr class=${flash}>${columns.map((column, i) => {
        const content = cell(column.key === KEY ? key : memberOf(value, column.key), column, kpi, now);
        return i === 0 ?
            html`<th scope="row" class=${alignOf(column)}>${content}</th>` :
            html`<td class=${alignOf(column)} data-label=${column.title}>${content}</td>`;
    })}</tr>`;
    return html`<div class="table-wrap" tabindex="0" role="region" aria-label=${kpi.title}><table>
        <thead><tr>${columns.map((column) => html`<th scope="col" class=${alignOf(column)}>${column.title}</th>`)}</tr></thead>
        <${Rows} tag="tbody" rows=${rows ?? sortedRows(entry, columns)} draw=${drawRow}
            minute=${Math.floor(now / 60000)} columns=${columns} />
    </table></div>`;
}

// ---- feeds ----

const LONG_TEXT = 60;

/** The first text is the title, long texts are paragraphs, times go to the right, the rest is small print. */
function feedItem(value, columns, kpi, now) {
    const filled = columns.map((column) => ({ column, content: memberOf(value, column.key) }))
        .filter(({ content }) => content !== undefined && content !== null && content !== '');
    const isText = ({ column }) => column.unit === 'text' || column.unit === undefined;
    const severity = filled.find(({ column }) => column.unit === 'severity');
    const title = filled.find((item) => isText(item) && item.column.key === 'title') ?? filled.find(isText);
    const time = filled.find(({ column }) => column.unit === 'time');
    const rest = filled.filter((item) => item !== severity && item !== title && item !== time);
    const isBody = (item) => isText(item) && String(item.content).length > LONG_TEXT;
    return { severity, title, time: time?.content ?? value.as_of, body: rest.filter(isBody), small: rest.filter((item) => !isBody(item)) };
}

/** A row that names a KPI of this board names it as people do. */
const named = (column, content, kpis) => (column.key === 'kpi' ? kpis?.[content]?.title ?? content : content);

function Feed({ kpi, entry, now, kpis }) {
    const columns = columnsOf(kpi, entry);
    const rows = [...entry.rows].sort(([, a], [, b]) => (b.rev ?? 0) - (a.rev ?? 0));
    const draw = (key, value, flash) => {
        const { severity, title, time, body, small } = feedItem(value, columns, kpi, now);
        return html`<li class=${`feed-item ${flash}`}>
            <div class="feed-head">
                ${severity && html`<${StateWord} value=${severity.content} column=${severity.column} />`}
                <strong class="feed-title">${title ? String(title.content) : key}</strong>
                ${time !== undefined && html`<span class="feed-time">${formatTime(time, now)}</span>`}
            </div>
            ${body.map(({ column, content }) => html`<p class="feed-body">
                ${column.title !== 'Body' && column.title !== 'Text' && html`<span class="feed-label">${column.title}</span>${' '}`}${String(content)}</p>`)}
            ${small.length > 0 && html`<p class="feed-small">${small.map(({ column, content }) => html`
                <span><span class="feed-label">${column.title}</span>${' '}${cell(named(column, content, kpis), column, kpi, now)}</span>`)}</p>`}
        </li>`;
    };
    return html`<div class="feed-wrap" tabindex="0" role="region" aria-label=${kpi.title}>
        <${Rows} tag="ol" className="feed" rows=${rows} draw=${draw} minute=${Math.floor(now / 60000)} columns=${columns} />
    </div>`;
}

// ---- parts of a whole ----

function partsOf(kpi, value) {
    const counts = typeof value?.v === 'object' ? value.v : {}; // a part that did not arrive is absent, never 0
    const parts = kpi.parts ?? Object.keys(counts).map((key) => ({ key, title: worded(key) }));
    const known = parts.map((part, index) => ({ ...part, index, count: Object.hasOwn(counts, part.key) ? Number(counts[part.key]) : undefined }));
    const total = known.reduce((sum, { count }) => sum + Math.max(0, count ?? 0), 0);
    let start = 0;
    return known.map((part) => {
        const share = total > 0 ? Math.max(0, part.count ?? 0) / total : 0;
        start += share;
        return { ...part, share, start: start - share };
    });
}

function Mix({ kpi, value }) {
    const parts = partsOf(kpi, value);
    const unit = { ...kpi, unit: kpi.unit === 'none' || kpi.unit === 'percent' ? 'number' : kpi.unit ?? 'number', precision: 0 };
    return html`<div class="mix">
        <svg class="mix-bar" aria-hidden="true" focusable="false">${parts.map(({ key, index, start, share }) => html`
            <rect key=${key} class=${`part-${index % 6}`} x=${`${(start * 100).toFixed(2)}%`} y="0"
                width=${`${(share * 100).toFixed(2)}%`} height="100%" />`)}
        </svg>
        <table class="mix-table"><thead class="hidden"><tr><th scope="col">Part</th><th scope="col">Number</th><th scope="col">Share</th></tr></thead>
        <tbody>${parts.map(({ key, title, index, count, share }) => html`<tr key=${key}>
            <th scope="row"><svg class=${`swatch part-${index % 6}`} viewBox="0 0 8 8" aria-hidden="true"><rect width="8" height="8" rx="1.5" /></svg>${title}</th>
            <td class="mix-count">${formatValue(count, unit)}</td><td class="mix-share">${count === undefined ? '' : `${(share * 100).toFixed(0)}%`}</td>
        </tr>`)}</tbody></table>
    </div>`;
}

// ---- strips of states ----

/** One mark per row: the first text names it, the first state judges it, a time says when. */
function Strip({ kpi, entry, now }) {
    const columns = columnsOf(kpi, entry);
    const first = (unit) => columns.find((column) => column.unit === unit);
    const [name, state, time] = [first('text') ?? { key: KEY }, first('state') ?? first('severity'), first('time')];
    const rest = columns.filter((column) => ![name, state, time].includes(column));
    return html`<ul class="strip" role="list">${sortedRows(entry, columns).map(([key, value]) => html`<li key=${key}>
        <span class="strip-name">${name.key === KEY ? key : String(memberOf(value, name.key) ?? key)}</span>
        ${state && html`<${StateWord} value=${memberOf(value, state.key) ?? 'unknown'} column=${state} />`}
        ${time && html`<span class="strip-time">${cell(memberOf(value, time.key), time, kpi, now)}</span>`}
        <span class="strip-rest">${rest.filter((column) => memberOf(value, column.key) !== undefined).map((column) => html`
            <span><span class="feed-label">${column.title}</span>${' '}${cell(memberOf(value, column.key), column, kpi, now)}</span>`)}</span>
    </li>`)}</ul>`;
}

// ---- heat maps ----

/**
 * Two readings of a series of cells. Rows that name a second dimension in a text column are turned into a grid of
 * that column by time; otherwise each row is a line and each numeric column a cell.
 */
export function heatGrid(kpi, entry) {
    const columns = columnsOf(kpi, entry);
    const rows = [...entry.rows].sort(([a], [b]) => compareKeys(a, b));
    const isMoment = (column) => column.unit === 'time' ||
        (column.unit === 'text' && rows.every(([, value]) => ISO_DAY.test(memberOf(value, column.key))));
    const moment = columns.find(isMoment);
    const lane = columns.find((column) => column.unit === 'text' && column !== moment);
    const number = columns.find((column) => alignOf(column) === 'right' && column !== moment);
    if (!lane || !number) {
        const cells = columns.filter((column) => alignOf(column) === 'right' && column !== moment);
        return {
            across: rows.map(([key]) => key),
            lanes: cells.map((column) => ({ title: column.title, column, values: new Map(rows.map(([key, value]) => [key, memberOf(value, column.key)])) })),
        };
    }
    const across = new Set();
    const lanes = new Map();
    for (const [key, value] of rows) {
        const at = String((moment && memberOf(value, moment.key)) ?? key.split(/[|/#]/)[0]);
        const title = String(memberOf(value, lane.key) ?? key);
        across.add(at);
        if (!lanes.has(title)) {
            lanes.set(title, { title, column: number, values: new Map() });
        }
        lanes.get(title).values.set(at, memberOf(value, number.key));
    }
    const order = (a, b) => (Number.isFinite(Number(a)) && Number.isFinite(Number(b)) ? a - b : compareKeys(a, b));
    return { across: [...across].sort(order), lanes: [...lanes.values()].sort((a, b) => compareKeys(a.title, b.title)) };
}

const HEAT_STEPS = 5;

/** Small grades are their own step; larger numbers are measured against the largest. */
function heatStep(value, high) {
    if (value === undefined || value === null) {
        return 'none';
    }
    const step = high <= HEAT_STEPS ? Number(value) : (Number(value) / high) * HEAT_STEPS;
    return Math.min(HEAT_STEPS, Math.max(1, Math.round(step)));
}

/** '2026-11-08' -> '8 Nov'; anything else stays as it is. */
const shortDay = (at) => (ISO_DAY.test(at) ? formatTime(at).replace(/ \d{4}$/, '') : at);

/** A table whose cells are coloured: the numbers are in it, so it is its own alternative. */
function Heat({ kpi, entry }) {
    const { across, lanes } = heatGrid(kpi, entry);
    const numbers = lanes.flatMap(({ values }) => [...values.values()]).map(Number).filter(Number.isFinite);
    const high = Math.max(...numbers, 1);
    return html`<div class="table-wrap" tabindex="0" role="region" aria-label=${kpi.title}><table class="heat">
        <thead><tr><td />${across.map((at) => html`<th scope="col" title=${at}>${shortDay(at)}</th>`)}</tr></thead>
        <tbody>${lanes.map(({ title, column, values }) => html`<tr key=${title}><th scope="row">${title}</th>
            ${across.map((at) => html`<td class=${`heat-${heatStep(values.get(at), high)}`}>
                ${values.get(at) === undefined ? '' : formatValue(values.get(at), { ...kpi, ...column })}</td>`)}</tr>`)}
        </tbody></table></div>`;
}

// ---- series ----

/** Row keys as points in time (ms); null when they are not times, and then their order is all there is. */
export function timesOf(keys) {
    const times = keys.map((key) => (/^\d{9,}$/.test(key) ? Number(key) * (key.length < 12 ? 1000 : 1) : Date.parse(key)));
    return times.every(Number.isFinite) ? times : null;
}

export function seriesOf(kpi, entry) {
    const rows = [...entry.rows].sort(([a], [b]) => compareKeys(a, b));
    const columns = columnsOf(kpi, entry).filter((column) => (alignOf(column) === 'right' && column.unit !== 'time') || column.key === 'v');
    const keys = rows.map(([key]) => key);
    return {
        keys,
        times: timesOf(keys),
        isDaily: keys.every((key) => /^\d{4}-\d{2}-\d{2}$/.test(key)),
        columns: columns.map((column) => ({
            ...column,
            unit: column.unit ?? kpi.unit,
            currency: kpi.currency,
            values: rows.map(([, value]) => {
                const number = memberOf(value, column.key);
                return number === undefined || number === null ? null : Number(number);
            }),
        })),
    };
}

/** uPlot draws on a canvas that is not preact's: this component owns an empty element and keeps hands off it. */
export class Chart extends Component {
    componentDidMount() {
        import('./chart.js').then(({ createChart }) => {
            if (this.element) {
                this.chart = createChart(this.element, this.props.kpi);
                this.chart.draw(this.props.series);
            }
        }, () => this.props.onFailure());
    }

    componentDidUpdate() {
        this.chart?.draw(this.props.series);
    }

    componentWillUnmount() {
        this.chart?.destroy();
        this.element = null;
    }

    render({ kpi, series }) {
        const last = series.keys.at(-1);
        return html`<div class="chart" role="img" aria-label=${`${kpi.title}: chart of ${series.keys.length} points, newest ${last}. The table shows the numbers.`}
            ref=${(element) => { this.element = element; }} />`;
    }
}

/**
 * Points in time to be shown on the chart: the board's markers that fall into its span, and texts of its own rows
 * (a column of unit text). Without a time axis there is no place for them.
 */
function marked(series, kpi, entry, markers) {
    if (!series.times || series.times.length < 2) {
        return series;
    }
    const [first, last] = [series.times[0], series.times.at(-1)];
    const step = (last - first) / (series.times.length - 1);
    const noteColumn = (kpi.columns ?? []).find(({ unit }) => unit === 'text');
    const notes = noteColumn ? series.keys.map((key, i) => ({ at: series.times[i], title: memberOf(entry.rows.get(key), noteColumn.key) })) : [];
    const inside = (markers ?? []).filter(({ at }) => at >= first && at <= last + step).map((marker) => ({ ...marker, at: Math.min(marker.at, last) }));
    return { ...series, markers: [...notes.filter(({ title }) => title), ...inside].sort((a, b) => a.at - b.at).slice(-MARKERS_MAX) };
}

const MARKERS_MAX = 9;

/** The same markers in words, for who does not see the lines; their numbers are on the chart. */
export function MarkerList({ markers, now }) {
    return markers?.length > 0 && html`<ol class="markers" aria-label="Markers on the chart">${markers.map(({ at, title }, i) => html`<li key=${`${at} ${title}`}>
        <span class="marker-number">${i + 1}</span><span>${title}</span>${' '}<span class="feed-label">${formatTime(at, now)}</span></li>`)}</ol>`;
}

class Series extends Component {
    toggle = () => this.setState({ isTable: !this.state.isTable });

    fail = () => this.setState({ isTable: true });

    render({ kpi, entry, now, theme, markers }, { isTable }) {
        const series = marked(seriesOf(kpi, entry), kpi, entry, markers);
        const columns = [{ key: KEY, title: series.times ? 'Time' : 'Key', unit: 'text' }, ...columnsOf(kpi, entry)];
        const rows = sortedRows(entry, []).reverse();
        return html`<div class="series">
            <div class="series-bar">
                <ul class="legend" role="list">${series.columns.map((column, i) => html`<li key=${column.key}>
                    <svg class=${`legend-line line-${i % 4}`} viewBox="0 0 24 8" aria-hidden="true"><path d="M1 4h22" /></svg>
                    ${column.title}${' '}
                    <span class="legend-value">${formatValue(column.values.findLast((value) => value !== null), column)}</span>
                </li>`)}</ul>
                <button class="quiet" type="button" aria-pressed=${isTable ? 'true' : 'false'} onClick=${this.toggle}>${isTable ? 'Chart' : 'Table'}</button>
            </div>
            ${isTable ? html`<${Table} kpi=${kpi} entry=${entry} now=${now} rows=${rows} columns=${columns} />` :
                html`<${Chart} kpi=${kpi} series=${series} theme=${theme} onFailure=${this.fail} />`}
            <${MarkerList} markers=${series.markers} now=${now} />
        </div>`;
    }
}

// ---- which panel ----

/** A value without rows of its own, of a kind this page does not know: its members as rows of a table. */
function entryOfValue(value) {
    const members = typeof value?.v === 'object' && value.v !== null ? Object.entries(value.v) : [['value', value?.v]];
    return { rows: new Map(members.map(([key, v]) => [key, { v: typeof v === 'object' ? JSON.stringify(v) : v, rev: value?.rev }])) };
}

function UnknownKind({ kpi, entry, now }) {
    const shown = entry.rows.size > 0 ? entry : entryOfValue(entry.value);
    const columns = entry.rows.size > 0 ? columnsOf(kpi, entry) : [{ key: KEY, title: 'Name', unit: 'text' }, { key: 'v', title: 'Value', unit: kpi.unit }];
    return html`<${Table} kpi=${kpi} entry=${shown} now=${now} columns=${columns} />`;
}

const KNOWN_TYPES = new Set(['mix', 'table', 'feed', 'series']);

export function panelBody({ kpi, entry, now, theme, markers, kpis }) {
    if (!KNOWN_TYPES.has(kpi.type) && (entry.rows.size > 0 || entry.value?.v !== undefined)) {
        return html`<${UnknownKind} kpi=${kpi} entry=${entry} now=${now} />`;
    }
    if (kpi.type === 'mix') {
        return html`<${Mix} kpi=${kpi} value=${entry.value} />`;
    }
    if (entry.rows.size === 0) {
        return html`<p class="nothing">${kpi.type === 'feed' ? 'Nothing has happened yet.' : 'No rows yet.'}</p>`;
    }
    if (kpi.display === 'strip') {
        return html`<${Strip} kpi=${kpi} entry=${entry} now=${now} />`;
    }
    if (kpi.display === 'heat') {
        return html`<${Heat} kpi=${kpi} entry=${entry} />`;
    }
    switch (kpi.type) {
    case 'feed':
        return html`<${Feed} kpi=${kpi} entry=${entry} now=${now} kpis=${kpis} />`;
    case 'series':
        return html`<${Series} kpi=${kpi} entry=${entry} now=${now} theme=${theme} markers=${markers} />`;
    default:
        return html`<${Table} kpi=${kpi} entry=${entry} now=${now} columns=${columnsOf(kpi, entry)} />`;
    }
}
