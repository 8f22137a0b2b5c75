/*
 * A small set of definitions with one KPI of each type, and what the tests must know of them. Board `alpha` shows
 * everything; `beta` shares one KPI with it; board-01 to board-17 are there to be subscribed to.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const source = { kind: 'http' };
const common = { source, class: 'pushed', roles: ['everybody'], privacy: 'public' };
const kpi = (id, type, more) => ({ id, title: id, about: `Test KPI ${id}.`, type, ...common, ...more });

export const ROWS_CAP = 300;
export const FEED_CAP = 5;
export const SERIES_CAP = 4;

const columns = [
    { key: 'text', title: 'Text', unit: 'text', required: true },
    { key: 'sent', title: 'Sent', unit: 'number' },
];

export const kpis = [
    kpi('test.count', 'gauge', { unit: 'integer', priority: 'critical', history: { points: 60, step: '1s' } }),
    kpi('test.level', 'gauge', {
        unit: 'number', range: [0, 1000], good: 'down', history: { points: 60, step: '1s' },
        threshold: { basis: 'value', warn: 500, crit: 900, hysteresis: 0, for_s: 0 },
    }),
    kpi('test.money', 'gauge', { unit: 'money', currency: 'USD', decimals: 2 }),
    kpi('test.share', 'gauge', { unit: 'percent', range: [0, 1] }),
    kpi('test.words', 'gauge', { unit: 'text' }),
    kpi('test.mode', 'state', {
        states: { on: { title: 'On', level: 'ok' }, slow: { title: 'Slow', level: 'warn' }, off: { title: 'Off', level: 'crit' } },
    }),
    kpi('test.mix', 'mix', { unit: 'integer', parts: [{ key: 'left', title: 'Left' }, { key: 'right', title: 'Right' }] }),
    kpi('test.rows', 'table', { cap: ROWS_CAP, columns }),
    kpi('test.feed', 'feed', { cap: FEED_CAP, columns, class: 'event' }),
    kpi('test.series', 'series', { cap: SERIES_CAP, columns: [{ key: 'value', title: 'Value', unit: 'number', required: true }] }),
    kpi('test.other', 'gauge', { unit: 'integer' }),
];

const everyId = kpis.map(({ id }) => id);
const rowsOf = (ids) => ids.map((id) => ({ row: [{ kpi: id, span: 12 }] }));
const board = (id, ids) => ({ id, title: id, question: 'Does it work?', roles: ['everybody'], layout: rowsOf(ids) });

export const boards = {
    alpha: everyId.filter((id) => id !== 'test.other'),
    beta: ['test.count', 'test.other'],
    ...Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`board-${String(i + 1).padStart(2, '0')}`, ['test.other']])),
};

export const classes = {
    classes: {
        pushed: { about: 'Pushed on change.', fresh_s: 120, stale_s: 240, expired_s: 1200 },
        event: { about: 'Does not age.', never_ages: true },
        default: { about: 'The rest.', fresh_s: 120, stale_s: 240, expired_s: 1200 },
    },
};

/** Type and cap of the KPIs that trim: what a viewer must know to apply overlays. */
export const rules = Object.fromEntries(kpis.filter(({ cap }) => cap).map(({ id, type, cap }) => [id, { type, cap }]));

/** Writes a set into `directory`, replacing what is there. */
export function writeDefinitions(directory, { kpiList = kpis, boardList = boards } = {}) {
    for (const part of ['kpis', 'boards']) {
        fs.rmSync(path.join(directory, part), { recursive: true, force: true });
        fs.mkdirSync(path.join(directory, part), { recursive: true });
    }
    fs.writeFileSync(path.join(directory, 'classes.json'), JSON.stringify(classes));
    fs.writeFileSync(path.join(directory, 'kpis/test.json'), JSON.stringify({ about: 'For tests.', kpis: kpiList }));
    for (const [id, ids] of Object.entries(boardList)) {
        fs.writeFileSync(path.join(directory, `boards/${id}.json`), JSON.stringify(board(id, ids)));
    }
}

/** A directory of its own with the set in it; the caller removes it. */
export function makeDefinitions(options) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sophia-definitions-'));
    writeDefinitions(directory, options);
    return directory;
}

export { kpi as defineKpi };
