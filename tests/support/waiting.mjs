/* Waiting for conditions, chance that can be repeated, and the sums that tests make of their measurements. */

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * Resolves with the first truthy answer of `condition` (which may be async), looking every `every` ms. After `within`
 * ms it rejects, naming what was waited for; a text that `condition` threw last is part of the message.
 */
export async function until(what, condition, { within = 10000, every = 10 } = {}) {
    const deadline = Date.now() + within;
    let last = '';
    for (;;) {
        try {
            const answer = await condition();
            if (answer) {
                return answer;
            }
        } catch (error) {
            last = `: ${error.message}`;
        }
        if (Date.now() > deadline) {
            throw new Error(`waited ${within} ms for ${what}${last}`);
        }
        await sleep(every);
    }
}

/** Rejects when `promise` has not settled within `ms`. */
export function limited(what, promise, ms = 10000) {
    let timer;
    const late = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Calls `act(i)` `perSecond` times a second until it was called `count` times or `isOver()`; late calls are caught up. */
export async function atRate(perSecond, count, act, isOver = () => false) {
    const began = performance.now();
    for (let i = 0; i < count && !isOver(); i++) {
        const due = began + (i * 1000) / perSecond;
        const early = due - performance.now();
        if (early > 1) {
            await sleep(early);
        }
        await act(i);
    }
}

/** Chance from a seed (mulberry32): the same seed gives the same run. */
export function chance(seed) {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let word = Math.imul(state ^ (state >>> 15), state | 1);
        word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
        return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
    };
    return {
        next,
        below: (limit) => Math.floor(next() * limit),
        pick: (list) => list[Math.floor(next() * list.length)],
        bytes: (length) => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256))),
    };
}

/** The seed of this run: SOPHIA_GATEWAY_SEED repeats an earlier one. */
export const seedOfRun = () => Number(process.env.SOPHIA_GATEWAY_SEED ?? (Date.now() & 0x7fffffff));

export function percentile(samples, share) {
    const sorted = Float64Array.from(samples).sort();
    return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
