/*
 * Draws what bench.mjs measured: SVG files of a few kilobytes, in light and dark.
 *
 *     node loadtest/plot.mjs RESULT.json [docs/performance]
 *
 * One picture for each group of cases (the ratio to the floor against how many viewers, or boards, there were) and one of delays.
 * "whole" is all the gateway does; "telling" leaves out what taking the changes in costs. A picture of fewer than two points is not drawn. The line is the median, the band behind it goes from the lowest run to the highest.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { measured } from './bench_numbers.mjs';

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 56;
const RIGHT = 84; // room for the name of a line at its end
const TOP = 44;
const BOTTOM = 48;
const STEPS = 5;

const style = `<style>
svg { font: 12px system-ui, sans-serif; background: #ffffff; }
text { fill: #24292f; } .quiet { fill: #57606a; } .grid { stroke: #d0d7de; } .limit { stroke: #cf222e; stroke-dasharray: 5 4; }
.line { fill: none; stroke-width: 2; } .band { opacity: 0.15; stroke: none; }
.s0 { stroke: #0969da; fill: #0969da; } .s1 { stroke: #bc4c00; fill: #bc4c00; } .s2 { stroke: #8250df; fill: #8250df; } .s3 { stroke: #1a7f37; fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } .grid { stroke: #30363d; } .limit { stroke: #ff7b72; }
.s0 { stroke: #58a6ff; fill: #58a6ff; } .s1 { stroke: #f0883e; fill: #f0883e; } .s2 { stroke: #bc8cff; fill: #bc8cff; } .s3 { stroke: #56d364; fill: #56d364; }
}
.line.s0, .line.s1, .line.s2, .line.s3 { fill: none; } text.s0, text.s1, text.s2, text.s3 { stroke: none; }
</style>`;

const escape = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const short = (value) => Number(value.toPrecision(3)).toString();
const counted = (value) => value.toLocaleString('en-US');

/** The least of 1, 2, 2.5, 5 times a power of ten that is not below `value`. */
export function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * (1 - 1e-9));
}

/**
 * A picture as text. x is logarithmic and marked at the points themselves, y begins at 0. lines: [{ name, points: [{ x, y, low, high }] }], at
 * most four; limit: { at, name } is a dashed line across.
 */
export function drawing({ title, xTitle, yTitle, lines, limit }) {
    const points = lines.flatMap((line) => line.points);
    const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
    const [first, last] = [Math.log(xs[0]), Math.log(xs.at(-1))];
    const top = STEPS * roundUp(Math.max(...points.map(({ high }) => high), limit?.at ?? 0) / STEPS);
    const across = (x) => LEFT + ((Math.log(x) - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
    const up = (y) => HEIGHT - BOTTOM - (y / top) * (HEIGHT - TOP - BOTTOM);
    const at = (x, y) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`;
    const text = (x, y, content, more = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`;

    const grid = Array.from({ length: STEPS + 1 }, (_, i) => (top * i) / STEPS).map((y) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(y).toFixed(1)}" y2="${up(y).toFixed(1)}"/>${
            text(LEFT - 8, up(y) + 4, short(y), 'class="quiet" text-anchor="end"')}`);
    const marks = xs.map((x) => text(across(x), HEIGHT - BOTTOM + 18, counted(x), 'class="quiet" text-anchor="middle"'));
    const limits = limit ? [`<line class="limit" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(limit.at).toFixed(1)}" y2="${up(limit.at).toFixed(1)}"/>`,
        text(LEFT + 6, up(limit.at) - 5, limit.name, 'class="quiet"')] : [];
    const drawn = lines.map((line, i) => {
        const outline = [...line.points.map(({ x, high }) => at(x, high)), ...[...line.points].reverse().map(({ x, low }) => at(x, low))];
        const end = line.points.at(-1);
        return [`<polygon class="band s${i}" points="${outline.join(' ')}"/>`,
            `<polyline class="line s${i}" points="${line.points.map(({ x, y }) => at(x, y)).join(' ')}"/>`,
            ...line.points.map(({ x, y }) => `<circle class="s${i}" cx="${across(x).toFixed(1)}" cy="${up(y).toFixed(1)}" r="3"><title>${counted(x)}: ${short(y)}</title></circle>`),
            text(across(end.x) + 8, up(end.y) + 4, line.name, `class="s${i}"`)].join('\n');
    });
    return [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">`, style,
        text(LEFT, 20, title, 'font-size="14" font-weight="600"'), text(LEFT, 36, yTitle, 'class="quiet"'),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, xTitle, 'class="quiet" text-anchor="middle"'),
        ...grid, ...marks, ...limits, ...drawn, '</svg>', ''].join('\n');
}

const pointOf = (x, { median, low, high, count }) => (count > 0 ? [{ x, y: median, low, high }] : []);

/** File name -> picture, of everything in a report that has at least two points. */
export function drawings({ cases }) {
    const groupOf = (name) => cases.filter(({ group }) => group === name).sort((a, b) => a.x - b.x);
    const ratios = (name, title) => ({
        title, xTitle: name, yTitle: 'processor time per delivery, as a multiple of a bare send()', limit: { at: 1, name: 'the floor' },
        lines: ['whole', 'telling'].map((line, i) => ({ name: line, points: groupOf(name).flatMap((one) => pointOf(one.x, one.bars[i].got)) })),
    });
    const delays = {
        title: 'How long a change takes to reach everybody', xTitle: 'viewers of one board', yTitle: 'milliseconds from when it was due',
        lines: ['p50', 'p99', 'p999'].map((name) => ({
            name: name === 'p999' ? 'p99.9' : name,
            points: groupOf('viewers').flatMap((one) => pointOf(one.x, measured(one.rounds, 'gateway', `latency_ms.${name}`))),
        })),
    };
    const all = {
        'ratio-viewers.svg': ratios('viewers', 'What the gateway costs over the floor, by viewers'),
        'ratio-boards.svg': ratios('boards', 'What the gateway costs over the floor, by boards'),
        'delay-viewers.svg': delays,
    };
    return Object.fromEntries(Object.entries(all).filter(([, { lines }]) => lines.every(({ points }) => points.length >= 2))
        .map(([file, picture]) => [file, drawing(picture)]));
}

function main([file, directory = 'docs/performance']) {
    if (!file) {
        console.error('usage: plot.mjs RESULT.json [DIRECTORY]');
        return 2;
    }
    const made = drawings(JSON.parse(fs.readFileSync(file, 'utf8')));
    fs.mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(made)) {
        fs.writeFileSync(path.join(directory, name), text);
        console.log(path.join(directory, name));
    }
    return 0;
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    process.exitCode = main(process.argv.slice(2));
}
