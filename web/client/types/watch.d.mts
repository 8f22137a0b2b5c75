/**
 * Watch boards of a gateway until `close()`. Values are kept right over lost connections, restarts and moves.
 * @param {WatchOptions} options
 * @returns {Watch}
 */
export function watch(options: WatchOptions): Watch;
export class Watch {
    /** @param {WatchOptions} options */
    constructor(options: WatchOptions);
    options: WatchOptions;
    http: string;
    clock: {
        now: () => number;
        setTimeout: Function;
        clearTimeout: Function;
    };
    /** @type {Map<string, {attempt: number, timer: any, isBusy: boolean, triedCatalog: string | null, triedView?: string}>} */
    readings: Map<string, {
        attempt: number;
        timer: any;
        isBusy: boolean;
        triedCatalog: string | null;
        triedView?: string;
    }>;
    isClosed: boolean;
    store: Store;
    connection: Connection;
    /** How the link is: live, reconnecting, refused... */
    get link(): import("./connection.js").LinkState;
    /**
     * @param {string} board
     * @returns {Definition | null} null: not read yet
     */
    definition(board: string): Definition | null;
    /**
     * Names of the fields that are held, rows of tables, feeds and series included: `exec.top_deals#D001`.
     * @param {string} board
     * @returns {string[]}
     */
    fields(board: string): string[];
    /**
     * @param {string} board
     * @param {string} field
     * @returns {JudgedValue | undefined} undefined: there is no such field, or nothing has come yet
     */
    value(board: string, field: string): JudgedValue | undefined;
    /** @param {string} board */
    watch(board: string): void;
    /** @param {string} board */
    unwatch(board: string): void;
    /** @param {string} token */
    setToken(token: string): void;
    /** The end: nothing is heard and nothing is tried any more. */
    close(): void;
    #private;
}
export type Value = import("./protocol.js").Value;
export type LinkState = import("./connection.js").LinkState;
export type Definition = import("./store.js").Definition;
/**
 * A value, and how far it can be trusted now; unknown until its definition has been read.
 */
export type JudgedValue = Value & {
    freshness: "unknown" | "fresh" | "ageing" | "stale" | "expired" | "nodata" | "invalid" | "unreachable";
    age_ms: number | undefined;
};
export type Change = {
    board: string;
    /**
     * names of the fields that were set or removed
     */
    fields: string[];
    /**
     * everything was sent: these may be no changes at all
     */
    isSnapshot: boolean;
};
export type WatchOptions = {
    /**
     * of the gateway, `https://boards.example` or `wss://boards.example/ws`
     */
    url: string | URL;
    /**
     * ids; more can be watched later
     */
    boards: string[];
    /**
     * after a message that changed something
     */
    onChange?: (change: Change) => void;
    /**
     * after each change of the link's state
     */
    onLink?: (link: LinkState) => void;
    /**
     * a board that is refused, a definition that cannot be read; code: that of the protocol or of HTTP, 0 when nothing answered
     */
    onProblem?: (problem: {
        board?: string;
        code: number;
        message: string;
    }) => void;
    /**
     * a key or a signed token
     */
    token?: string;
    /**
     * a new one, when the old one ends or was refused
     */
    renewToken?: () => Promise<string | undefined>;
    /**
     * name and version of your program, at most 64 bytes
     */
    client?: string;
    /**
     * updates per second and board, merged; 0, the default: as they come
     */
    maxRate?: number;
    /**
     * before Node 22: `WebSocket` of the package `ws`
     */
    WebSocketClass?: import("./connection.js").WebSocketClass;
    fetch?: typeof globalThis.fetch;
    /**
     * for tests
     */
    clock?: {
        now: () => number;
        setTimeout: Function;
        clearTimeout: Function;
    };
    /**
     * for tests
     */
    random?: () => number;
};
import { Store } from './store.js';
import { Connection } from './connection.js';
