/*
 * The small pieces every view is made of: the template function, marks, pills.
 */
import { h } from 'preact';
import htm from 'htm';

/**
 * Templates without htm's memory of what never changes. A vnode points at its parent, and what a card did not draw anew is shared by
 * the trees before and after: a vnode that is kept for ever keeps its first tree, and through that all the later ones (17 KB of each
 * drawing of the executive board).
 */
export const html = htm.bind(function build(type, props, ...children) {
    this[0] = 3; // htm's word for: not to be kept
    return h(type, props, ...children);
});

// ---- marks: each state has its own shape ----

const circle = 'M8 2a6 6 0 1 0 0 12a6 6 0 0 0 0-12z';
const shapes = {
    fresh: { fill: circle },
    ageing: { line: circle, fill: 'M8 2a6 6 0 0 1 0 12z' },
    stale: { line: `${circle}M8 4.8v3.4l2.4 1.6` },
    expired: { line: 'M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12' },
    nodata: { line: 'M3 8h10' },
    waiting: { line: 'M3 8h1M7.5 8h1M12 8h1' },
    invalid: { line: 'M3.5 3.5l9 9M12.5 3.5l-9 9' },
    unreachable: { line: `${circle}M3.8 12.2l8.4-8.4` },
    demo: { line: 'M8 1.5l6.5 6.5l-6.5 6.5l-6.5-6.5z' },
    ok: { line: 'M3 8.5l3.5 3.5l6.5-7.5' },
    info: { line: `${circle}M8 7.4v3.6M8 4.9v.4` },
    warn: { line: 'M8 2l6.5 11.5h-13zM8 6.4v3.2M8 11.3v.3' },
    crit: { fill: 'M5.4 1.5h5.2l3.9 3.9v5.2l-3.9 3.9h-5.2l-3.9-3.9v-5.2z', cut: 'M8 4.5v4.2M8 11v.4' },
    paused: { line: 'M5.5 3v10M10.5 3v10' },
    link: { line: 'M1.5 8h3l2-5l3 10l2-5h3' },
};

export function Mark({ name }) {
    const shape = shapes[name] ?? shapes.info;
    return html`<svg class=${`mark mark-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        ${shape.fill && html`<path class="mark-fill" d=${shape.fill} />`}
        ${shape.line && html`<path class="mark-line" d=${shape.line} />`}
        ${shape.cut && html`<path class="mark-cut" d=${shape.cut} />`}
    </svg>`;
}

export const levelWords = { ok: 'OK', warn: 'Warning', crit: 'Critical', info: 'Info' };

export function Pill({ level, word }) {
    return html`<span class=${`pill pill-${level}`}><${Mark} name=${level} />${word ?? levelWords[level]}</span>`;
}
