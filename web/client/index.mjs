/* What the package offers: see README.md. */
/**
 * @typedef {import('./watch.mjs').Change} Change
 * @typedef {import('./watch.mjs').JudgedValue} JudgedValue
 * @typedef {import('./watch.mjs').WatchOptions} WatchOptions
 * @typedef {import('./connection.js').ConnectionOptions} ConnectionOptions
 * @typedef {import('./connection.js').LinkState} LinkState
 * @typedef {import('./protocol.js').GatewayMessage} GatewayMessage
 * @typedef {import('./protocol.js').Position} Position
 * @typedef {import('./protocol.js').Value} Value
 * @typedef {import('./store.js').Definition} Definition
 */
export { watch, Watch } from './watch.mjs';
export { backoffMs, Connection, followPage } from './connection.js';
export { Store } from './store.js';
export { Delays } from './delays.js';
export { freshnessOf, freshnessWord, troubleText } from './freshness.js';
export { formatAge, formatDuration, formatValue } from './format.js';
export {
    apply, closeAction, closeText, compareHeartbeat, compareKeys, decide, decode, formatPosition, parsePosition, splitField, trim,
} from './protocol.js';
