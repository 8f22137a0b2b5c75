/*
 * The sums that bench.mjs makes of its runs: which of them count, medians, ratios, and whether a bar holds. No process, no file.
 *
 * A round is one run of every side of a case, made one after the other: { side: run }. A run is what a program reported, or
 * undefined when it could not. Sides are compared within a round, because what the machine does in one minute it may
 * not do in the next.
 */

/** What others may take of the machine during a run that counts. */
export const DISTURBED_ABOVE = 0.05;

export function median(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length === 0 ? NaN : sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The number at 'latency_ms.p99' of a run; NaN when there is none. */
export function numberAt(run, member) {
    const found = member.split('.').reduce((object, name) => object?.[name], run);
    return typeof found === 'number' ? found : NaN;
}

/** Share of the machine that other processes and the hypervisor took during a run. */
export const disturbance = (run) => (run.stolen ?? 0) + (run.other_cpu ?? 0);

/**
 * The rounds in which these sides ran undisturbed. When that is less than half of those in which they ran at all, the
 * better half of these, and isQuiet is false: numbers then say something, but not enough.
 */
export function quietRounds(rounds, sides) {
    const whole = rounds.filter((round) => sides.every((side) => round[side] !== undefined));
    const worst = (round) => Math.max(...sides.map((side) => disturbance(round[side])));
    const quiet = whole.filter((round) => worst(round) <= DISTURBED_ABOVE);
    const half = Math.ceil(whole.length / 2);
    const isQuiet = whole.length > 0 && quiet.length >= half;
    const kept = isQuiet ? quiet : [...whole].sort((a, b) => worst(a) - worst(b)).slice(0, half);
    return { kept, dropped: whole.length - kept.length, isQuiet };
}

/** Median, lowest and highest of some numbers, and how many there are. */
export function summary(numbers) {
    const known = numbers.filter((number) => !Number.isNaN(number));
    return { median: median(known), low: Math.min(...known), high: Math.max(...known), count: known.length };
}

/** One number of one side, over the rounds that count. */
export function measured(rounds, side, member) {
    const { kept, ...rest } = quietRounds(rounds, [side]);
    return { ...summary(kept.map((round) => numberAt(round[side], member))), ...rest };
}

/** Processor time of the gateway per delivery, without what it used in the same time in another run. */
const deliveryUs = (run, less) => ((run.server_cpu * run.seconds - less.server_cpu * less.seconds) * 1e6) / run.deliveries;

/**
 * The same number of two sides, divided within each round. `less` names a side with the same changes and nobody to tell them to: what
 * they cost to take in is then left out of the first one's cost per delivery.
 */
export function ratio(rounds, [of, to], member, less) {
    const { kept, ...rest } = quietRounds(rounds, less ? [of, to, less] : [of, to]);
    const numberOf = (round) => (less ? deliveryUs(round[of], round[less]) : numberAt(round[of], member));
    return { ...summary(kept.map((round) => numberOf(round) / numberAt(round[to], member))), ...rest };
}

/** How much more of a number one side has than another, for each of `per` things. */
export function growth(rounds, [of, to], member, per) {
    const { kept, ...rest } = quietRounds(rounds, [of, to]);
    return { ...summary(kept.map((round) => (numberAt(round[of], member) - numberAt(round[to], member)) / per)), ...rest };
}

/** By how much the greatest of some numbers exceeds the smallest: 0.15 is 15 %. */
export const spread = (numbers) => Math.max(...numbers) / Math.min(...numbers) - 1;

/**
 * A bar is { member, most } and one of ratio: [side, side] (with less), growth: [side, side] with per, value: side. Without `most`
 * it is only reported. held: true, false, or undefined when there is no limit, or no number good enough to decide.
 */
export function judge(bar, rounds) {
    const got = bar.ratio ? ratio(rounds, bar.ratio, bar.member, bar.less)
        : bar.growth ? growth(rounds, bar.growth, bar.member, bar.per)
            : measured(rounds, bar.value, bar.member);
    const isJudged = got.count > 0 && got.isQuiet && bar.most !== undefined;
    return { ...bar, got, held: isJudged ? got.median <= bar.most : undefined };
}
