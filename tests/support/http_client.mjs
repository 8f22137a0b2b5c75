/* HTTP for tests: ordinary requests over kept-alive connections, and bytes that no HTTP library would send. */
import http from 'node:http';
import https from 'node:https';
import { caOf, connectTo, isSecure } from './tls.mjs';
import { limited } from './waiting.mjs';

const agents = new Map(); // port -> agent

/** Connections of a test's own, kept alive. */
export const keptAlive = (port, options) => new (isSecure(port) ? https : http).Agent({ keepAlive: true, ...options });

function agentOf(port) {
    if (!agents.has(port)) {
        agents.set(port, keptAlive(port, { maxSockets: 8 }));
    }
    return agents.get(port);
}

/** Closes the idle connections to `port`: a gateway that stops has nobody to wait for. */
export function dropConnections(port) {
    agents.get(port)?.destroy();
    agents.delete(port);
}

/** One request; resolves with {status, headers, text, json()}. `agent: false` takes a connection of its own. */
export function request(port, path, { method = 'GET', headers = {}, body, agent = agentOf(port), within = 10000 } = {}) {
    const answered = new Promise((resolve, reject) => {
        const secure = isSecure(port) ? { ca: caOf(), servername: 'localhost' } : {}; // else it would be the name in Host, whatever a test puts there
        const call = (isSecure(port) ? https : http).request({ host: '127.0.0.1', port, path, method, headers, agent, ...secure }, (response) => {
            const pieces = [];
            response.on('data', (piece) => pieces.push(piece));
            response.on('error', reject);
            response.on('end', () => {
                const bytes = Buffer.concat(pieces);
                const text = bytes.toString('utf8');
                resolve({ status: response.statusCode, headers: response.headers, bytes, text, json: () => JSON.parse(text) });
            });
        });
        call.on('error', reject);
        call.end(body);
    });
    return limited(`${method} ${path}`, answered, within);
}

/** Posts changes. A text or buffer goes out as it is. */
export function post(port, changes, { headers = {}, ...options } = {}) {
    const body = typeof changes === 'string' || Buffer.isBuffer(changes) ? changes : JSON.stringify(changes);
    const all = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers };
    return request(port, '/api/v1/data-flow/ingest', { method: 'POST', headers: all, body, ...options });
}

/**
 * Sends raw bytes on a connection of its own and resolves with what came back until the gateway closed, `isEnough(text)`
 * or `within` ms passed: {text, status, closed}. A reset counts as closed.
 */
export function sendRaw(port, bytes, { within = 5000, isEnough = () => false, end = false } = {}) {
    return new Promise((resolve) => {
        const socket = connectTo(port);
        const pieces = [];
        let isClosed = false;
        const finish = () => {
            clearTimeout(timer);
            socket.destroy();
            const text = Buffer.concat(pieces).toString('latin1');
            resolve({ text, status: Number(text.match(/^HTTP\/1\.1 (\d{3})/)?.[1] ?? 0), closed: isClosed });
        };
        const timer = setTimeout(finish, within);
        socket.on('usable', () => (end ? socket.end(bytes) : socket.write(bytes)));
        socket.on('data', (piece) => {
            pieces.push(piece);
            if (isEnough(Buffer.concat(pieces).toString('latin1'))) {
                finish();
            }
        });
        socket.on('error', () => { isClosed = true; });
        socket.on('end', () => { isClosed = true; });
        socket.on('close', () => { isClosed = true; finish(); });
    });
}
