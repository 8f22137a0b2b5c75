/*
 * Lines and bars over time with uPlot. Loaded with the first chart, not before.
 *
 * uPlot sizes its parts through the CSSOM, which the page's policy allows; it creates no markup from text.
 * Colours come from the style sheet, so that themes, forced colours and print reach the canvas too.
 */
import uPlot from 'uplot';
import { formatClock, formatDate, formatValue } from '../client/format.js';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const dashes = [undefined, [6, 4], [2, 3], [10, 4]];

/**
 * What the style sheet says, kept until the page is dressed otherwise or a chart has another size: to ask in the middle of a
 * frame makes the browser compute all styles then and there, which was more than half of the page's time at 200 changes/s.
 */
const look = { dress: '', known: new Map() };

function asked(name, ask) {
    const { dataset, className } = document.documentElement;
    const dress = `${dataset.theme} ${dataset.density} ${className}`;
    if (look.dress !== dress) {
        look.dress = dress;
        look.known.clear();
    }
    if (!look.known.has(name)) {
        look.known.set(name, ask());
    }
    return look.known.get(name);
}

const css = (element, name) => asked(name, () => getComputedStyle(element).getPropertyValue(name).trim());
const rem = () => asked('rem', () => parseFloat(getComputedStyle(document.documentElement).fontSize));

function dayLabel(seconds) {
    const date = new Date(seconds * 1000);
    return `${date.getUTCDate()} ${months[date.getUTCMonth()]}`;
}

function timeLabels(isDaily) {
    return (_, splits, __, ___, step) => splits.map((at) => {
        if (isDaily || step >= 86400) {
            return dayLabel(at);
        }
        return formatClock(at * 1000).slice(0, 5);
    });
}

/** Ends of the value axis with a little air, and zero kept where the data is near it. */
function valueRange(_, low, high) {
    if (low === null || low === undefined) {
        return [0, 1];
    }
    const air = (high - low || Math.abs(high) || 1) * 0.08;
    return [low >= 0 && low < (high - low) * 0.5 ? 0 : low - air, high + air];
}

function axes(element, series, size) {
    const font = `${Math.round(size * 0.75)}px ${css(element, '--font')}`;
    const common = {
        stroke: css(element, '--ink-2'), font, ticks: { show: false },
        grid: { stroke: css(element, '--line'), width: 1 },
    };
    const [first] = series.columns;
    return [
        { ...common, grid: { show: false }, size: size * 2, gap: size * 0.5, space: size * 5,
            values: series.times ? timeLabels(series.isDaily) : (_, splits) => splits.map((i) => series.keys[i] ?? '') },
        { ...common, size: size * 4, gap: size * 0.4, space: size * 2.5,
            values: (_, splits) => splits.map((value) => formatValue(value, first).replace(/\.0+(?=\D|$)/, '')) },
    ];
}

function lines(element, series, display, size) {
    return series.columns.map((column, i) => ({
        label: column.title,
        stroke: css(element, `--series-${i % 4}`),
        width: size * (i === 0 ? 0.14 : 0.1),
        dash: dashes[i % 4]?.map((length) => (length * size) / 16),
        fill: i === 0 && display !== 'bars' ? css(element, '--series-fill') : undefined,
        points: { show: false },
        spanGaps: false,
        ...(display === 'bars' ? { paths: uPlot.paths.bars({ size: [0.7, 40] }), fill: css(element, `--series-${i % 4}`), dash: undefined } : {}),
    }));
}

function readout(element) {
    const box = document.createElement('div');
    box.className = 'chart-readout';
    box.hidden = true;
    box.setAttribute('aria-hidden', 'true');
    element.append(box);
    return box;
}

function keyText(series, index) {
    if (!series.times) {
        return series.keys[index];
    }
    return series.isDaily ? dayLabel(series.times[index] / 1000) :
        `${formatDate(series.times[index])}, ${formatClock(series.times[index]).slice(0, 5)}`;
}

/** A thin line and a number at the top for each marker; the list beside the chart says what they are. */
function drawMarkers(plot, element, markers, size) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = css(element, '--line-2');
    ctx.fillStyle = css(element, '--ink-2');
    ctx.font = `600 ${Math.round(size * 0.6875 * devicePixelRatio)}px ${css(element, '--font')}`;
    ctx.textAlign = 'center';
    ctx.lineWidth = Math.max(1, size * 0.0625 * devicePixelRatio);
    ctx.setLineDash([size * 0.125 * devicePixelRatio, size * 0.1875 * devicePixelRatio]);
    markers.forEach(({ at }, i) => {
        const x = Math.round(plot.valToPos(at / 1000, 'x', true));
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.fillText(String(i + 1), x, bbox.top - size * 0.1875 * devicePixelRatio);
    });
    ctx.restore();
}

/**
 * A chart inside `element`, which must be empty and keeps its size by style sheet.
 * draw(series) shows new numbers, and builds the plot anew only when its shape, theme or type size has changed.
 */
export function createChart(element, kpi) {
    let plot = null;
    let shape = '';
    let latest = null;
    const box = readout(element);

    const showPoint = (chart) => {
        const { idx } = chart.cursor;
        box.hidden = idx === null || idx === undefined;
        if (!box.hidden) {
            box.textContent = `${keyText(latest, idx)}   ${latest.columns.map((column) =>
                `${column.title} ${formatValue(column.values[idx], column)}`).join('   ')}`;
        }
    };

    const dataOf = (series) => [
        series.times ? series.times.map((ms) => ms / 1000) : series.keys.map((_, i) => i),
        ...series.columns.map(({ values }) => values),
    ];

    const shapeOf = (series) => [series.columns.map(({ key }) => key), rem(), css(element, '--ink-2'), Boolean(series.times), series.isDaily].join();

    const build = (series) => {
        plot?.destroy();
        const size = rem();
        const { width, height } = element.getBoundingClientRect();
        plot = new uPlot({
            width: Math.max(160, width), height: Math.max(80, height),
            legend: { show: false },
            cursor: { y: false, drag: { x: false, y: false }, points: { size: size * 0.5 } },
            scales: { x: { time: Boolean(series.times) }, y: { range: valueRange } },
            tzDate: (seconds) => (series.isDaily ? uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC') : new Date(seconds * 1000)),
            padding: [size, size * 0.5, 0, 0],
            axes: axes(element, series, size),
            series: [{}, ...lines(element, series, kpi.display, size)],
            hooks: { setCursor: [showPoint], draw: [(chart) => latest.markers && drawMarkers(chart, element, latest.markers, rem())] },
        }, dataOf(series), element);
        shape = shapeOf(series);
    };

    const draw = (series) => {
        latest = series;
        if (!plot || shape !== shapeOf(series)) {
            build(series);
        } else {
            plot.setData(dataOf(series));
        }
    };

    const observer = new ResizeObserver(() => {
        look.known.clear();
        const { width, height } = element.getBoundingClientRect();
        if (latest && width > 0 && shape !== shapeOf(latest)) {
            build(latest);
        } else if (plot && width > 0) {
            plot.setSize({ width, height });
        }
    });
    observer.observe(element);

    return {
        draw,
        destroy() {
            observer.disconnect();
            plot?.destroy();
            box.remove();
        },
    };
}
