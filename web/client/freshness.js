/*
 * How old a value is, and the word for it. Computed here and never sent, so that a value keeps ageing when
 * nothing is received. Spec: PROTOCOL.md, "Freshness"; cases: protocol/vectors/freshness.json.
 */

/** Worst first: what a page says first when several values are in trouble. */
export const TROUBLES = ['unreachable', 'invalid', 'expired', 'stale', 'nodata'];

/**
 * @param {{state?: string, as_of?: number} | undefined} value undefined: nothing has arrived for the field
 * @param {{fresh_s: number, stale_s: number, expired_s: number} | null} limits null: a class that never ages
 * @param {boolean} isSourceUp false when the heartbeat reports the KPI's source as down
 * @param {number} now the gateway's clock, Unix ms
 * @returns {'fresh' | 'ageing' | 'stale' | 'expired' | 'nodata' | 'invalid' | 'unreachable'}
 */
export function freshnessOf(value, limits, isSourceUp, now) {
    const state = value?.state ?? (value ? 'ok' : 'nodata');
    if (state === 'nodata' || state === 'invalid' || state === 'unreachable') {
        return state;
    }
    const age = now - (value.as_of ?? now);
    if (!limits || age <= limits.fresh_s * 1000) {
        return 'fresh';
    }
    if (!isSourceUp) {
        return 'unreachable';
    }
    if (age > limits.expired_s * 1000) {
        return 'expired';
    }
    return age > limits.stale_s * 1000 ? 'stale' : 'ageing';
}

const words = {
    fresh: 'Current',
    ageing: 'Ageing',
    stale: 'Stale',
    expired: 'Expired',
    nodata: 'No data',
    invalid: 'Invalid',
    unreachable: 'Unreachable',
    waiting: 'Waiting',
};

export const freshnessWord = (freshness) => words[freshness] ?? freshness;

const sentences = {
    stale: 'Not refreshed for longer than it should be.',
    expired: 'Far too old to act on.',
    invalid: 'The newest value was refused; this is the last good one.',
    unreachable: 'The source does not answer; this is the last known value.',
};

/** Why a value is not to be taken at its face: the producer's reason, or ours. Empty when there is nothing to say. */
export function troubleText(freshness, reason) {
    return reason || sentences[freshness] || '';
}
