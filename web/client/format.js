/*
 * Values to text. English, tabular, the same on every machine: no locale of the viewer is used, so that two people
 * looking at the same board read the same characters.
 *
 * Money arrives as a decimal string and is shortened digit by digit; it never becomes a binary fraction.
 * Every function returns parts {prefix, digits, suffix} or plain text; joining them is `joined`.
 */

const MINUS = '\u2212';
const NARROW = '\u202f';

const symbols = { USD: '$', EUR: '\u20ac', GBP: '\u00a3', JPY: '\u00a5', CHF: 'CHF\u00a0', INR: '\u20b9' };

// ---- decimal strings ----

/** '-12.50' -> {isNegative, whole: '12', fraction: '50'}; null when it is not a plain decimal. */
export function splitDecimal(text) {
    const match = /^(-?)0*([0-9]+)(?:\.([0-9]+))?$/.exec(text);
    return match && { isNegative: match[1] === '-', whole: match[2], fraction: match[3] ?? '' };
}

/** Round a decimal, half away from zero, to `places` after the point. Works on digits only. */
export function roundDecimal({ isNegative, whole, fraction }, places) {
    let digits = BigInt(whole + fraction.slice(0, places).padEnd(places, '0'));
    if (fraction.length > places && fraction[places] >= '5') {
        digits += 1n;
    }
    const text = digits.toString().padStart(places + 1, '0');
    const split = text.length - places;
    return { isNegative: isNegative && digits !== 0n, whole: text.slice(0, split), fraction: text.slice(split) };
}

const grouped = (whole) => whole.replace(/\B(?=([0-9]{3})+$)/g, ',');

function writeDecimal({ isNegative, whole, fraction }) {
    return (isNegative ? MINUS : '') + grouped(whole) + (fraction ? `.${fraction}` : '');
}

/** A number or decimal string as exact digits, or null. Numbers print with at most 15 digits, as they were sent. */
function toDecimal(value) {
    if (typeof value === 'string') {
        return splitDecimal(value);
    }
    if (typeof value !== 'number' || !Number.isFinite(value)) {
        return null;
    }
    const text = String(value);
    return splitDecimal(text.includes('e') ? value.toFixed(15).replace(/\.?0+$/, '') : text);
}

/** @type {[number, string][]} */
const scales = [[12, 'T'], [9, 'B'], [6, 'M'], [3, 'K']];

/** Three significant digits and a letter: 1284300.50 -> 1.28 M. Below ten thousand the number stands as it is. */
function compacted(decimal) {
    if (decimal.whole.length < 5) {
        return null;
    }
    for (const [power, letter] of scales) {
        if (decimal.whole.length > power) {
            const shifted = { ...decimal, whole: decimal.whole.slice(0, -power), fraction: decimal.whole.slice(-power) };
            const rounded = roundDecimal(shifted, 3 - Math.min(3, shifted.whole.length));
            if (rounded.whole.length > 3 && power < 12) {
                // 999,950 rounds to a thousand of its own letter: take the next one.
                return compacted({ ...decimal, whole: `1${'0'.repeat(power + 3)}`, fraction: '' });
            }
            return { ...rounded, letter };
        }
    }
    return null;
}

function parts(prefix, digits, suffix) {
    return { prefix, digits, suffix };
}

export const joined = (formatted) => formatted.prefix + formatted.digits + formatted.suffix;

function moneyParts(value, kpi, isExact) {
    const decimal = toDecimal(value);
    if (!decimal) {
        return parts('', String(value), '');
    }
    const symbol = symbols[kpi.currency] ?? (kpi.currency ? `${kpi.currency}\u00a0` : '');
    const sign = decimal.isNegative ? MINUS : '';
    const short = isExact || kpi.compact === false ? null : compacted({ ...decimal, isNegative: false });
    if (short) {
        return parts(sign + symbol, short.whole + (short.fraction ? `.${short.fraction}` : ''), short.letter);
    }
    const places = isExact ? Math.max(decimal.fraction.length, 2) : (kpi.precision ?? (decimal.whole.length > 3 ? 0 : 2));
    const rounded = roundDecimal(decimal, places);
    return parts((rounded.isNegative ? MINUS : '') + symbol, writeDecimal({ ...rounded, isNegative: false }), '');
}

function plainParts(value, places, suffix) {
    const decimal = toDecimal(value);
    if (!decimal) {
        return parts('', String(value), '');
    }
    const fitted = places === undefined ? decimal : roundDecimal(decimal, places);
    return parts('', writeDecimal(fitted), suffix);
}

/** Decimals that keep about three significant digits: 0.42, 8.1, 57, 1,204. */
function fittingPlaces(number) {
    const size = Math.abs(number);
    if (size >= 100 || Number.isInteger(number)) {
        return 0;
    }
    return size >= 10 ? 1 : 2;
}

function bytesParts(value) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let number = Number(value);
    let unit = 0;
    while (Math.abs(number) >= 1024 && unit < units.length - 1) {
        number /= 1024;
        unit++;
    }
    return plainParts(number, unit === 0 ? 0 : fittingPlaces(number), `${NARROW}${units[unit]}`);
}

/**
 * 7265 -> '2 h 1 min': two largest units, never more.
 * @param {number} seconds
 * @returns {string}
 */
export function formatDuration(seconds) {
    const size = Math.abs(seconds);
    const sign = seconds < 0 ? MINUS : '';
    /** @type {[number, string, number, string][]} */
    const steps = [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'min'], [60, 'min', 1, 's']];
    for (const [large, largeName, small, smallName] of steps) {
        if (size >= large) {
            const first = Math.floor(size / large);
            const second = Math.floor((size % large) / small);
            const rest = second > 0 && first < 100 ? ` ${second}${NARROW}${smallName}` : '';
            return `${sign}${first}${NARROW}${largeName}${rest}`;
        }
    }
    return `${sign}${size < 10 && !Number.isInteger(size) ? size.toFixed(1) : Math.floor(size)}${NARROW}s`;
}

function durationParts(value) {
    const match = /^(\S+?)(\u202f\S+)( .*)?$/.exec(formatDuration(Number(value)));
    return match[3] ? parts('', match[1] + match[2] + match[3], '') : parts('', match[1], match[2]);
}

const byUnit = {
    money: moneyParts,
    percent: (value, kpi) => plainParts(value * 100, kpi.precision ?? 1, '%'),
    score: (value, kpi) => plainParts(value, kpi.precision ?? 0, ''),
    integer: (value) => plainParts(value, 0, ''),
    number: (value, kpi) => plainParts(value, kpi.precision ?? kpi.decimals ?? 2, ''),
    ms: (value, kpi) => plainParts(value, kpi.precision ?? fittingPlaces(Number(value)), `${NARROW}ms`),
    s: durationParts,
    duration: durationParts,
    bytes: bytesParts,
    per_second: (value, kpi) => plainParts(value, kpi.precision ?? fittingPlaces(Number(value)), `${NARROW}/s`),
    per_minute: (value, kpi) => plainParts(value, kpi.precision ?? fittingPlaces(Number(value)), `${NARROW}/min`),
    days: (value) => plainParts(value, 0, `${NARROW}d`),
};

/** A KPI's (or column's) value as parts. An absent value is a dash, never 0. */
export function formatParts(value, kpi, isExact = false) {
    if (value === undefined || value === null) {
        return parts('', '\u2014', '');
    }
    const format = Object.hasOwn(byUnit, kpi.unit ?? '') ? byUnit[kpi.unit] : null;
    return format && typeof value !== 'object' ? format(value, kpi, isExact) : parts('', String(value), '');
}

/**
 * @param {any} value
 * @param {{unit?: string, precision?: number, [member: string]: any}} kpi its definition
 * @returns {string}
 */
export const formatValue = (value, kpi) => joined(formatParts(value, kpi));

/** Every digit that was sent: for the title of a shortened number. */
export const formatExact = (value, kpi) => joined(formatParts(value, kpi, true));

/** The word of the band a number falls into; '' without bands. The last band takes what is left. */
export function bandWord(value, bands) {
    const number = Number(value);
    return (bands ?? []).find((band) => band.above === undefined || number > band.above)?.word ?? '';
}

// ---- change against the base ----

const arrows = { up: '\u25b2', down: '\u25bc', flat: '=' };

function verdictOf(direction, good) {
    if (direction === 'flat' || (good !== 'up' && good !== 'down')) {
        return 'neutral';
    }
    return direction === good ? 'good' : 'bad';
}

function relativeText(now, base) {
    const share = (Math.abs(now - base) / Math.abs(base)) * 100;
    return share >= 1000 ? `${Math.round(share / 100)}\u00d7` : `${share.toFixed(1)}%`;
}

function changeText(now, base, kpi) {
    const size = Math.abs(now - base);
    switch (kpi.unit) {
    case 'money':
        return base === 0 ? formatValue(size, kpi) : relativeText(now, base);
    case 'percent':
        return `${(size * 100).toFixed(kpi.precision ?? 1)} pts`;
    case 'number':
    case 'score':
        return roundedText(size, kpi.precision ?? (kpi.unit === 'score' ? 0 : 2));
    case 'ms':
    case 'bytes':
    case 'per_second':
    case 'per_minute':
        return base === 0 ? formatValue(size, kpi) : relativeText(now, base);
    default:
        return formatValue(size, kpi);
    }
}

const roundedText = (number, places) => joined(plainParts(number, places, ''));

/** How much a text says that nothing moved, whatever the unit: '0', '0.0%', '0.00 pts'. */
const saysNothing = (text) => !/[1-9]/.test(text);

/**
 * The change of a value against its base: sign, arrow, text, and whether it is good. null when it cannot be told.
 * A change too small to show is 'no change', not '+0.0%'.
 */
export function formatDelta(value, base, kpi) {
    const now = Number(value);
    const then = Number(base);
    if (base === undefined || value === undefined || !Number.isFinite(now) || !Number.isFinite(then)) {
        return null;
    }
    const text = changeText(now, then, kpi);
    const direction = saysNothing(text) || now === then ? 'flat' : now > then ? 'up' : 'down';
    const sign = { up: '+', down: MINUS, flat: '' }[direction];
    return {
        direction,
        arrow: arrows[direction],
        verdict: verdictOf(direction, kpi.good),
        text: direction === 'flat' ? 'no change' : sign + text,
    };
}

// ---- time ----

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (number) => String(number).padStart(2, '0');

export function formatClock(ms) {
    const date = new Date(ms);
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function formatDate(ms) {
    const date = new Date(ms);
    return `${date.getDate()} ${months[date.getMonth()]} ${date.getFullYear()}`;
}

export const formatMoment = (ms) => `${formatDate(ms)}, ${formatClock(ms).slice(0, 5)}`;

/**
 * 'just now', '12 s ago', '4 min ago', '3 h ago'; from 24 h on the date and time.
 * @param {number} asOf Unix ms
 * @param {number} now
 * @returns {string}
 */
export function formatAge(asOf, now) {
    const seconds = Math.floor((now - asOf) / 1000);
    if (seconds < 3) {
        return 'just now';
    }
    if (seconds < 60) {
        return `${seconds}${NARROW}s ago`;
    }
    if (seconds < 3600) {
        return `${Math.floor(seconds / 60)}${NARROW}min ago`;
    }
    return seconds < 86400 ? `${Math.floor(seconds / 3600)}${NARROW}h ago` : formatMoment(asOf);
}

/** A date or time that arrived as ms, as an ISO text, or as a plain day. */
export function formatTime(value, now) {
    if (typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value)) {
        const [year, month, day] = value.split('-').map(Number);
        return `${day} ${months[month - 1]} ${year}`;
    }
    const ms = typeof value === 'number' ? value : Date.parse(value);
    if (!Number.isFinite(ms)) {
        return String(value ?? '\u2014');
    }
    return ms > now + 60000 ? formatMoment(ms) : formatAge(ms, now);
}
