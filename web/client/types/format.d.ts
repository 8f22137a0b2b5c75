/** '-12.50' -> {isNegative, whole: '12', fraction: '50'}; null when it is not a plain decimal. */
export function splitDecimal(text: any): {
    isNegative: boolean;
    whole: string;
    fraction: string;
};
/** Round a decimal, half away from zero, to `places` after the point. Works on digits only. */
export function roundDecimal({ isNegative, whole, fraction }: {
    isNegative: any;
    whole: any;
    fraction: any;
}, places: any): {
    isNegative: boolean;
    whole: string;
    fraction: string;
};
/**
 * 7265 -> '2 h 1 min': two largest units, never more.
 * @param {number} seconds
 * @returns {string}
 */
export function formatDuration(seconds: number): string;
/** A KPI's (or column's) value as parts. An absent value is a dash, never 0. */
export function formatParts(value: any, kpi: any, isExact?: boolean): any;
/** The word of the band a number falls into; '' without bands. The last band takes what is left. */
export function bandWord(value: any, bands: any): any;
/**
 * The change of a value against its base: sign, arrow, text, and whether it is good. null when it cannot be told.
 * A change too small to show is 'no change', not '+0.0%'.
 */
export function formatDelta(value: any, base: any, kpi: any): {
    direction: string;
    arrow: string;
    verdict: string;
    text: string;
};
export function formatClock(ms: any): string;
export function formatDate(ms: any): string;
/**
 * 'just now', '12 s ago', '4 min ago', '3 h ago'; from 24 h on the date and time.
 * @param {number} asOf Unix ms
 * @param {number} now
 * @returns {string}
 */
export function formatAge(asOf: number, now: number): string;
/** A date or time that arrived as ms, as an ISO text, or as a plain day. */
export function formatTime(value: any, now: any): string;
export function joined(formatted: any): any;
export function formatValue(value: any, kpi: {
    unit?: string;
    precision?: number;
    [member: string]: any;
}): string;
export function formatExact(value: any, kpi: any): any;
export function formatMoment(ms: any): string;
