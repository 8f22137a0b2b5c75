/*
 * One KPI by itself: its value and age, its history as far back as the gateway can read, what the number means, what it is
 * measured by, and what happened to it. Loaded when a card is first opened; the address names it, so it can be sent.
 */
import { Component } from 'preact';
import { freshnessWord, troubleText } from '../client/freshness.js';
import { formatAge, formatDuration, formatExact, formatMoment, formatTime, formatValue } from '../client/format.js';
import { saveChart, saveKpi, savePoints } from '../exporting.js';
import { cardState, Delta, Freshness, hasRows, markersOn, NumberValue, StateValue } from './board.js';
import { Chart, MarkerList, panelBody, Table } from './panels.js';
import { html, levelWords, Pill } from './parts.js';

const RANGES = [[0, 'Recent'], [7, '7 days'], [30, '30 days'], [90, '90 days'], [365, '1 year']];
const DAY_S = 86400;

// ---- in words ----

const goodWords = { up: 'Higher is better.', down: 'Lower is better.', band: 'Good within its band.', none: 'Neither high nor low is good by itself.' };
const sourceWords = {
    pg: 'Read from the database when it changes.', redis: 'Pushed over Redis.', http: 'Sent in by whoever measures it.',
    internal: 'Measured by the gateway itself.', derived: 'A copy of another number.', demo: 'Invented, for demonstration.',
};
const privacyWords = { public: 'Public', business: 'Business', personal: 'Personal, masked for those who may not see it' };

/** "Warning below 95% of pace; critical below 85%", as the gateway judges it. */
export function thresholdText(kpi) {
    const { threshold } = kpi;
    if (!threshold) {
        return '';
    }
    const good = threshold.good ?? kpi.good;
    const side = good === 'down' ? 'from' : 'below';
    const percent = (share) => `${Number((share * 100).toFixed(2))}%`;
    const limit = (value) => {
        if (threshold.basis === 'vs_target') {
            return `${percent(value)} of ${kpi.target?.label ?? kpi.target?.kind ?? 'target'}`;
        }
        return threshold.basis === 'vs_base' ? `${value > 0 ? '+' : ''}${percent(value)} against ${kpi.compare_label ?? 'its base'}` : formatValue(value, { ...kpi, compact: false });
    };
    const parts = ['warn', 'crit'].filter((level) => threshold[level] !== undefined)
        .map((level) => `${levelWords[level].toLowerCase()} ${side} ${limit(threshold[level])}`);
    const hold = threshold.for_s ? `, once it has lasted ${formatDuration(threshold.for_s)}` : '';
    const text = `${parts.join('; ')}${hold}.`;
    return text.charAt(0).toUpperCase() + text.slice(1);
}

function freshnessText(limits) {
    if (!limits) {
        return 'Does not age: it happened when it happened.';
    }
    const [fresh, stale, expired] = [limits.fresh_s, limits.stale_s, limits.expired_s].map((seconds) => formatDuration(seconds));
    return `Current up to ${fresh}, stale after ${stale}, expired after ${expired}.`;
}

function facts(kpi, board, asOf, value, now) {
    const states = Object.values(kpi.states ?? {}).map(({ title, level }) => `${title} (${levelWords[level] ?? level})`).join(', ');
    return [
        ['Meaning', kpi.about],
        ['Direction', hasRows(kpi) || kpi.type === 'mix' ? '' : kpi.type === 'state' ? states : goodWords[kpi.good] ?? ''],
        ['Limits', thresholdText(kpi)],
        ['Compared with', kpi.compare_label],
        ['Target', value?.target === undefined ? '' : `${formatValue(value.target, { ...kpi, compact: false })} (${kpi.target?.label ?? 'target'})`],
        ['Freshness', freshnessText(board.definition.classes?.[kpi.class] ?? null)],
        ['Computed', kpi.cadence_s ? `Every ${formatDuration(kpi.cadence_s)}.` : 'When it changes.'],
        ['Source', sourceWords[kpi.source?.kind]],
        ['As of', asOf === undefined ? '' : `${formatMoment(asOf)} (${formatAge(asOf, now)})`],
        ['Revision', value?.rev === undefined ? '' : String(value.rev)],
        ['Privacy', privacyWords[kpi.privacy]],
        ['Name', kpi.id],
    ].filter(([, text]) => text);
}

// ---- related events: rows of the board's feeds that name this KPI ----

function relatedEvents(board, kpi) {
    const found = [];
    for (const feed of Object.values(board.definition.kpis)) {
        if (feed.type === 'feed' && feed.id !== kpi.id) {
            for (const [key, { v, as_of: asOf, rev }] of board.entry(feed.id).rows) {
                if (typeof v === 'object' && (v.kpi === kpi.id || Object.values(v).some((text) => typeof text === 'string' && text.includes(kpi.id)))) {
                    found.push({ key, rev: rev ?? 0, feed: feed.title, title: String(v.title ?? key), asOf });
                }
            }
        }
    }
    return found.sort((a, b) => b.rev - a.rev).slice(0, 10);
}

// ---- history ----

const isDrawable = (kpi) => Boolean(kpi.history) && kpi.type !== 'state' && kpi.unit !== 'text';

function seriesOfPoints(kpi, points) {
    const times = points.map(([at]) => at);
    return {
        keys: times.map((at) => formatMoment(at)), times, isDaily: (kpi.history?.step_s ?? 0) >= DAY_S,
        columns: [{ key: 'v', title: kpi.title, unit: kpi.unit, currency: kpi.currency, precision: kpi.precision, values: points.map(([, v]) => (v === null ? null : Number(v))) }],
    };
}

/** What was read, and what has come since. */
function withNewest(points, value, kpi) {
    const last = points.at(-1);
    if (value?.v === undefined || value.as_of === undefined || (value.state ?? 'ok') !== 'ok' || (last && value.as_of <= last[0])) {
        return points;
    }
    const step = (kpi.history.step_s || 1) * 1000;
    const isSameStep = last && Math.floor(last[0] / step) === Math.floor(value.as_of / step);
    return [...(isSameStep ? points.slice(0, -1) : points), [value.as_of, value.v]];
}

const saveShownChart = (...about) => saveChart(document.querySelector('.details .chart canvas'), ...about);

class History extends Component {
    componentDidMount() {
        this.load();
    }

    componentDidUpdate(before) {
        if (before.days !== this.props.days) {
            this.load();
        }
    }

    /** Of two answers under way, the one asked for last is shown. */
    async load() {
        const { kpi, days, onLoad } = this.props;
        this.asked = days;
        try {
            const answer = await onLoad(kpi.id, days);
            if (this.asked === days) {
                this.setState({ answer, problem: '' });
            }
        } catch (error) {
            this.setState({ answer: null, problem: error.message });
        }
    }

    note({ cache, points }) {
        const old = cache && ['stale', 'stale_error', 'failed'].includes(cache.status) ? `The database does not answer; these points are ${formatDuration(cache.age_ms / 1000)} old. ` : '';
        return `${old}${points.length} points, one per ${formatDuration(this.props.kpi.history.step_s)}${cache && cache.tier !== 'memory' ? ', from the database' : ''}.`;
    }

    render({ kpi, value, points: kept, days, now, theme, markers, onDays, isDemo }, { answer, problem, isTable }) {
        const read = answer?.points ?? kept ?? [];
        const points = withNewest(read, value, kpi);
        const series = seriesOfPoints(kpi, points);
        const shown = { ...series, markers: markers.filter(({ at }) => at >= series.times[0] && at <= series.times.at(-1)).slice(-9) };
        const rows = points.map(([at, v]) => [formatMoment(at), { v: { value: v }, rev: at }]).reverse();
        const columns = [{ key: ' key', title: 'Time', unit: 'text' }, { key: 'value', title: kpi.title, unit: kpi.unit, precision: kpi.precision }];
        return html`<section class="history" aria-label="History">
            <div class="history-bar"><h3>History</h3>
                <div class="choices" role="group" aria-label="Span">${RANGES.filter(([span]) => span === 0 || span * DAY_S >= (kpi.history.step_s || 1) * 2).map(([span, title]) => html`
                    <button key=${span} type="button" class="choice" aria-pressed=${String(span === days)} onClick=${() => onDays(span)}>${title}</button>`)}</div>
                <button class="quiet" type="button" aria-pressed=${String(Boolean(isTable))} onClick=${() => this.setState({ isTable: !isTable })}>${isTable ? 'Chart' : 'Table'}</button>
            </div>
            ${points.length < 2 ? html`<p class="nothing">${answer || problem ? 'No history is kept yet.' : 'Reading the history.'}</p>` :
                isTable ? html`<${Table} kpi=${kpi} entry=${{ rows: new Map() }} rows=${rows} columns=${columns} now=${now} />` :
                    html`<${Chart} key=${days} kpi=${kpi} series=${shown} theme=${theme} onFailure=${() => this.setState({ isTable: true })} />`}
            ${points.length >= 2 && html`<${MarkerList} markers=${shown.markers} now=${now} />`}
            <p class="history-note">${problem ? `The history could not be read: ${problem} ` : ''}${answer ? this.note(answer) : ''}</p>
            <p class="buttons">
                <button class="quiet" type="button" onClick=${() => savePoints(kpi, points, value, isDemo)}>History as CSV</button>
                <button class="quiet" type="button" disabled=${isTable || points.length < 2}
                    onClick=${() => saveShownChart(kpi, value, now, isDemo)}>Chart as PNG</button>
            </p>
        </section>`;
    }
}

// ---- the dialog ----

function Value({ kpi, entry, freshness, trouble }) {
    const { value } = entry;
    return html`<div class="details-value">
        ${kpi.type === 'state' ? html`<${StateValue} value=${value} kpi=${kpi} />` : html`<${NumberValue} value=${value} kpi=${kpi} />`}
        <div class="details-notes">
            ${trouble ? html`<p class="delta trouble">${trouble}</p>` : html`<${Delta} value=${value} kpi=${kpi} />`}
            <p class="feed-label">${value?.v !== undefined && kpi.type !== 'state' ? `Exactly ${formatExact(value.v, kpi)}` : freshnessWord(freshness)}</p>
        </div>
        ${(value?.level === 'warn' || value?.level === 'crit') && html`<${Pill} level=${value.level} />`}
    </div>`;
}

/** Only addresses of the web: a definition file must not make the page run anything. */
const linkOf = (drill) => (/^https?:\/\//i.test(drill?.link ?? '') ? drill.link : null);

/** Everything that is shown here, as one text: drawn again only when it has changed. */
function lookOf({ store, view, board, kpi, now }) {
    const { entry, asOf, freshness } = cardState(store, board, kpi, now);
    const feeds = Object.values(board.definition.kpis).filter(({ type }) => type === 'feed').map(({ id }) => board.entry(id).version);
    return [board.definition.catalog, entry.version, freshness, asOf === undefined ? '' : formatAge(asOf, now), view.days, view.shownTheme, view.toast?.text, feeds, store.isDemo].join();
}

export class Details extends Component {
    componentDidMount() {
        this.dialog.showModal();
    }

    shouldComponentUpdate(next) {
        return lookOf(next) !== this.look;
    }

    render({ store, view, board, kpi, now, actions }) {
        this.look = lookOf(this.props);
        const { entry, asOf, freshness } = cardState(store, board, kpi, now);
        const trouble = troubleText(freshness, entry.value?.reason);
        const isRows = hasRows(kpi) || kpi.type === 'mix' || !['gauge', 'counter', 'state'].includes(kpi.type);
        const events = relatedEvents(board, kpi);
        const link = linkOf(kpi.drill);
        const markers = markersOn(board);
        const close = () => this.dialog.close();
        return html`<dialog class="sheet details" aria-labelledby="details-title" onClose=${actions.closeDetails} ref=${(dialog) => { this.dialog = dialog; }}
            onClick=${(event) => event.target === this.dialog && close()}>
            <div class="sheet-body">
            <header class="sheet-head"><h2 id="details-title" tabindex="-1" autofocus>${kpi.title}</h2>
                ${store.isDemo && html`<span class="demo">Demo data</span>`}
                <button class="quiet" type="button" onClick=${close}>Close</button></header>
            ${isRows ? html`<div class="details-panel panel panel-${kpi.type}">${panelBody({ kpi, entry, now, theme: view.shownTheme, markers, kpis: board.definition.kpis })}</div>` :
                html`<${Value} kpi=${kpi} entry=${entry} freshness=${freshness} trouble=${trouble} />`}
            <${Freshness} freshness=${freshness} age=${asOf === undefined ? '' : formatAge(asOf, now)} text=${isRows ? trouble : ''}
                moment=${asOf === undefined ? undefined : `As of ${formatMoment(asOf)}`} />
            ${isDrawable(kpi) && html`<${History} kpi=${kpi} value=${entry.value} points=${board.points(kpi.id)} days=${view.days} now=${now} theme=${view.shownTheme}
                markers=${markers} isDemo=${store.isDemo} onLoad=${actions.history} onDays=${actions.days} />`}
            <section aria-label="Definition"><h3>Definition</h3>
                <dl class="facts">${facts(kpi, board, asOf, entry.value, now).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}</dl></section>
            ${events.length > 0 && html`<section aria-label="Related events"><h3>Related events</h3>
                <ul class="events" role="list">${events.map(({ key, feed, title, asOf: at }) => html`<li key=${`${feed} ${key}`}><strong>${title}</strong>${' '}
                    <span class="feed-label">${feed}${at === undefined ? '' : `, ${formatTime(at, now)}`}</span></li>`)}</ul></section>`}
            <p class="buttons">
                <button class="quiet" type="button" onClick=${() => saveKpi(store, board, kpi)}>Value as CSV</button>
                ${kpi.type === 'series' && kpi.display !== 'heat' && html`<button class="quiet" type="button"
                    onClick=${() => saveShownChart(kpi, { as_of: asOf }, now, store.isDemo)}>Chart as PNG</button>`}
                <button class="quiet" type="button" onClick=${actions.copyLink}>Copy link</button>
                ${link && html`<a class="quiet" href=${link} rel="noreferrer" target="_blank">Open the source</a>`}
            </p>
            ${view.toast && html`<p class="feed-label">${view.toast.text}</p>`}
            </div>
        </dialog>`;
    }
}
