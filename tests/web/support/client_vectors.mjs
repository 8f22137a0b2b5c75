/*
 * The vectors of kpi.v1 against a client's functions. Imports nothing, so that Node and a browser run the same lines.
 * Each case is {name, failure}: what went wrong in words, or null.
 */

/** Equal as JSON, whatever the order of members; undefined members do not count. */
function sorted(value) {
    if (Array.isArray(value)) {
        return value.map(sorted);
    }
    return value && typeof value === 'object' ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value;
}

function difference(got, expected) {
    const [left, right] = [got, expected].map((value) => JSON.stringify(sorted(value)));
    return left === right ? null : `got ${left}, expected ${right}`;
}

const textOf = ({ text, hex }) => text ?? new TextDecoder().decode(Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16)));

function messageCase(client, { name, expect, ...frame }) {
    const got = client.decode(textOf(frame));
    const { result, problem, ...members } = expect;
    const shown = result === 'ok' ? Object.fromEntries(Object.keys(members).map((member) => [member, got.message?.[member]])) : {};
    return { name: `gateway message: ${name}`, failure: difference({ result: got.result, problem: got.problem, ...shown }, { result, problem, ...members }) };
}

function overlayCase({ apply }, { name, rules, start, frames, expect }) {
    const board = { position: start.position, fields: new Map(Object.entries(start.fields)) };
    const actions = frames.map((frame) => apply(board, frame, rules).action);
    return {
        name: `overlay: ${name}`,
        failure: difference({ actions, position: board.position, fields: Object.fromEntries(board.fields) }, expect),
    };
}

function positionCase({ parsePosition, formatPosition }, { text, expect: { result, ...position } }) {
    const got = parsePosition(text);
    const failure = result === 'ok' ? difference([got, got && formatPosition(got)], [position, text]) : difference(got, null);
    return { name: `position: ${text}`, failure };
}

function freshnessCase({ freshnessOf }, { name, state, as_of: asOf, now, fresh_s, stale_s, expired_s, source_up: isUp, expect }) {
    const value = { as_of: asOf ?? undefined, state: state === 'ok' ? undefined : state };
    const limits = fresh_s === null || fresh_s === undefined ? null : { fresh_s, stale_s, expired_s };
    return { name: `freshness: ${name}`, failure: difference(freshnessOf(value, limits, isUp, now), expect) };
}

/** @param vectors {gateway: [...], overlays: [...], positions: [...], freshness: [...]} */
export function vectorCases(client, vectors) {
    return [
        ...vectors.gateway.map((vector) => messageCase(client, vector)),
        ...vectors.overlays.map((vector) => overlayCase(client, vector)),
        ...vectors.positions.map((vector) => positionCase(client, vector)),
        ...vectors.freshness.map((vector) => freshnessCase(client, vector)),
    ];
}
