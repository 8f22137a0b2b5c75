/*
 * What is on the screen as files: CSV of a board, a KPI or a history, and a chart as PNG. Each says how old its numbers are
 * and whether they are invented, because a file outlives the page it came from.
 *
 * Pure up to `save`: lines in, text out.
 */
import { freshnessOf, freshnessWord } from './client/freshness.js';
import { formatAge, formatMoment, joined, formatParts } from './client/format.js';

export const COLUMNS = ['time', 'board', 'field', 'title', 'member', 'value', 'unit', 'revision', 'state', 'freshness', 'as_of', 'age_s', 'demo'];

const iso = (ms) => (ms === undefined ? '' : new Date(ms).toISOString());

/** One cell. A text that a spreadsheet would take for a formula is told to be a text; numbers stay numbers. */
export function csvCell(value) {
    if (value === undefined || value === null) {
        return '';
    }
    const text = String(value);
    const isNumber = /^-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$/i.test(text);
    const safe = !isNumber && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csvText = (lines) => `${lines.map((line) => line.map(csvCell).join(',')).join('\r\n')}\r\n`;

function membersOf(v) {
    if (typeof v !== 'object' || v === null) {
        return [['', v]];
    }
    return Object.entries(v).map(([member, value]) => [member, typeof value === 'object' ? JSON.stringify(value) : value]);
}

/** Lines of one KPI: a line per row and member. */
function linesOf(store, board, kpi) {
    const now = store.now();
    const entry = board.entry(kpi.id);
    const limits = board.definition.classes?.[kpi.class] ?? null;
    const columnUnit = (member) => kpi.columns?.find(({ key }) => key === member)?.unit;
    const line = (field, value) => membersOf(value?.v).map(([member, v]) => [
        iso(now), board.id, field, kpi.title, member, v, (member ? columnUnit(member) : undefined) ?? (kpi.unit === 'money' ? kpi.currency : kpi.unit), value?.rev, value?.state ?? (value ? 'ok' : 'nodata'),
        freshnessWord(freshnessOf(value, limits, store.isSourceUp(kpi), now)), iso(value?.as_of),
        value?.as_of === undefined ? '' : Math.max(0, Math.round((now - value.as_of) / 1000)), store.isDemo || value?.demo ? 'demo' : '',
    ]);
    return [...(entry.value || entry.rows.size === 0 ? line(kpi.id, entry.value) : []), ...[...entry.rows].flatMap(([key, value]) => line(`${kpi.id}#${key}`, value))];
}

export const boardCsv = (store, board) => csvText([COLUMNS, ...Object.values(board.definition.kpis).flatMap((kpi) => linesOf(store, board, kpi))]);
export const kpiCsv = (store, board, kpi) => csvText([COLUMNS, ...linesOf(store, board, kpi)]);

export function pointsCsv(kpi, points, value, isDemo, now) {
    const last = points.at(-1);
    return csvText([['time', 'value', 'revision', 'state', 'as_of', 'age_s', 'demo'], ...points.map((point) => {
        const isNewest = point === last && value?.as_of === point[0];
        return [iso(point[0]), point[1], isNewest ? value.rev : '', isNewest ? value.state ?? 'ok' : '', iso(point[0]), Math.max(0, Math.round((now - point[0]) / 1000)), isDemo ? 'demo' : ''];
    })]);
}

// ---- saving ----

function save(name, blob) {
    const link = document.createElement('a');
    const address = URL.createObjectURL(blob);
    Object.assign(link, { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
}

const stamp = (ms) => new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
const saveText = (name, text, now, isDemo) => save(`${name}-${stamp(now)}${isDemo ? '-demo' : ''}.csv`, new Blob([text], { type: 'text/csv;charset=utf-8' }));

export function saveBoard(store, board) {
    if (board.definition) {
        saveText(board.id, boardCsv(store, board), store.now(), store.isDemo);
    }
}

export const saveKpi = (store, board, kpi) => saveText(kpi.id, kpiCsv(store, board, kpi), store.now(), store.isDemo);
export const savePoints = (kpi, points, value, isDemo) => saveText(`${kpi.id}-history`, pointsCsv(kpi, points, value, isDemo, Date.now()), Date.now(), isDemo);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The chart under a title and a line that says as of when it is, and whether it is invented. */
export function saveChart(canvas, kpi, value, now, isDemo) {
    if (!canvas) {
        return;
    }
    const unit = canvas.width / canvas.getBoundingClientRect().width * 16;
    const head = unit * 4;
    const sheet = Object.assign(document.createElement('canvas'), { width: canvas.width + unit * 2, height: canvas.height + head + unit });
    const pen = sheet.getContext('2d');
    pen.fillStyle = colour('--card');
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.fillStyle = colour('--ink');
    pen.font = `600 ${unit * 1.125}px ${colour('--font')}`;
    pen.fillText(`${kpi.title}${value?.v === undefined ? '' : `: ${joined(formatParts(value.v, kpi))}`}`, unit, unit * 1.75);
    pen.font = `${unit * 0.875}px ${colour('--font')}`;
    const age = value?.as_of === undefined ? 'No value.' : `As of ${formatMoment(value.as_of)}, ${formatAge(value.as_of, now)}.`;
    pen.fillText(`${isDemo ? 'DEMO DATA, the numbers are invented. ' : ''}${age} Saved ${formatMoment(now)}.`, unit, unit * 3.25);
    pen.drawImage(canvas, unit, head);
    sheet.toBlob((blob) => blob && save(`${kpi.id}-${stamp(now)}${isDemo ? '-demo' : ''}.png`, blob), 'image/png');
}
