export class Delays {
    /**
     * @param {{now: () => number, random?: () => number}} options  now: the gateway's clock, as far as it is known, in ms
     */
    constructor({ now, random }: {
        now: () => number;
        random?: () => number;
    });
    now: () => number;
    random: () => number;
    /** @type {number[]} the newest, in ms */
    recent: number[];
    /** @type {number[]} accepted at, gateway's clock */
    pending: number[];
    /** @type {number[]} an even draw from those since the last report */
    drawn: number[];
    drawnFrom: number;
    count: number;
    /** @type {Set<string>} boards whose updates are held back as this viewer asked */
    slowed: Set<string>;
    /** From now on this page looks: it is seen again, goes on after a pause, or has another subscription. */
    restart(): void;
    since: number;
    /**
     * A message that was taken in.
     * @param {import('./protocol.js').GatewayMessage} message
     */
    note(message: import("./protocol.js").GatewayMessage): void;
    /** Everything noted so far is on the screen. */
    painted(): void;
    /**
     * At most 8 delays of those since the last call, each as likely as the others: what a report carries.
     * @returns {number[]}
     */
    take(): number[];
    /**
     * Of the newest 512; null while there are none.
     * @returns {{count: number, p50: number, p95: number, max: number} | null}
     */
    summary(): {
        count: number;
        p50: number;
        p95: number;
        max: number;
    } | null;
    #private;
}
