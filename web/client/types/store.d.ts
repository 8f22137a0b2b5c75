export class Store {
    /**
     * @param {object} [options]
     * @param {() => number} [options.now] own clock, ms
     * @param {() => void} [options.onChange] after everything that may look different now
     * @param {(board: string, fields: Set<string>, message: GatewayMessage) => void} [options.onFields] after a message changed these
     */
    constructor({ now, onChange, onFields }?: {
        now?: () => number;
        onChange?: () => void;
        onFields?: (board: string, fields: Set<string>, message: GatewayMessage) => void;
    });
    localNow: () => number;
    onChange: () => void;
    onFields: (board: string, fields: Set<string>, message: GatewayMessage) => void;
    /** @type {Map<string, Board>} */
    boards: Map<string, Board>;
    list: any[];
    /** @type {Record<string, import('./protocol.js').SourceHealth>} */
    sources: Record<string, import("./protocol.js").SourceHealth>;
    clock: GatewayClock;
    catalog: any;
    isDemo: boolean;
    isPaused: boolean;
    withheldCount: number;
    delayMs: any;
    /** @type {LinkState} */
    link: LinkState;
    /** The gateway's clock minus ours. */
    get offsetMs(): number;
    /** The gateway's clock, as well as we know it. */
    now(): number;
    /**
     * @param {string} id
     * @returns {Board}
     */
    board(id: string): Board;
    /** @param {string} id */
    positionOf(id: string): import("./protocol.js").Position;
    /** @param {LinkState} link */
    setLink(link: LinkState): void;
    setList({ catalog, dashboards, demo }: {
        catalog: any;
        dashboards: any;
        demo: any;
    }): void;
    /**
     * The answer: do rows of a KPI have another type or cap than those that are held? Then the board is to be asked for
     * anew. PROTOCOL.md, "Heartbeat".
     * @param {Definition} definition
     * @returns {boolean}
     */
    setDefinition(definition: Definition): boolean;
    setBoardError(id: any, error: any): void;
    /**
     * A message of the gateway. The answer tells the connection what it did: see connection.js.
     * @param {GatewayMessage} message
     * @returns {'applied' | 'dropped' | 'gap' | 'same' | 'held' | 'differs' | undefined}
     */
    receive(message: GatewayMessage): "applied" | "dropped" | "gap" | "same" | "held" | "differs" | undefined;
    build: any;
    node: any;
    pause(): void;
    /** Show at once everything that was withheld. */
    resume(): void;
    /**
     * Is the source of this KPI up, as far as the last heartbeat knows?
     * @param {{source?: {name?: string, kind?: string}}} kpi
     * @returns {boolean}
     */
    isSourceUp(kpi: {
        source?: {
            name?: string;
            kind?: string;
        };
    }): boolean;
    #private;
}
export type Value = import("./protocol.js").Value;
export type GatewayMessage = import("./protocol.js").GatewayMessage;
export type LinkState = import("./connection.js").LinkState;
/**
 * What is shown of a KPI. Rows are those of tables, feeds and series.
 */
export type Entry = {
    value: Value | undefined;
    rows: Map<string, Value>;
    asOf: number | undefined;
    version: number;
    changes: number;
};
/**
 * What `GET /api/v1/dashboards/{id}/definition` answers.
 */
export type Definition = {
    id: string;
    title: string;
    question?: string;
    catalog: string;
    view?: string;
    layout: any[];
    kpis: Record<string, any>;
    classes: Record<string, {
        fresh_s: number;
        stale_s: number;
        expired_s: number;
    } | null>;
    demo?: boolean;
};
declare class Board {
    /** @param {string} id */
    constructor(id: string);
    id: string;
    /** @type {Definition | null} */
    definition: Definition | null;
    /** @type {import('./protocol.js').Rules} */
    rules: import("./protocol.js").Rules;
    /** @type {import('./protocol.js').HeldBoard} */
    held: import("./protocol.js").HeldBoard;
    /** @type {Map<string, Entry>} by KPI */
    entries: Map<string, Entry>;
    /** @type {Map<string, [number, any][]>} by KPI, [[as_of, v], ...] */
    history: Map<string, [number, any][]>;
    frozenHistory: any;
    withheld: Set<any>;
    /** @type {any} */
    error: any;
    /** @type {string | undefined} names what the gateway lets this viewer see of the board */
    view: string | undefined;
    knownUntil: number;
    /**
     * @param {string} kpi
     * @returns {Entry}
     */
    entry(kpi: string): Entry;
    /** Recent points of a KPI, as shown. Never changed in place, so a view may compare them by identity. */
    points(kpi: any): any;
    /** What was known must not be shown any more. */
    forget(): void;
    /** Take these fields over into what is shown. */
    show(fields: any, isChange: any): void;
}
/**
 * How far the gateway's clock is ahead of ours. An answer to a ping bounds that from both sides, and the quickest answer
 * bounds it best; what the gateway says by itself was not said after it was heard, which bounds it from below.
 */
declare class GatewayClock {
    /** Another gateway may have another clock. */
    reset(): void;
    answers: any;
    floors: any;
    offsetMs: number;
    heard(now: any, received: any): void;
    answered(sent: any, now: any, received: any): void;
    #private;
}
export {};
