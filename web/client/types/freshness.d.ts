/**
 * @param {{state?: string, as_of?: number} | undefined} value undefined: nothing has arrived for the field
 * @param {{fresh_s: number, stale_s: number, expired_s: number} | null} limits null: a class that never ages
 * @param {boolean} isSourceUp false when the heartbeat reports the KPI's source as down
 * @param {number} now the gateway's clock, Unix ms
 * @returns {'fresh' | 'ageing' | 'stale' | 'expired' | 'nodata' | 'invalid' | 'unreachable'}
 */
export function freshnessOf(value: {
    state?: string;
    as_of?: number;
} | undefined, limits: {
    fresh_s: number;
    stale_s: number;
    expired_s: number;
} | null, isSourceUp: boolean, now: number): "fresh" | "ageing" | "stale" | "expired" | "nodata" | "invalid" | "unreachable";
/** Why a value is not to be taken at its face: the producer's reason, or ours. Empty when there is nothing to say. */
export function troubleText(freshness: any, reason: any): any;
/** Worst first: what a page says first when several values are in trouble. */
export const TROUBLES: string[];
export function freshnessWord(freshness: any): any;
