/**
 * One text frame: {result: 'ok', message}, or a result that says why not, with the member in `problem`.
 * 'unknown_type' is to be ignored; everything else that is not 'ok' is a fault of the gateway.
 * @param {string} text
 * @returns {{result: string, message?: GatewayMessage, problem?: string | null}}
 */
export function decode(text: string): {
    result: string;
    message?: GatewayMessage;
    problem?: string | null;
};
/**
 * @param {string} text `epoch.offset.nonce`
 * @returns {Position | null} null: it is no position
 */
export function parsePosition(text: string): Position | null;
/**
 * @param {Position | null | undefined} position
 * @returns {string | undefined}
 */
export function formatPosition(position: Position | null | undefined): string | undefined;
/**
 * `exec.top_deals#D001` -> {kpi: 'exec.top_deals', row: 'D001'}; row is undefined for a plain KPI.
 * @param {string} field
 * @returns {{kpi: string, row: string | undefined}}
 */
export function splitField(field: string): {
    kpi: string;
    row: string | undefined;
};
/**
 * Order of two row keys by their UTF-8 bytes. That is the order of code points, not of UTF-16 units: a
 * surrogate pair sorts after U+FFFF although its first unit is smaller.
 * @param {string} a
 * @param {string} b
 * @returns {number}
 */
export function compareKeys(a: string, b: string): number;
/**
 * Drop the rows beyond each feed's and series' cap, as the gateway does. Only KPIs named by `added`, the fields that
 * may have made one too long, are looked at. Returns the dropped field names.
 * @param {Map<string, Value>} fields
 * @param {Rules} rules
 * @param {Iterable<string>} [added]
 * @returns {string[]}
 */
export function trim(fields: Map<string, Value>, rules: Rules, added?: Iterable<string>): string[];
/**
 * PROTOCOL.md, "Overlays".
 * @param {Position | null} position
 * @param {Update} update
 * @returns {'applied' | 'dropped' | 'gap'}
 */
export function decide(position: Position | null, update: Update): "applied" | "dropped" | "gap";
/**
 * Bring a board forward by a snapshot or an update. Returns {action, changed}: changed holds the names of the
 * fields that were set or removed, and is empty unless the action is 'applied'.
 * @param {HeldBoard} board
 * @param {Snapshot | Update} message
 * @param {Rules} rules
 * @returns {{action: 'applied' | 'dropped' | 'gap', changed: Set<string>}}
 */
export function apply(board: HeldBoard, message: Snapshot | Update, rules: Rules): {
    action: "applied" | "dropped" | "gap";
    changed: Set<string>;
};
/**
 * What a heartbeat says about a board: 'same', 'held' (changes are being held back for this viewer) or
 * 'differs' (the histories are not the same; subscribe again without a position).
 * @param {Position | null} position
 * @param {Heartbeat} heartbeat
 * @returns {'same' | 'held' | 'differs'}
 */
export function compareHeartbeat(position: Position | null, heartbeat: Heartbeat): "same" | "held" | "differs";
/**
 * 'stop' (our software is wrong), 'token' (a new token is needed), 'move' (at once), 'retry' (with back-off).
 * @param {number} code
 * @returns {'stop' | 'token' | 'move' | 'retry'}
 */
export function closeAction(code: number): "stop" | "token" | "move" | "retry";
/**
 * A close code in words for the person in front of the page.
 * @param {number} code
 * @returns {string}
 */
export function closeText(code: number): string;
/**
 * A position in a board's history. Opaque but for equality of epochs and order of offsets.
 */
export type Position = {
    epoch: string;
    offset: number;
    nonce: string;
};
/**
 * What a field holds. `v` is absent when there is no value; it is never null. PROTOCOL.md, "Values".
 */
export type Value = {
    /**
     * offset of the field's last change
     */
    rev?: number;
    /**
     * money is a decimal string
     */
    v?: number | string | Record<string, any>;
    /**
     * when the source observed it, Unix ms
     */
    as_of?: number;
    /**
     * absent: ok
     */
    state?: "ok" | "partial" | "nodata" | "invalid" | "unreachable";
    /**
     * why the state is not ok
     */
    reason?: string;
    /**
     * absent: within limits
     */
    level?: "warn" | "crit";
    target?: number | string;
    base?: number | string;
    num?: number;
    den?: number;
    /**
     * the producer's version
     */
    ver?: number;
    /**
     * the value is invented
     */
    demo?: true;
};
export type HeldBoard = {
    position: Position | null;
    fields: Map<string, Value>;
};
export type Rules = Record<string, {
    type: string;
    cap?: number;
}>;
export type SourceHealth = {
    up: boolean;
    heard: number;
    reason?: string;
};
export type Welcome = {
    type: "welcome";
    protocol: string;
    now: number;
    node: string;
    build: string;
    catalog: string;
    heartbeat_ms: number;
    clock?: number;
    demo?: true;
};
export type Subscribed = {
    type: "subscribed";
    board: string;
    resume: "snapshot" | "update" | "whole";
    max_rate: number;
    hidden: boolean;
};
export type Unsubscribed = {
    type: "unsubscribed";
    board: string;
};
export type Refreshed = {
    type: "refreshed";
};
export type Expiring = {
    type: "expiring";
    expires_in_ms: number;
    closes_in_ms: number;
};
export type Pong = {
    type: "pong";
    clock: number;
    now: number;
};
export type Snapshot = {
    type: "snapshot";
    board: string;
    epoch: string;
    to: number;
    nonce: string;
    set: Record<string, Value>;
    history?: Record<string, [number, any][]>;
    now: number;
    view?: string;
    demo?: true;
};
export type Update = {
    type: "update";
    board: string;
    epoch: string;
    from: number;
    to: number;
    nonce: string;
    set: Record<string, Value>;
    del: string[];
    changed_at?: number;
    demo?: true;
};
export type Heartbeat = {
    type: "heartbeat";
    now: number;
    catalog: string;
    board?: string;
    epoch?: string;
    to?: number;
    nonce?: string;
    sources?: Record<string, SourceHealth>;
    demo?: true;
};
export type Moved = {
    type: "moved";
    reconnect_in_ms: number;
    url?: string;
};
export type ErrorMessage = {
    type: "error";
    code: number;
    name: string;
    message: string;
    retry?: boolean;
    board?: string;
    detail?: string;
};
export type GatewayMessage = Welcome | Subscribed | Unsubscribed | Refreshed | Expiring | Pong | Snapshot | Update | Heartbeat | Moved | ErrorMessage;
