/* Connections that say what no library would, at their own pace, and see what becomes of them. */
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { connectTo, isSecure } from '../support/tls.mjs';
import { limited, until } from '../support/waiting.mjs';
import { handshakeOf } from '../support/websockets.mjs';

const HEARD_MAX_BYTES = 1 << 20;
/** For until(): others may have the machine. */
export const PATIENCE = { within: 30000 };

/** TCP below TLS, at arm's length: Node cannot reset a socket that TLS was put upon. */
class Below extends Duplex {
    constructor(port) {
        super({ allowHalfOpen: true });
        this.tcp = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
        this.tcp.on('data', (bytes) => this.push(bytes));
        this.tcp.on('end', () => this.push(null));
        this.tcp.on('error', () => {});
        this.tcp.on('close', () => this.destroy());
    }

    _read() {}

    _write(bytes, encoding, done) {
        this.tcp.write(bytes, () => done()); // an error is told by the end
    }

    _final(done) {
        this.tcp.end();
        done();
    }

    _destroy(error, done) {
        this.tcp.destroy();
        done(error);
    }
}

export class Wire {
    /** Resolves when it may be written to: behind the TLS handshake where there is one. */
    static async open(port, options) {
        const wire = new Wire(port, options);
        await limited('a connection', wire.usable, PATIENCE.within);
        return wire;
    }

    /** mayReset: reset() will be asked for. */
    constructor(port, { mayReset = false } = {}) {
        this.text = ''; // what was heard, its beginning
        this.heardBytes = 0;
        this.isClosed = false;
        this.below = mayReset && isSecure(port) ? new Below(port) : undefined;
        this.socket = connectTo(port, { noDelay: true, allowHalfOpen: true, socket: this.below });
        this.socket.on('data', (bytes) => this.hear(bytes));
        this.socket.on('error', (error) => { this.error = error; });
        this.socket.on('end', () => { this.hasEnded = true; });
        this.usable = new Promise((resolve, reject) => {
            this.socket.once('usable', resolve);
            this.socket.once('close', () => {
                this.isClosed = true;
                reject(this.error ?? new Error('closed before it could be used'));
            });
        });
        this.usable.catch(() => {}); // open() tells
    }

    hear(bytes) {
        this.heardBytes += bytes.length;
        if (this.text.length < HEARD_MAX_BYTES) {
            this.text += bytes.toString('latin1');
        }
    }

    get isOver() {
        return this.isClosed || this.hasEnded === true;
    }

    /** Statuses of all answers so far. */
    get statuses() {
        return [...this.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    }

    say(bytes) {
        if (!this.socket.destroyed && this.socket.writable) {
            this.socket.write(bytes);
        }
    }

    /** Without a word. */
    cut() {
        this.socket.destroy();
        this.below?.destroy();
    }

    /** With a reset. */
    reset() {
        (this.below?.tcp ?? this.socket).resetAndDestroy();
        this.socket.destroy();
    }
}

/** `count` connections, opened side by side. */
export const openWires = (port, count, options) => Promise.all(Array.from({ length: count }, () => Wire.open(port, options)));

export const cutAll = (wires) => wires.forEach((wire) => (wire.cut ? wire.cut() : wire.destroy()));

/** A handshake on it; resolves with the wire once it is a WebSocket. */
export async function upgrade(wire, options) {
    wire.say(handshakeOf('dGhlIHNhbXBsZSBub25jZQ==', options));
    await until(`a handshake (heard ${wire.text.slice(0, 100)})`, () => wire.text.includes('\r\n\r\n') || wire.isOver, { ...PATIENCE, every: 2 });
    return wire;
}

export const get = (target, headers = '') => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
export const INGEST = '/api/v1/data-flow/ingest';
/** The head of an ingest request; what comes behind is the caller's. */
export const ingestHead = (headers) => `POST ${INGEST} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}\r\n`;

/** Calls `act` again and again, `atOnce` times side by side, until `ms` have passed; at least once. */
export async function forSome(ms, atOnce, act) {
    const end = performance.now() + ms;
    await Promise.all(Array.from({ length: atOnce }, async () => {
        do {
            await act();
        } while (performance.now() < end);
    }));
}

/** How often each reason was given: what attack() compares with the metrics. */
export class Tally {
    constructor(...keys) {
        this.counts = Object.fromEntries(keys.map((key) => [key, 0]));
    }

    add(key, count = 1) {
        this.counts[key] = (this.counts[key] ?? 0) + count;
    }
}

/** A ClientHello of Node's own. */
export function recordHello(options) {
    return limited('a ClientHello', new Promise((resolve) => {
        const wire = new Duplex({ read() {}, write(bytes, encoding, done) { resolve(bytes); done(); } });
        tls.connect({ socket: wire, servername: 'localhost', ...options }).on('error', () => {});
    }));
}

/** A TCP connection, below TLS. */
export function dial(port) {
    return limited('a connection', new Promise((resolve, reject) => {
        const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
        socket.heard = 0;
        socket.on('data', (bytes) => { socket.heard += bytes.length; });
        socket.on('close', () => { socket.isOver = true; });
        socket.on('end', () => { socket.isOver = true; });
        socket.on('error', reject);
        socket.on('connect', () => resolve(socket));
    }));
}

export const dialMany = (port, count) => Promise.all(Array.from({ length: count }, () => dial(port)));
